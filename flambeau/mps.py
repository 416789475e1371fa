"""torch.mps where there is no such device: questions answer no, requests raise RuntimeError."""

from .base.nodevice import functions as _functions

globals().update(_functions("mps", "there is no mps device here: use 'cpu'"))
