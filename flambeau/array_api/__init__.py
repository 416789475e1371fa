"""The Array API namespace of tensors: ``x.__array_namespace__()``.

Standard 2024.12 with the extensions ``linalg`` and ``fft``. Libraries that are written for the
standard call these functions; PyTorch's own names stay as they are.
"""

from __future__ import annotations

import importlib

from . import fft as fft
from . import functions as _functions
from . import linalg as linalg
from .info import __array_namespace_info__ as __array_namespace_info__

__array_api_version__ = "2024.12"
VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")

_torch = importlib.import_module(__package__.rpartition(".")[0])

#: functions that PyTorch has under another name
_RENAMED = {"bitwise_invert": "bitwise_not", "negative": "negative", "positive": "positive"}
#: functions of two arrays
_BINARY = (
    "add", "atan2", "bitwise_and", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift",
    "bitwise_xor", "copysign", "divide", "floor_divide", "greater", "greater_equal", "hypot",
    "less", "less_equal", "logaddexp", "logical_and", "logical_or", "logical_xor", "maximum",
    "minimum", "multiply", "nextafter", "not_equal", "pow", "remainder", "subtract")
_SAME = (
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "conj", "cos", "cosh", "exp", "expm1",
    "imag", "isfinite", "isinf", "isnan", "log", "log1p", "log2", "log10", "logical_not",
    "reciprocal", "signbit", "sin", "sinh", "sqrt", "square", "tan", "tanh", "arange", "empty",
    "empty_like", "from_dlpack", "full", "full_like", "ones", "ones_like", "tril", "triu", "zeros",
    "zeros_like", "broadcast_shapes", "broadcast_to", "isin", "tile", "finfo", "iinfo", "e",
    "inf", "nan", "newaxis", "pi", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16",
    "uint32", "uint64", "float32", "float64", "complex64", "complex128")
_OWN = (
    "all", "any", "argmax", "argmin", "argsort", "asarray", "astype", "broadcast_arrays",
    "can_cast", "ceil", "clip", "concat", "count_nonzero", "cumulative_prod", "cumulative_sum",
    "diff", "expand_dims", "eye", "flip", "floor", "isdtype", "linspace", "matrix_transpose", "max",
    "mean", "meshgrid", "min", "moveaxis", "nonzero", "permute_dims", "prod", "real", "repeat",
    "reshape", "result_type", "roll", "round", "searchsorted", "sign", "sort", "squeeze", "stack",
    "std", "sum", "take", "take_along_axis", "tensordot", "trunc", "unique_all", "unique_counts",
    "unique_inverse", "unique_values", "unstack", "var", "vecdot", "where")

_names = {name: getattr(_torch, name) for name in _SAME}
_names |= {name: getattr(_functions, name) for name in _OWN}
_names |= {name: _functions.binary(getattr(_torch, name)) for name in _BINARY}
_names |= {name: getattr(_torch, theirs) for name, theirs in _RENAMED.items()}
_names |= {"equal": _functions.binary(_torch.eq), "matmul": linalg.matmul}
globals().update(_names)
__all__ = ["linalg", "fft", "__array_namespace_info__", "__array_api_version__"]
__all__ += list(_names)
