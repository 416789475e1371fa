"""The workloads, for any module with PyTorch's API.

A workload is a function of ``torch`` that returns ``(step, flops, bytes)``: what is timed, and a
lower bound of the work of one call (0: not stated). ``step`` returns what must be computed.
"""

from __future__ import annotations

import importlib

WORKLOADS = {}


def workload(function):
    """Register a workload under its name."""
    WORKLOADS[function.__name__.replace("_x_", "x")] = function
    return function


def _matmul(n, k, m):
    def make(torch):
        a, b = torch.randn(n, k), torch.randn(k, m)
        return lambda: a @ b, 2 * n * k * m, 4 * (n * k + k * m + n * m)

    return make


for sizes in ((512,) * 3, (1024,) * 3, (2048,) * 3, (2048, 128, 512), (32, 20, 64), (64, 784, 256)):
    WORKLOADS["matmul_" + "x".join(map(str, sizes))] = _matmul(*sizes)


def _map(form, size=(1024, 1024), flops=0):
    def make(torch):
        x = torch.randn(*size)
        functional = importlib.import_module(torch.__name__ + ".nn.functional")
        return lambda: form(torch, functional, x), flops, 8 * x.numel()

    return make


WORKLOADS["relu(x*2+1)"] = _map(lambda torch, F, x: torch.relu(x * 2 + 1))
WORKLOADS["gelu"] = _map(lambda torch, F, x: F.gelu(x))
WORKLOADS["softmax"] = _map(lambda torch, F, x: torch.softmax(x, -1))


@workload
def layer_norm_forward_backward(torch):
    """Layer norm of (2048, 512) and the gradients of its operands."""
    x = torch.randn(2048, 512, requires_grad=True)
    w, b = torch.ones(512, requires_grad=True), torch.zeros(512, requires_grad=True)
    g = torch.randn(2048, 512)
    functional = importlib.import_module(torch.__name__ + ".nn.functional")

    def step():
        y = functional.layer_norm(x, (512,), w, b)
        return torch.autograd.grad(y, (x, w, b), g)

    return step, 0, 4 * 4 * x.numel()


@workload
def adam_17_tensors(torch):
    """One Adam step of a small transformer's 17 tensors (half a million numbers)."""
    shapes = [(256, 64), (64, 64), *[(192, 64), (192,), (64, 64), (64,), (256, 64), (256,),
                                     (64, 256), (64,)] * 2][:16] + [(1000, 400)]
    tensors = [torch.randn(*s, requires_grad=True) for s in shapes]
    for t in tensors:
        t.grad = torch.randn(*t.shape)
    optimizer = torch.optim.Adam(tensors, lr=1e-3)

    def step():
        optimizer.step()
        return tensors[-1]

    return step, 0, 28 * sum(t.numel() for t in tensors)


@workload
def step_mlp_20_64_32_3(torch):
    """Training step, batch 32, a new batch each time, Adam, loss.item()."""
    nn = torch.nn
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(),
                          nn.Linear(32, 3))
    return _training(torch, model, 32, 20, 3)


@workload
def step_mlp_784_256_128_10(torch):
    """Training step with batch norm and dropout, batch 64."""
    nn = torch.nn
    model = nn.Sequential(nn.Linear(784, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Dropout(0.3),
                          nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))
    return _training(torch, model, 64, 784, 10)


def _training(torch, model, batch, features, classes):
    xs = [torch.randn(batch, features) for _ in range(8)]
    ys = [torch.randint(0, classes, (batch,)) for _ in range(8)]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = torch.nn.CrossEntropyLoss()
    count = [0]

    def step():
        count[0] += 1
        x, y = xs[count[0] % 8], ys[count[0] % 8]
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    weights = sum(p.numel() for p in model.parameters())
    return step, 6 * batch * weights, 28 * weights


@workload
def batch_sizes_200(torch):
    """A forward pass at 200 batch sizes, each of them once: planning, no compilation."""
    model = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    start = [1]

    def step():
        with torch.no_grad():
            for n in range(start[0], start[0] + 200):
                model(torch.ones(n, 64)).sum().item()
        start[0] += 200

    return step, 0, 0


#: whole programs, timed from start to end in a process of their own
SCRIPTS = {
    "one_off_300": """
x = torch.ones(7, 5)
for i in range(100):
    x = (x.reshape(5, 7) if i % 2 else x.t().clone()) * (1 + i / 1000)
    y = x[: 1 + i % 4].sum(0) + i
    z = float(y.max())
""",
    "import": "",
}
NUMPY = {
    "one_off_300": """
import numpy as np
x = np.ones((7, 5), np.float32)
for i in range(100):
    x = (x.reshape(5, 7) if i % 2 else x.T.copy()) * np.float32(1 + i / 1000)
    y = x[: 1 + i % 4].sum(0) + i
    z = float(y.max())
""",
    "import": "import numpy, llvmlite.binding",  # what flambeau stands on
}
