"""torch.torch_version: the class of ``torch.__version__``."""

from .base.version import TorchVersion as TorchVersion
from .version import __version__ as __version__
