"""nn.functional: collected from the registry; every function is declared beside its operation.

Only what is made of other functions alone, and belongs to modules, is added here.
"""

from __future__ import annotations

from ..tensor import Tensor

globals().update(Tensor.functional)

from . import composites as _composites  # noqa: E402  (they need the names above)
from . import multihead as _multihead  # noqa: E402

multi_head_attention_forward = _multihead.multi_head_attention_forward
_canonical_mask = _multihead.canonical_mask
for _name in ("gumbel_softmax", "linear_cross_entropy", "relu_", "rrelu_"):
    globals().setdefault(_name, getattr(_composites, _name))
