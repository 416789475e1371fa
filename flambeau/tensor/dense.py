"""What PyTorch's sparse and quantised tensors have, of dense ones: there are no others here."""

from __future__ import annotations

from ..base import dtype as dt
from .tensor import Tensor

_QUANTIZED = ("int_repr", "q_scale", "q_zero_point", "qscheme", "q_per_channel_axis",
              "q_per_channel_scales", "q_per_channel_zero_points")
_SPARSE = {"coalesce": "coordinate ", "is_coalesced": "coordinate ", "indices": "coordinate ",
           "values": "", "crow_indices": "row compressed ", "col_indices": "row compressed ",
           "ccol_indices": "column compressed ", "row_indices": "column compressed "}
_TO_SPARSE = ("to_sparse", "to_sparse_coo", "to_sparse_csr", "to_sparse_csc", "to_sparse_bsr",
              "to_sparse_bsc", "sparse_mask", "to_mkldnn")
_REMOVED = {"eig": "eig", "symeig": "eigh", "solve": "solve", "lstsq": "lstsq"}


def dequantize(input: Tensor) -> Tensor:  # noqa: A002
    """The values as float32; no tensor is quantised here."""
    return input.to(dt.float32)


def sparse_dim(self: Tensor) -> int:
    """How many dimensions are stored sparsely: none."""
    return 0


def dense_dim(self: Tensor) -> int:
    """How many dimensions are stored densely: all."""
    return len(self.shape)


def dim_order(self: Tensor, *, ambiguity_check=False) -> tuple[int, ...]:
    """The dimensions in the order of memory, the outermost first."""
    return tuple(sorted(range(len(self.shape)), key=lambda i: -self.strides[i]))


def to_dense(self: Tensor, dtype=None, *, masked_grad=None) -> Tensor:
    """The tensor: it is dense."""
    return self if dtype is None else self.to(dtype)


def _raising(name: str, error: type[Exception], text: str):
    def method(self: Tensor, *args, **kwargs):
        raise error(text)

    method.__doc__ = f"Raises {error.__name__}: {text}"
    return method


_METHODS = {"dequantize": dequantize, "sparse_dim": sparse_dim, "dense_dim": dense_dim,
            "dim_order": dim_order, "to_dense": to_dense}
for _name in _QUANTIZED:
    _METHODS[_name] = _raising(_name, NotImplementedError, (
        f"Could not run 'aten::{_name}' with arguments from the 'CPU' backend: the tensor is not "
        "quantised; quantised tensors do not exist here"))
for _name, _kind in _SPARSE.items():
    _METHODS[_name] = _raising(_name, RuntimeError, (
        f"{_name} expected sparse {_kind}tensor layout but got Strided: sparse tensors do not "
        "exist here"))
for _name in _TO_SPARSE:
    _METHODS[_name] = _raising(_name, NotImplementedError, (
        f"Tensor.{_name} is not part of flambeau: sparse tensors do not exist here; use dense ones "
        "with masks"))
for _name, _new in _REMOVED.items():
    _METHODS[_name] = _raising(_name, RuntimeError, (
        "This function was deprecated since version 1.9 and is now removed: use "
        f"torch.linalg.{_new}"))
for _name, _method in _METHODS.items():
    _method.__name__, _method.__qualname__ = _name, f"Tensor.{_name}"
    setattr(Tensor, _name, _method)
