"""Where PyTorch keeps the parts of its loader; some programs look for them here."""

from .. import collate as collate
from .. import fetch as fetch
from .. import worker as worker
