"""Parts of PyTorch's API that flambeau does not have: modules whose every use says so."""

from __future__ import annotations

import types

_NO_TRACER = "there is no tracing compiler; programs are compiled while they run " \
             "(torch.compile gives back what it is given)"
_NO_QUANTIZED = "quantized tensors do not exist here; use bfloat16 or float16 weights " \
                "(module.to(torch.bfloat16))"
_NO_SPARSE = "sparse tensors do not exist here; use dense ones with masks"
_ONE_PROCESS = "training runs in one process; DistributedDataParallel accepts a world of one"
#: parts of PyTorch that are not there, with the reason and what is nearest
MODULES = {
    "_dynamo": _NO_TRACER, "_inductor": _NO_TRACER, "_export": _NO_TRACER,
    "_functorch": "the functions are in torch.func",
    "fx": "modules are not traced into graphs; torch.debug.explain(function) shows what is "
          "computed, and forward hooks see what goes through a module",
    "library": "operators are not registered; write a torch.autograd.Function, or see "
               "docs/adding-an-op.md for one that is compiled",
    "sparse": _NO_SPARSE, "nested": "nested tensors do not exist here; pad_sequence and masks do "
                                    "the same (torch.nn.utils.rnn)",
    "masked": "masked tensors do not exist here; use torch.where or masked_fill",
    "quantization": _NO_QUANTIZED, "ao": _NO_QUANTIZED, "nn.quantized": _NO_QUANTIZED,
    "nn.quantizable": _NO_QUANTIZED, "nn.qat": _NO_QUANTIZED, "nn.intrinsic": _NO_QUANTIZED,
    "package": "save weights with torch.save(model.state_dict(), path)",
    "classes": "there is no C++ here", "utils.cpp_extension": "there is no C++ here; operations "
               "are written in Python and compiled (docs/adding-an-op.md)",
    "monitor": "there are no counters; torch.profiler shows where time goes",
    "mtia": "there is no such device here: use 'cpu'",
    "nn.attention.flex_attention": "use torch.nn.functional.scaled_dot_product_attention with a "
                                   "mask",
    "utils.bottleneck": "use torch.profiler or cProfile",
    "utils.flop_counter": "torch.profiler shows what was computed",
    "utils.mobile_optimizer": "models are not exported to devices",
    "utils.module_tracker": "torch.profiler names modules",
    "utils.weak": "use Python's weakref: tensors compare by identity there",
    "distributed.fsdp": _ONE_PROCESS, "distributed.tensor": _ONE_PROCESS,
    "distributed.rpc": _ONE_PROCESS, "distributed.pipelining": _ONE_PROCESS,
    "distributed.optim": "use torch.optim: there is one process",
    "distributed.elastic": _ONE_PROCESS, "distributed.device_mesh": _ONE_PROCESS,
    "distributed.checkpoint": "use torch.save and torch.load: there is one process",
    "testing._internal": "PyTorch's own tests are not part of it; torch.testing has assert_close, "
                         "make_tensor and gradcheck",
}


def why_absent(name: str) -> str:
    """The reason why ``torch.<name>``, or the part that it belongs to, is not there; "" if it is
    not known."""
    while name:
        if name in MODULES:
            return MODULES[name]
        name = name.rpartition(".")[0]
    return ""


class AbsentError(NotImplementedError, AttributeError):
    """A name of an absent module was asked for (``hasattr`` says no)."""


def absent(module: types.ModuleType | str, why: str):
    """A module-level ``__getattr__`` which raises NotImplementedError with ``why``."""

    def __getattr__(name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        raise AbsentError(f"{module}.{name} is not part of flambeau: {why}")

    return __getattr__
