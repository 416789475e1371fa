"""Names for the situations in which an exception is raised.

The classes are the very ones PyTorch raises, since programs look at ``type(error)``; the names say
in the code what went wrong. Only :class:`InternalError` is a class of our own.
"""

from __future__ import annotations

#: sizes that do not fit each other
ShapeError = RuntimeError
#: a dimension number outside the tensor's dimensions
DimError = IndexError
#: an operation that is not defined for this dtype, or dtypes that do not mix
DTypeError = RuntimeError


class InternalError(RuntimeError):
    """Our own mistake, never the user's: please report it with the program."""


class IndexValueError(RuntimeError):
    """A position outside its axis, in the operations where PyTorch raises RuntimeError for it;
    it reaches the program as a plain RuntimeError that names the line."""


class LinAlgError(RuntimeError):
    """A matrix that has no such decomposition or inverse (torch.linalg.LinAlgError)."""
