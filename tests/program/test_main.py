"""python -m flambeau: programs that say ``import torch``."""

import pathlib
import subprocess
import sys

import pytest

import flambeau

ROOT = pathlib.Path(flambeau.__file__).parents[1]


def _run(tmp_path, *args, **files):
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "flambeau", *args], cwd=tmp_path, text=True, capture_output=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}, timeout=60)


def test_script(tmp_path):
    done = _run(tmp_path, "prog.py", "--lr", "1", prog="""
import sys, torch, torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader
import flambeau, other
print(torch is flambeau, F is flambeau.nn.functional, sys.argv, __name__, __file__, other.x)
""", other="x = 3")
    assert done.stdout.split() == ["True", "True", "['prog.py',", "'--lr',", "'1']", "__main__",
                                   "prog.py", "3"], done.stderr


def test_module_and_code(tmp_path):
    done = _run(tmp_path, "-m", "prog", "x", prog="import sys, torch; print(sys.argv[1:])")
    assert done.stdout == "['x']\n"
    done = _run(tmp_path, "-c", "import torch; print(torch.ones(2).sum().item())")
    assert done.stdout == "2.0\n"


def test_failures(tmp_path):
    done = _run(tmp_path, "prog.py", prog="import torch\ndef f():\n    torch.ones(2) @ 3\nf()\n")
    assert done.returncode == 1
    assert done.stderr.startswith('Traceback (most recent call last):\n  File "prog.py", line 4')
    assert _run(tmp_path, "prog.py", prog="raise SystemExit(7)").returncode == 7
    assert _run(tmp_path, "nothere.py").returncode == 2
    done = _run(tmp_path, "-c", "import torch; torch.relux")
    assert "Did you mean 'torch.relu'?" in done.stderr
    done = _run(tmp_path, "-c", "import torch.quantization_aware")
    assert "flambeau does not have this part" in done.stderr


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes(tmp_path, method):
    done = _run(tmp_path, "prog.py", prog=f"""
import torch, torch.multiprocessing as mp
def work(x, queue):
    import flambeau
    queue.put((torch is flambeau, x.sum().item()))
if __name__ == "__main__":
    context = mp.get_context({method!r})
    queue = context.SimpleQueue()
    p = context.Process(target=work, args=(torch.ones(3), queue))
    p.start(); print(queue.get()); p.join()
""")
    assert done.stdout == "(True, 3.0)\n", done.stderr


def test_help_and_version(tmp_path):
    assert "script.py args" in _run(tmp_path, "--help").stdout
    assert _run(tmp_path, "--version").stdout.startswith("flambeau ")
