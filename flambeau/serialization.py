"""Saving and loading: ``torch.serialization``."""

from .tensor.serialization import add_safe_globals as add_safe_globals
from .tensor.serialization import clear_safe_globals as clear_safe_globals
from .tensor.serialization import get_safe_globals as get_safe_globals
from .tensor.serialization import load as load
from .tensor.serialization import safe_globals as safe_globals
from .tensor.serialization import save as save
