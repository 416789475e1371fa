"""Element types and PyTorch's type promotion.

A :class:`dtype` is a singleton; compare with ``is``.  ``np`` is the NumPy dtype that stores it
(bfloat16 through ml_dtypes).
"""

from __future__ import annotations

import ml_dtypes
import numpy as np


class dtype:  # noqa: N801  (PyTorch's spelling)
    """The type of a tensor's elements, such as ``torch.float32``."""

    __slots__ = ("name", "np", "itemsize", "is_floating_point", "is_complex", "category", "rank")

    #: categories of the promotion lattice, lowest first
    BOOL, INT, FLOAT, COMPLEX = range(4)

    def __init__(self, name: str, np_dtype, category: int, rank: int):
        self.name = name
        self.np = np.dtype(np_dtype)
        self.itemsize = self.np.itemsize
        self.category = category
        self.rank = rank
        self.is_floating_point = category == dtype.FLOAT
        self.is_complex = category == dtype.COMPLEX

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self):
        return self.name

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    @property
    def is_signed(self) -> bool:
        return self.name not in ("bool", "uint8", "uint16", "uint32", "uint64")

    def to_real(self) -> dtype:
        """complex64 -> float32, complex128 -> float64, others unchanged."""
        return {complex64: float32, complex128: float64}.get(self, self)

    def to_complex(self) -> dtype:
        """float32 and narrower -> complex64, float64 -> complex128, complex unchanged."""
        if self.is_complex:
            return self
        return complex128 if self is float64 else complex64


bool_ = dtype("bool", np.bool_, dtype.BOOL, 0)
uint8 = dtype("uint8", np.uint8, dtype.INT, 1)
int8 = dtype("int8", np.int8, dtype.INT, 1)
uint16 = dtype("uint16", np.uint16, dtype.INT, 2)
int16 = dtype("int16", np.int16, dtype.INT, 2)
uint32 = dtype("uint32", np.uint32, dtype.INT, 3)
int32 = dtype("int32", np.int32, dtype.INT, 3)
uint64 = dtype("uint64", np.uint64, dtype.INT, 4)
int64 = dtype("int64", np.int64, dtype.INT, 4)
float16 = dtype("float16", np.float16, dtype.FLOAT, 5)
bfloat16 = dtype("bfloat16", ml_dtypes.bfloat16, dtype.FLOAT, 5)
float32 = dtype("float32", np.float32, dtype.FLOAT, 6)
float64 = dtype("float64", np.float64, dtype.FLOAT, 7)
complex64 = dtype("complex64", np.complex64, dtype.COMPLEX, 8)
complex128 = dtype("complex128", np.complex128, dtype.COMPLEX, 9)

ALL = (bool_, uint8, int8, uint16, int16, uint32, int32, uint64, int64,
       float16, bfloat16, float32, float64, complex64, complex128)
BY_NAME = {d.name: d for d in ALL}
_BY_NUMPY = {d.np: d for d in ALL}
_default = float32


def get_default_dtype() -> dtype:
    """The floating dtype that Python floats become."""
    return _default


def set_default_dtype(d: dtype) -> None:
    """Set the floating dtype that Python floats become.

    Raises:
        TypeError: ``d`` is not a floating dtype.
    """
    global _default
    if not isinstance(d, dtype) or not d.is_floating_point:
        raise TypeError(f"only floating-point types are supported as the default type, got {d}")
    _default = d


def from_numpy(np_dtype) -> dtype:
    """The dtype that stores the same elements as a NumPy dtype (native byte order).

    Raises:
        TypeError: flambeau has no such dtype.
    """
    found = _BY_NUMPY.get(np.dtype(np_dtype))
    if found is None:
        names = ", ".join(d.name for d in ALL)
        raise TypeError(f"can't convert np.ndarray of type numpy.{np.dtype(np_dtype)}. "
                        f"The supported types are: {names}")
    return found


def of_scalar(value) -> dtype:
    """The dtype a Python number becomes as a 0-d tensor (floats take the default dtype)."""
    if isinstance(value, (bool, np.bool_)):
        return bool_
    if isinstance(value, (int, np.integer)):
        return int64
    if isinstance(value, (float, np.floating)):
        return _default
    if isinstance(value, (complex, np.complexfloating)):
        return _default.to_complex()
    raise TypeError(f"not a number: {type(value).__name__}")


def _promote(a: dtype, b: dtype) -> dtype:
    if a is b:
        return a
    if a.category < b.category:
        a, b = b, a
    if a.category != b.category:
        if a.is_complex and b is float64:
            return complex128
        return a
    if a.rank != b.rank:
        high, low = (a, b) if a.rank > b.rank else (b, a)
        if a.category == dtype.INT and high.is_signed != low.is_signed and not high.is_signed:
            # uint16 and wider promote with nothing signed in PyTorch
            raise RuntimeError(f"Promotion for {a.name} and {b.name} is not supported")
        return high
    if a.category == dtype.FLOAT:  # float16 with bfloat16
        return float32
    pair = {a, b}  # same rank, one signed and one not: only uint8/int8 has a home
    if pair == {uint8, int8}:
        return int16
    raise RuntimeError(f"Promotion for {a.name} and {b.name} is not supported")


_table: dict[tuple[dtype, dtype], dtype] = {}


def promote_types(a: dtype, b: dtype) -> dtype:
    """The smallest dtype (by PyTorch's table) that both convert to safely."""
    found = _table.get((a, b))
    if found is None:
        found = _table[a, b] = _promote(a, b)
    return found


def can_cast(source: dtype, to: dtype) -> bool:
    """Whether PyTorch lets a result of dtype ``source`` be written into a tensor of ``to``."""
    if source.category > to.category and not (source.category == dtype.INT
                                              and to.category == dtype.INT):
        return False
    return True


_SCALAR_NAMES = {
    "float64": "Double", "float32": "Float", "float16": "Half", "bfloat16": "BFloat16",
    "int64": "Long", "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte",
    "bool": "Bool", "complex64": "ComplexFloat", "complex128": "ComplexDouble",
    "uint16": "UInt16", "uint32": "UInt32", "uint64": "UInt64"}


def scalar_name(d: dtype) -> str:
    """PyTorch's name of a dtype in messages ("Float")."""
    return _SCALAR_NAMES[d.name]
