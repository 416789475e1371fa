"""torch.types: names for annotations."""

from __future__ import annotations

import builtins as _builtins
import os as _os
from collections.abc import Sequence as Sequence
from typing import IO as IO
from typing import Any as Any
from typing import TypeAlias as TypeAlias
from typing import Union as Union

from .base.device import device as _device
from .tensor import Size as Size
from .tensor import Tensor as Tensor
from .tensor.blocks import TypedStorage as _TypedStorage
from .tensor.blocks import UntypedStorage as _UntypedStorage

_int, _float, _bool = _builtins.int, _builtins.float, _builtins.bool
_size = Union[Size, list[int], tuple[int, ...]]  # noqa: UP007
Number: TypeAlias = Union[int, float, bool]  # noqa: UP007
Device: TypeAlias = Union[_device, str, int, None]  # noqa: UP007
FileLike: TypeAlias = Union[str, _os.PathLike[str], IO[bytes]]  # noqa: UP007
IntLikeType: TypeAlias = int
FloatLikeType: TypeAlias = float
BoolLikeType: TypeAlias = bool
Storage: TypeAlias = Union[_UntypedStorage, _TypedStorage]  # noqa: UP007
