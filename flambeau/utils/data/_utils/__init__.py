"""Where PyTorch keeps the parts of its loader; some programs look for them here."""

from .. import fetch as fetch
from .. import worker as worker
from . import collate as collate
