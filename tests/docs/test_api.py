"""What is public says what it is: names that programs use, the API pages, the type stubs."""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import flambeau as torch
from flambeau.namespace import LATE

ROOT = Path(__file__).resolve().parents[2]
LINES = (Path(__file__).parent / "names.txt").read_text().splitlines()
NAMES = [name for line in LINES if not line.startswith("#") for name in line.split()]
STUBS = sorted((ROOT / "flambeau").rglob("*.pyi"))

USES = '''
import flambeau as torch
from flambeau import nn
from flambeau.nn import functional as F

x: torch.Tensor = torch.randn(3, 4, requires_grad=True)
n: int = x.numel()
y = (x @ x.T).relu_().sum(dim=0, keepdim=True) * 2 + 1
y.add_(1, alpha=2).backward()
z: torch.Tensor = F.softmax(torch.linalg.inv(torch.eye(3)), dim=-1)
size: torch.Size = z.shape
f: float = float(z[0, 0])
torch.add(z, z, out=torch.empty(3, 3))
values, indices = torch.topk(z, 2)
d: torch.dtype = torch.float32
w = torch.zeros(2, 3, dtype=torch.int64, device="cpu")
'''


def _find(name: str):
    """The object of a dotted name: modules as far as they go, then attributes."""
    parts = name.replace("torch", "flambeau", 1).split(".")
    found, i = torch, 1
    while i < len(parts):
        if inspect.ismodule(found) and not hasattr(found, parts[i]):
            importlib.import_module(".".join(parts[:i + 1]))
        found = getattr(found, parts[i])
        i += 1
    return found


@pytest.mark.parametrize("name", NAMES)
def test_name(name):
    if name.removeprefix("torch.Tensor.") in torch.Tensor.__annotations__:
        return  # every tensor has its own
    thing = _find(name)
    assert (thing.__doc__ or "").strip(), f"{name} has no docstring"


@pytest.fixture(scope="module")
def pages():
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        yield importlib.import_module("api_pages")
    finally:
        sys.path.remove(str(ROOT / "tools"))


def test_every_public_name_is_described(pages):
    missing = [f"{module}.{name}" for module in pages.MODULES
               for name, value in pages.members(module).items() if not pages.summary(value)]
    assert not missing


def test_every_name_of_the_list_has_a_page(pages):
    text = {m: (ROOT / "docs/api" / f"{m}.md").read_text() for m in pages.MODULES}
    for name in NAMES:
        home, _, last = name.rpartition(".")
        if home in text and not last.startswith("__"):
            assert f"### {last}\n" in text[home] or f"| `{last}" in text[home] or \
                isinstance(_find(name), torch.dtype), name


def test_every_module_has_a_page_or_is_internal(pages):
    rooms = {"base", "ir", "ops", "graph", "kernel", "schedule", "codegen", "runtime", "tensor",
             "as_torch", "namespace", "standin", "testing"}
    # modules that only hold switches, or names that stand elsewhere too
    bare = {"accelerator", "backends", "cpu", "export", "functional", "mps", "onnx",
            "return_types", "signal", "storage", "torch_version", "types", "utils",
            "version", "xpu"}
    public = {m.name for m in pkgutil.iter_modules(torch.__path__) if not m.name.startswith("_")}
    with_page = {m.split(".")[1] for m in pages.MODULES if "." in m}
    assert public - rooms - bare - with_page == set()


@pytest.mark.parametrize("path", STUBS, ids=lambda p: str(p.relative_to(ROOT)))
def test_stub_is_python(path):
    tree = ast.parse(path.read_text())
    functions = [n.name for n in tree.body if isinstance(n, ast.FunctionDef)]
    assert len(functions) == len(set(functions))


def test_stub_names_everything_public():
    tree = ast.parse((ROOT / "flambeau/__init__.pyi").read_text())
    known = {a.asname for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names}
    known |= {n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    known |= {n.target.id for n in tree.body if isinstance(n, ast.AnnAssign)}
    for name in LATE:
        getattr(torch, name)
    public = {n for n in vars(torch) if not n.startswith("_") and n != "annotations"}
    assert public <= known, public - known
    tensor = ast.parse((ROOT / "flambeau/tensor/tensor.pyi").read_text())
    cls = next(n for n in tensor.body if isinstance(n, ast.ClassDef))
    members = {n.name for n in cls.body if isinstance(n, ast.FunctionDef)}
    members |= {n.target.id for n in cls.body if isinstance(n, ast.AnnAssign)}
    missing = {n for n in dir(torch.Tensor) if not n.startswith("_")} - members
    assert not missing and {"add_", "relu_", "__iadd__", "__matmul__"} <= members


def test_stubs_type_check(tmp_path):
    pytest.importorskip("mypy")
    program = tmp_path / "program.py"
    program.write_text(USES + "\nwrong: str = x.numel()\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file=", "--follow-imports=silent",
         f"--cache-dir={tmp_path}", "--check-untyped-defs", str(program),
         *map(str, STUBS)], cwd=ROOT, capture_output=True, text=True, timeout=300)
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert len(errors) == 1, done.stdout + done.stderr
    assert "program.py" in errors[0] and 'expression has type "int"' in errors[0]
