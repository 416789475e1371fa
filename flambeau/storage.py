"""torch.storage: memory as objects."""

from .tensor.blocks import TypedStorage as TypedStorage
from .tensor.blocks import UntypedStorage as UntypedStorage
