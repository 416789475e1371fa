"""torch.cuda.nvtx without a GPU: every function raises RuntimeError, as in a build without CUDA."""

from __future__ import annotations


def _missing(name: str):
    def call(*args, **kwargs):
        raise RuntimeError("NVTX functions not installed. Are you sure you have a CUDA build? Here "
                           "torch.profiler.record_function names a part of a program")

    call.__name__, call.__doc__ = name, f"torch.cuda.nvtx.{name}: there is no GPU here."
    return call


range_push, range_pop, range_start, range_end, mark, range = map(  # noqa: A001
    _missing, ("range_push", "range_pop", "range_start", "range_end", "mark", "range"))
