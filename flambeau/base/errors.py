"""Exception classes: each is a subclass of what PyTorch raises in the same situation."""

from __future__ import annotations


class InternalError(RuntimeError):
    """Our own mistake, never the user's: please report it with the program."""


class ShapeError(RuntimeError):
    """Sizes that do not fit each other."""


class DimError(IndexError):
    """A dimension number outside the tensor's dimensions."""


class DTypeError(RuntimeError):
    """An operation that is not defined for this dtype, or dtypes that do not mix."""


class IndexValueError(RuntimeError):
    """A position outside its axis in gather and scatter (PyTorch: RuntimeError)."""
