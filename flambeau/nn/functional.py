"""nn.functional: collected from the registry; every function is declared beside its operation.

Only what is made of other functions alone, and belongs to a module, is added here.
"""

from __future__ import annotations

from ..tensor import Tensor

globals().update(Tensor.functional)

from . import multihead as _multihead  # noqa: E402  (needs the names above)

multi_head_attention_forward = _multihead.multi_head_attention_forward
scaled_dot_product_attention = Tensor.functional.get(
    "scaled_dot_product_attention", _multihead.scaled_dot_product_attention)
_canonical_mask = _multihead.canonical_mask
