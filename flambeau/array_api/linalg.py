"""The ``linalg`` extension of the Array API standard."""

from __future__ import annotations

import importlib
from collections import namedtuple

from ..tensor import Tensor
from .functions import (binary, matrix_transpose as matrix_transpose, result_type,
                        tensordot as tensordot, vecdot as vecdot)

_torch = importlib.import_module(__package__.rpartition(".")[0])
_linalg = _torch.linalg

EigenResult = namedtuple("EigenResult", "eigenvalues eigenvectors")
QRResult = namedtuple("QRResult", "Q R")
SlogdetResult = namedtuple("SlogdetResult", "sign logabsdet")
SVDResult = namedtuple("SVDResult", "U S Vh")

matmul, outer = binary(_torch.matmul), binary(_torch.outer)
det, eigvalsh, inv = _linalg.det, _linalg.eigvalsh, _linalg.inv
matrix_power, svdvals = _linalg.matrix_power, _linalg.svdvals
solve = binary(_linalg.solve)


def cholesky(x: Tensor, /, *, upper: bool = False) -> Tensor:
    """The triangular factor of a positive definite matrix."""
    return _linalg.cholesky(x, upper=upper)


def cross(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """The vector product of three elements of an axis."""
    return binary(lambda a, b: _linalg.cross(a, b, dim=axis))(x1, x2)


def diagonal(x: Tensor, /, *, offset: int = 0) -> Tensor:
    """A diagonal of the last two axes."""
    return _torch.diagonal(x, offset, -2, -1)


def eigh(x: Tensor, /) -> EigenResult:
    """Eigenvalues and eigenvectors of a symmetric matrix."""
    return EigenResult(*_linalg.eigh(x))


def matrix_norm(x: Tensor, /, *, keepdims: bool = False, ord="fro") -> Tensor:  # noqa: A002
    """A norm of the last two axes."""
    return _linalg.matrix_norm(x, ord, (-2, -1), keepdims)


def matrix_rank(x: Tensor, /, *, rtol=None) -> Tensor:
    """How many singular values are not negligible."""
    return _linalg.matrix_rank(x, rtol=rtol)


def pinv(x: Tensor, /, *, rtol=None) -> Tensor:
    """The pseudo-inverse."""
    return _linalg.pinv(x, rtol=rtol)


def qr(x: Tensor, /, *, mode: str = "reduced") -> QRResult:
    """A product of orthonormal columns and a triangular matrix."""
    return QRResult(*_linalg.qr(x, mode))


def slogdet(x: Tensor, /) -> SlogdetResult:
    """Sign and logarithm of the determinant."""
    return SlogdetResult(*_linalg.slogdet(x))


def svd(x: Tensor, /, *, full_matrices: bool = True) -> SVDResult:
    """The singular value decomposition."""
    return SVDResult(*_linalg.svd(x, full_matrices))


def trace(x: Tensor, /, *, offset: int = 0, dtype=None) -> Tensor:
    """The sum of a diagonal of the last two axes."""
    return _torch.sum(diagonal(x, offset=offset), -1, dtype=dtype)


def vector_norm(x: Tensor, /, *, axis=None, keepdims: bool = False, ord=2) -> Tensor:  # noqa: A002
    """A norm of axes, or of all elements."""
    out = _linalg.vector_norm(x, ord, axis, keepdims)
    return out.to(result_type(x)) if not x.is_complex() else out
