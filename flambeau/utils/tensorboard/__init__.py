"""torch.utils.tensorboard: writing what TensorBoard shows, through the ``tensorboard`` package."""

try:
    import tensorboard as _tensorboard  # noqa: F401
except ModuleNotFoundError as _error:
    if _error.name != "tensorboard":
        raise
    raise ModuleNotFoundError(
        "torch.utils.tensorboard needs the tensorboard package, which is not installed: "
        "pip install 'flambeau[tensorboard]' (or pip install tensorboard)",
        name="tensorboard") from None

from tensorboard.summary.writer.record_writer import RecordWriter as RecordWriter

from . import summary as summary
from .writer import FileWriter as FileWriter
from .writer import SummaryWriter as SummaryWriter
