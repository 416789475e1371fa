"""Utilities beside the core: data loading."""

from . import checkpoint as checkpoint
from . import data as data
from . import dlpack as dlpack
