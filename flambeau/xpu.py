"""torch.xpu where there is no such device: questions answer no, requests raise RuntimeError."""

from .base.nodevice import functions as _functions

globals().update(_functions("xpu", "there is no xpu device here: use 'cpu'"))
