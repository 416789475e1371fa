"""Layer 6: Tensor and everything the program touches directly."""

from ..autograd.modes import (enable_grad as enable_grad, inference_mode as inference_mode,
                              is_grad_enabled as is_grad_enabled,
                              is_inference_mode_enabled as is_inference_mode_enabled,
                              no_grad as no_grad, set_grad_enabled as set_grad_enabled)
from .tensor import Tensor as Tensor
from .size import Size as Size
from . import dispatch as dispatch
from . import inplace as inplace
from . import backward as backward
from . import host as host
from . import operators as operators
