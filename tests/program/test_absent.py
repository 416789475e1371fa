"""Parts of PyTorch that are not there: what scripts that import them are told; and small parts that
are there by another name."""

import subprocess
import sys
from pathlib import Path

import pytest

import flambeau as torch
from flambeau.base.absent import MODULES

ROOT = Path(__file__).resolve().parents[2]


def _lines(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-m", "flambeau", "-c", code], cwd=ROOT, text=True,
                          capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_absent_modules_say_why():
    names = [*MODULES, "fx.experimental.symbolic_shapes", "ao.nn.quantized"]
    code = ("import importlib\n"
            f"for name in {names!r}:\n"
            "    try:\n        importlib.import_module('torch.' + name)\n"
            "    except ModuleNotFoundError as error:\n        print(error)\n"
            "    else:\n        print('imported', name)\n")
    said = _lines(code)
    assert len(said) == len(names)
    for name, text in zip(names, said, strict=True):
        assert f"No module named 'torch.{name.partition('.')[0]}" in text, text
        assert "flambeau does not have this part of PyTorch (" in text, text


@pytest.mark.parametrize("code, words", [
    ("import torch.fx", "torch.debug.explain"), ("from torch import fx", "torch.debug.explain"),
    ("import torch; torch.fx", "torch.debug.explain"),
    ("from torch.library import custom_op", "torch.autograd.Function"),
    ("from torch.fx import symbolic_trace", "torch.debug.explain"),
    ("from torch.sparse import mm", "dense"), ("import torch; torch.nested.nested_tensor", "masks"),
    ("from torch.utils.cpp_extension import load", "Python"),
    ("from torch.distributed.fsdp import FullyShardedDataParallel", "one process"),
    ("import torch.utils.checkpoints", "Did you mean 'torch.utils.checkpoint'"),
    ("import torch.nnn", "flambeau does not have this part"),
    ("from torch.ao.quantization import quantize", "bfloat16")])
def test_scripts_are_told(code, words):
    done = subprocess.run([sys.executable, "-m", "flambeau", "-c", code], cwd=ROOT, text=True,
                          capture_output=True, timeout=120)
    assert done.returncode == 1 and words in done.stderr.splitlines()[-1], done.stderr


def test_names_of_absent_parts():
    for name in ("fx", "library", "_dynamo", "sparse_coo_tensor", "quantize_per_tensor"):
        assert not hasattr(torch, name)
        with pytest.raises(NotImplementedError, match=f"torch.{name} is not part of flambeau"):
            getattr(torch, name)


def test_other_homes():
    said = _lines("""
import torch, torch.functional, torch.utils.model_zoo, torch.utils.collect_env
import torch.autograd.profiler as profiler
from torch.autograd.profiler import record_function
from torch.functional import einsum
import torch.autograd.forward_ad as fwAD
print(einsum is torch.einsum, profiler.profile is torch.profiler.profile, fwAD.make_dual.__name__)
print("flambeau" in torch.utils.collect_env.get_pretty_env_info())
print(torch.utils.model_zoo.load_url is torch.hub.load_state_dict_from_url)
import torch.cuda.nvtx
try:
    torch.cuda.nvtx.range_push("x")
except RuntimeError as error:
    print(error)
""")
    assert said[:3] == ["True True make_dual", "True", "True"] and "NVTX" in said[3]


def test_futures():
    f = torch.futures.Future()
    after = f.then(lambda x: x.value() + 1)
    every = torch.futures.collect_all([f, after])
    assert not f.done() and not every.done()
    with pytest.raises(RuntimeError, match="not done"):
        f.value()
    f.set_result(2)
    assert after.wait() == 3 and every.wait() == [f, after]
    assert torch.futures.wait_all([f, after]) == [2, 3]
    with pytest.raises(RuntimeError):
        f.set_result(1)
    failed = torch.futures.Future()
    failed.set_exception(ValueError("x"))
    with pytest.raises(ValueError, match="x"):
        failed.wait()
    with pytest.raises(ValueError, match="x"):
        failed.then(lambda v: v.wait()).wait()
    with pytest.raises(AssertionError):
        failed.set_exception("x")
