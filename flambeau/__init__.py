"""flambeau: PyTorch's programming model, recorded, interpreted and compiled in Python.

``import flambeau as torch`` runs a PyTorch program unchanged.
"""

from __future__ import annotations

import gc as _gc
import math as _math

from .base import interpreter as _interpreter  # refuses those that it does not know
from . import ops as _ops
from . import autograd as autograd
from .base import dtype as _dt
from .base.device import device as device
from .base.dtype import (bfloat16 as bfloat16, complex64 as complex64, complex128 as complex128,
                         dtype as dtype, float16 as float16, float32 as float32,
                         float64 as float64, get_default_dtype as get_default_dtype,
                         int8 as int8, int16 as int16, int32 as int32, int64 as int64,
                         promote_types as promote_types, set_default_dtype as set_default_dtype,
                         uint8 as uint8, uint16 as uint16, uint32 as uint32, uint64 as uint64)
from .tensor import Size as Size
from .tensor import Tensor as Tensor
from .tensor import (enable_grad as enable_grad, inference_mode as inference_mode,
                     is_grad_enabled as is_grad_enabled,
                     is_inference_mode_enabled as is_inference_mode_enabled, no_grad as no_grad,
                     set_grad_enabled as set_grad_enabled)
from .tensor import install as _install

bool = _dt.bool_  # noqa: A001
float, double, half = float32, float64, float16  # noqa: A001
int, long, short = int32, int64, int16  # noqa: A001
cfloat, cdouble = complex64, complex128
pi, e, inf, nan = _math.pi, _math.e, _math.inf, _math.nan

from .version import __version__ as __version__  # noqa: E402

_install.install_all(globals())

from . import namespace as _namespace  # noqa: E402  (needs the installed functions)

_namespace.fill(globals())

if not _gc.get_stats()[2]["collections"]:
    # at the start of a program there are modules and little else, and they stay: no collection has
    # to walk them again, those at the program's end included
    _gc.freeze()
