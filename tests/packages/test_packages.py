"""Packages written on top of PyTorch: each program in programs/ says ``import torch``, runs with
``python -m flambeau``, and must print what it prints under PyTorch (expected/).

    python tests/packages/test_packages.py record [NAME...]    write expected/ anew, with PyTorch

Packages: ``pip install --no-deps -r .ci/packages.txt`` (they require PyTorch; nothing here does). A
program whose packages are not installed is skipped, or fails where PACKAGES_REQUIRED is set.
"""

import importlib.util
import math
import os
import pathlib
import re
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
PROGRAMS = sorted((HERE / "programs").glob("use_*.py"))
NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.\d*(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)(?!\w)")
FLAGS = ("-W", "ignore")
REQUIRED = bool(os.environ.get("PACKAGES_REQUIRED"))


def _needs(program: pathlib.Path) -> list[str]:
    """The packages named in the program's first line: ``# needs: a b``."""
    first = program.read_text().partition("\n")[0]
    return first.removeprefix("# needs:").split()


def _run(program: pathlib.Path, *command) -> subprocess.CompletedProcess:
    env = dict(os.environ, OMP_NUM_THREADS="1", PYTHONIOENCODING="utf-8", PYTHONHASHSEED="0")
    env["PYTHONPATH"] = os.pathsep.join(
        [str(HERE.parents[1]), *filter(None, [env.get("PYTHONPATH")])])
    return subprocess.run([sys.executable, *FLAGS, *command, str(program)], env=env, timeout=120,
                          capture_output=True, encoding="utf-8")


def _same(want: str, have: str) -> bool:
    """Equal text, and numbers with a point equal to four digits."""
    pairs = zip(NUMBER.findall(want), NUMBER.findall(have), strict=False)
    return NUMBER.split(want) == NUMBER.split(have) and all(
        math.isclose(float(a), float(b), rel_tol=1e-3, abs_tol=2e-4) for a, b in pairs)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.stem)
def test_package(program):
    for name in _needs(program):
        if importlib.util.find_spec(name) is None:
            (pytest.fail if REQUIRED else pytest.skip)(f"{name} is not installed")
    done = _run(program, "-m", "flambeau")
    assert done.returncode == 0, done.stderr[-3000:]
    expected = (HERE / "expected" / f"{program.stem}.txt").read_text(encoding="utf-8")
    want, have = expected.rstrip().splitlines(), done.stdout.rstrip().splitlines()
    for i, (a, b) in enumerate(zip(want, have, strict=False)):
        assert _same(a.rstrip(), b.rstrip()), f"line {i + 1}: expected {a!r}, got {b!r}"
    assert len(want) == len(have)


if __name__ == "__main__":
    if sys.argv[1:2] != ["record"]:
        sys.exit(__doc__)
    for path in PROGRAMS:
        if len(sys.argv) == 2 or path.stem in sys.argv[2:]:
            result = _run(path)
            if result.returncode:
                sys.exit(f"{path.name}: {result.stderr[-2000:]}")
            (HERE / "expected" / f"{path.stem}.txt").write_text(result.stdout, encoding="utf-8")
            print(path.name, len(result.stdout.splitlines()), "lines")
