"""torch._tensor_str: the plain text of a tensor, which libraries that patch ``__repr__`` call."""

from .tensor.factories import plain_text as _str
from .tensor.printing import set_printoptions as set_printoptions

__all__ = ["_str", "set_printoptions"]
