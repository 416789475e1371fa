"""__torch_function__: subclasses, replacements, modes. Runs apart: it switches asking on."""

import subprocess
import sys

PROGRAM = '''
import flambeau as torch
from flambeau.overrides import TorchFunctionMode, has_torch_function

class Logged(torch.Tensor):
    seen = []
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.seen.append(func.__name__)
        return super().__torch_function__(func, types, args, kwargs or {})

class Plain(torch.Tensor):
    pass

class Duck:
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func is torch.add:
            return "added"
        return NotImplemented

x = torch.ones(3).as_subclass(Logged)
y = torch.mul(x, 2) + 1
assert type(y) is Logged and y.tolist() == [3.0, 3.0, 3.0], y
assert Logged.seen[:2] == ["mul", "add"], Logged.seen
assert type(torch.ones(3) + 1) is torch.Tensor
assert type(torch.ones(2).as_subclass(Plain).exp()) is Plain
assert type(torch.nn.Parameter(torch.ones(2)) * 2) is torch.Tensor
assert torch.add(Duck(), torch.ones(1)) == "added"
try:
    torch.exp(Duck())
except TypeError as error:
    assert "no implementation found for 'exp'" in str(error)
else:
    raise AssertionError
assert has_torch_function((Duck(),)) and not has_torch_function((torch.ones(1),))

class Count(TorchFunctionMode):
    n = 0
    def __torch_function__(self, func, types, args=(), kwargs=None):
        Count.n += 1
        return func(*args, **(kwargs or {}))

with Count():
    torch.exp(torch.ones(2))
assert Count.n == 2, Count.n  # ones and exp
layer = torch.nn.Linear(3, 3)
opt = torch.optim.SGD(layer.parameters(), lr=0.1)
losses = []
for _ in range(6):
    opt.zero_grad()
    loss = layer(torch.ones(2, 3)).pow(2).mean()
    loss.backward()
    opt.step()
    losses.append(loss.item())
assert losses == sorted(losses, reverse=True)
'''


def test_protocol():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr
