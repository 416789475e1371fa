"""Questions about tensors and dtypes, and settings of the library: torch.is_tensor, result_type,
set_num_threads and their like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..base import dtype as dt
from ..base import limits
from ..base import shape as sh
from ..base.flags import values as flags
from ..ops import core
from ..base.late import late
from .size import Size
from .tensor import Tensor

if TYPE_CHECKING:
    from ..runtime import team
else:
    team = late("..runtime.team", __package__)


def is_tensor(obj) -> bool:
    """Whether ``obj`` is a tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input) -> bool:  # noqa: A002
    """Whether the dtype is a floating one."""
    return input.dtype.is_floating_point


def is_complex(input) -> bool:  # noqa: A002
    """Whether the dtype is complex."""
    return input.dtype.is_complex


def is_nonzero(input) -> bool:  # noqa: A002
    """Whether the only element is not zero.

    Raises:
        RuntimeError: the tensor does not have exactly one element.
    """
    if input.numel() != 1:
        raise RuntimeError("Boolean value of Tensor with "
                           f"{'no' if not input.numel() else 'more than one'} value"
                           f"{'s' if not input.numel() else ''} is ambiguous")
    return input.item() != 0


def is_inference(input) -> bool:  # noqa: A002
    """Whether the tensor was made inside inference_mode()."""
    return input.is_inference()


def numel(input) -> int:  # noqa: A002
    """Number of elements."""
    return input.numel()


def result_type(tensor1, tensor2) -> dt.dtype:
    """The dtype that arithmetic between two tensors or numbers gives."""
    return core.result_type(tensor1, tensor2)


def can_cast(from_, to) -> bool:
    """Whether PyTorch's rules let ``from_`` be converted to ``to`` in an assignment."""
    return dt.can_cast(from_, to)


def broadcast_shapes(*shapes) -> Size:
    """The common shape of operands of these shapes.

    Raises:
        RuntimeError: they do not broadcast.
    """
    fixed = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    if not fixed:
        return Size(())
    try:
        return Size(sh.broadcast_shapes(*fixed))
    except RuntimeError:
        raise RuntimeError("Shape mismatch: objects cannot be broadcast to a single shape: "
                           + ", ".join(map(str, fixed))) from None


def get_num_threads() -> int:
    """Threads that compiled code uses."""
    return team.threads()


def set_num_threads(int) -> None:  # noqa: A002
    """Threads that compiled code may use, for plans made from now on."""
    if not isinstance(int, _INT):
        raise RuntimeError(f"set_num_threads expects an int, but got {type(int).__name__}")
    if int < 1:
        raise RuntimeError("set_num_threads expects a positive integer")
    flags.threads = int


_INT = int
_interop = [1]


def get_num_interop_threads() -> int:
    """Accepted for compatibility."""
    return _interop[0]


def set_num_interop_threads(int) -> None:  # noqa: A002
    """Accepted for compatibility: there is one pool of threads."""
    _interop[0] = int


class _Settings:
    deterministic = False
    warn_only = False
    matmul_precision = "highest"


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accepted: results never depend on thread timing here."""
    _Settings.deterministic, _Settings.warn_only = bool(mode), warn_only


def are_deterministic_algorithms_enabled() -> bool:
    """What use_deterministic_algorithms was given."""
    return _Settings.deterministic


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """What use_deterministic_algorithms was given."""
    return _Settings.warn_only


def set_float32_matmul_precision(precision: str) -> None:
    """Accepted: float32 products are always computed in float32."""
    if precision not in ("highest", "high", "medium"):
        raise ValueError(f"precision must be 'highest', 'high' or 'medium', got {precision!r}")
    _Settings.matmul_precision = precision


def get_float32_matmul_precision() -> str:
    """What set_float32_matmul_precision was given."""
    return _Settings.matmul_precision


def compile(model=None, **options):  # noqa: A001
    """The function or module as it is: everything is compiled once it repeats."""
    if model is None:
        return lambda m: m
    return model


def is_storage(obj) -> bool:
    """Whether ``obj`` is a storage object."""
    return False


def typename(obj) -> str:
    """The full name of an object's type."""
    if isinstance(obj, Tensor):
        return obj.type()
    return f"{type(obj).__module__}.{type(obj).__qualname__}"


def namespace() -> dict:
    """What this file adds to ``torch``."""
    names = {k: v for k, v in globals().items()
             if getattr(v, "__module__", None) == __name__ and not k.startswith("_")
             and k != "namespace"}
    names.update(finfo=limits.finfo, iinfo=limits.iinfo)
    return names
