"""Programs whose operations run once or a few times: no compiler is loaded for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMPILER = ("llvmlite", "flambeau.codegen", "flambeau.schedule", "flambeau.runtime.plan")


def run(code: str) -> str:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, text=True, capture_output=True,
                          check=True)
    return done.stdout.strip()


def loaded(code: str) -> str:
    """Which of the compiler's modules a program loads."""
    return run(f"import sys\nimport flambeau as torch\n{code}\n"
               f"print(*[name for name in {COMPILER!r} if name in sys.modules])")


def test_one_off_operations_load_no_compiler():
    assert loaded("""
x = torch.ones(7, 5)
for i in range(100):
    x = (x.reshape(5, 7) if i % 2 else x.t().clone()) * (1 + i / 1000)
    y = x[: 1 + i % 4].sum(0) + i
    z = float(y.max())
torch.randn(20, 20), torch.rand(3), torch.randperm(10), torch.randint(5, (3,))
m, s = x.mean(), x.std(dim=1)
w = torch.where(x > m, x, -x).sum().item(), s.tolist(), torch.arange(10).float().sum().item()
""") == ""


def test_light_structures_are_compiled_when_they_come_often():
    many = "x = torch.ones(5)\nfor i in range({}): (x * i).sum().item()"
    assert loaded(many.format(60)) == ""
    assert loaded(many.format(80)) == " ".join(COMPILER)


def test_steps_are_compiled_when_they_come_again():
    assert loaded("""
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
sgd = torch.optim.SGD(model.parameters(), lr=0.1)
x = torch.ones(3, 4)
for _ in range(4):
    sgd.zero_grad()
    model(x).square().mean().backward()
    sgd.step()
""") == " ".join(COMPILER)
