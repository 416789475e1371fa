"""multi_head_attention_forward: the function behind MultiheadAttention."""

from __future__ import annotations

import math
import warnings

from . import functional as F
from .core import Tensor, bool_, cat, zeros


def canonical_mask(mask: Tensor | None, name: str, other_type, other_name: str, dtype,
                   check_other: bool = True) -> Tensor | None:
    """A mask as numbers to be added to the scores: True becomes minus infinity.

    Raises:
        AssertionError: the mask is neither bool nor floating.
    """
    if mask is None:
        return None
    floating = mask.is_floating_point()
    if mask.dtype != bool_ and not floating:
        raise AssertionError(f"only bool and floating types of {name} are supported")
    if check_other and other_type is not None and mask.dtype != other_type:
        warnings.warn(f"Support for mismatched {name} and {other_name} is deprecated. Use same "
                      "type for both instead.", stacklevel=3)
    if floating:
        return mask
    return mask.new_zeros(mask.shape, dtype=dtype).masked_fill_(mask, float("-inf"))


def _check_shapes(query, key, value, key_padding_mask, attn_mask, num_heads: int) -> bool:
    """Whether the inputs are batched.

    Raises:
        AssertionError: their dimensions do not fit each other.
    """
    dims = query.dim()
    if dims not in (2, 3):
        raise AssertionError("query should be unbatched 2D or batched 3D tensor but received "
                             f"{dims}-D query tensor")
    kind = "batched" if dims == 3 else "unbatched"
    if key.dim() != dims or value.dim() != dims:
        raise AssertionError(f"For {kind} ({dims}-D) `query`, expected `key` and `value` to be "
                             f"{dims}-D but found {key.dim()}-D and {value.dim()}-D tensors "
                             "respectively")
    if key_padding_mask is not None and key_padding_mask.dim() != dims - 1:
        raise AssertionError(f"For {kind} ({dims}-D) `query`, expected `key_padding_mask` to be "
                             f"`None` or {dims - 1}-D but found {key_padding_mask.dim()}-D tensor "
                             "instead")
    if attn_mask is not None:
        if attn_mask.dim() not in (2, 3):
            raise AssertionError(f"For {kind} ({dims}-D) `query`, expected `attn_mask` to be `None`"
                                 f", 2-D or 3-D but found {attn_mask.dim()}-D tensor instead")
        if dims == 2 and attn_mask.dim() == 3:
            expected = (num_heads, query.shape[0], key.shape[0])
            if tuple(attn_mask.shape) != expected:
                raise AssertionError(f"Expected `attn_mask` shape to be {expected} but got "
                                     f"{attn_mask.shape}")
    return dims == 3


def _check_sizes(query, key, value, embed_dim: int, num_heads: int, separate: bool) -> None:
    if query.shape[2] != embed_dim:
        raise AssertionError(f"was expecting embedding dimension of {embed_dim}, but got "
                             f"{query.shape[2]}")
    if embed_dim // num_heads * num_heads != embed_dim:
        raise AssertionError(f"embed_dim {embed_dim} not divisible by num_heads {num_heads}")
    if separate:
        if key.shape[:2] != value.shape[:2]:
            raise AssertionError(f"key's sequence and batch dims {key.shape[:2]} do not match "
                                 f"value's {value.shape[:2]}")
    elif key.shape != value.shape:
        raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")


def _project(query, key, value, weight, bias):
    """The three projections from one packed weight (3 E, E)."""
    width = query.size(-1)
    if key is value:
        if query is key:
            return F.linear(query, weight, bias).chunk(3, dim=-1)
        w_q, w_kv = weight.split([width, 2 * width])
        b_q, b_kv = (None, None) if bias is None else bias.split([width, 2 * width])
        k, v = F.linear(key, w_kv, b_kv).chunk(2, dim=-1)
        return F.linear(query, w_q, b_q), k, v
    weights = weight.chunk(3)
    biases = (None, None, None) if bias is None else bias.chunk(3)
    return tuple(F.linear(x, w, b)
                 for x, w, b in zip((query, key, value), weights, biases, strict=True))


def _project_separately(query, key, value, weights, bias):
    for name, weight in zip("qkv", weights, strict=True):
        if weight is None:
            raise AssertionError(f"use_separate_proj_weight is True but {name}_proj_weight is None")
    biases = (None, None, None) if bias is None else bias.chunk(3)
    return tuple(F.linear(x, w, b)
                 for x, w, b in zip((query, key, value), weights, biases, strict=True))


def _attention_mask(mask: Tensor | None, rows: int, columns: int, batch: int,
                    heads: int) -> Tensor | None:
    """``attn_mask`` in a form that broadcasts to (N, heads, rows, columns)."""
    if mask is None:
        return None
    if mask.dim() not in (2, 3):
        raise RuntimeError(f"attn_mask's dimension {mask.dim()} is not supported")
    expected = (rows, columns) if mask.dim() == 2 else (batch * heads, rows, columns)
    if tuple(mask.shape) != expected:
        raise RuntimeError(f"The shape of the {mask.dim()}D attn_mask is {mask.shape}, but should "
                           f"be {expected}.")
    return mask.unflatten(0, (batch, heads)) if mask.dim() == 3 else mask[None, None]


def _one_more(mask: Tensor | None) -> Tensor | None:
    """A mask with a column that is never masked."""
    return None if mask is None else F.pad(mask, (0, 1))


def _merge_padding(attn_mask, padding, batch: int, columns: int) -> Tensor | None:
    """Both masks as one."""
    if padding is None:
        return attn_mask
    if tuple(padding.shape) != (batch, columns):
        raise AssertionError(f"expecting key_padding_mask shape of {(batch, columns)}, but got "
                             f"{padding.shape}")
    padding = padding.view(batch, 1, 1, columns)
    return padding if attn_mask is None else attn_mask + padding


def _masks(attn_mask, padding, is_causal: bool, need_weights: bool, dtype):
    """Both masks as numbers, and whether the attention function may make the causal one itself."""
    other = None if attn_mask is None else attn_mask.dtype
    padding = canonical_mask(padding, "key_padding_mask", other, "attn_mask", dtype)
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint. You may use the "
                           "Transformer module method `generate_square_subsequent_mask` to create "
                           "this mask.")
    if is_causal and padding is None and not need_weights:
        return None, None, True
    attn_mask = canonical_mask(attn_mask, "attn_mask", None, "", dtype, False)
    return attn_mask, padding, False


def multi_head_attention_forward(
        query: Tensor, key: Tensor, value: Tensor, embed_dim_to_check: int, num_heads: int,
        in_proj_weight: Tensor | None, in_proj_bias: Tensor | None, bias_k: Tensor | None,
        bias_v: Tensor | None, add_zero_attn: bool, dropout_p: float, out_proj_weight: Tensor,
        out_proj_bias: Tensor | None, training: bool = True,
        key_padding_mask: Tensor | None = None, need_weights: bool = True,
        attn_mask: Tensor | None = None, use_separate_proj_weight: bool = False,
        q_proj_weight: Tensor | None = None, k_proj_weight: Tensor | None = None,
        v_proj_weight: Tensor | None = None, static_k: Tensor | None = None,
        static_v: Tensor | None = None, average_attn_weights: bool = True,
        is_causal: bool = False) -> tuple[Tensor, Tensor | None]:
    """Attention of several heads: softmax(q k^T / sqrt(d) + mask) v for each, joined, projected.

    Shapes: query (L, N, E) or (L, E), key and value (S, N, E) or (S, E), key_padding_mask (N, S)
    or (S), attn_mask (L, S) or (N num_heads, L, S); results (L, N, E) and the weights (N, L, S),
    or (N, num_heads, L, S) with ``average_attn_weights=False``, or None without ``need_weights``.
    """
    batched = _check_shapes(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
    length, batch, embed_dim = query.shape
    heads = num_heads
    attn_mask, key_padding_mask, is_causal = _masks(attn_mask, key_padding_mask, is_causal,
                                                    need_weights, query.dtype)
    _check_sizes(query, key, value, embed_dim_to_check, heads, use_separate_proj_weight)
    if use_separate_proj_weight:
        weights = (q_proj_weight, k_proj_weight, v_proj_weight)
        q, k, v = _project_separately(query, key, value, weights, in_proj_bias)
    else:
        q, k, v = _project(query, key, value, in_proj_weight, in_proj_bias)
    attn_mask = _attention_mask(attn_mask, length, key.shape[0], batch, heads)
    if bias_k is not None and bias_v is not None:
        if static_k is not None or static_v is not None:
            raise AssertionError("bias cannot be added to static key or value.")
        k, v = cat([k, bias_k.repeat(1, batch, 1)]), cat([v, bias_v.repeat(1, batch, 1)])
        attn_mask, key_padding_mask = _one_more(attn_mask), _one_more(key_padding_mask)
    q = _by_head(q, heads)
    k = _by_head(k, heads) if static_k is None else _static(static_k, q, "k")
    v = _by_head(v, heads) if static_v is None else _static(static_v, q, "v")
    if add_zero_attn:
        nothing = zeros((batch, heads, 1, k.size(-1)), dtype=k.dtype, device=k.device)
        k, v = cat([k, nothing], dim=2), cat([v, nothing], dim=2)
        attn_mask, key_padding_mask = _one_more(attn_mask), _one_more(key_padding_mask)
    attn_mask = _merge_padding(attn_mask, key_padding_mask, batch, k.size(2))
    dropout_p = dropout_p if training else 0.0
    weights = None
    if need_weights:
        mixed, weights = _attend(q, k, v, attn_mask, dropout_p)
        weights = weights.mean(dim=1) if average_attn_weights else weights
        weights = weights if batched else weights.squeeze(0)
    else:
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask, dropout_p, is_causal)
    mixed = mixed.permute(2, 0, 1, 3).reshape(batch * length, embed_dim)
    out = F.linear(mixed, out_proj_weight, out_proj_bias)
    out = out.view(length, batch, out.size(1))
    return (out if batched else out.squeeze(1)), weights


def _by_head(x: Tensor, heads: int) -> Tensor:
    """(length, N, E) as (N, heads, length, E / heads), a view."""
    return x.unflatten(-1, (heads, x.size(-1) // heads)).permute(1, 2, 0, 3)


def _static(given: Tensor, q: Tensor, name: str) -> Tensor:
    """A given key or value (N heads, S, E / heads) as (N, heads, S, E / heads)."""
    batch, heads, _, width = q.shape
    if given.size(0) != batch * heads or given.size(2) != width:
        raise AssertionError(f"expecting static_{name} of sizes ({batch * heads}, *, {width}), but "
                             f"got {tuple(given.shape)}")
    return given.unflatten(0, (batch, heads))


def _attend(q, k, v, mask, dropout_p: float):
    """Attention that also gives its weights."""
    scores = (q * math.sqrt(1.0 / float(q.size(-1)))) @ k.transpose(-2, -1)
    if mask is not None:
        scores = scores + mask
    weights = F.softmax(scores, dim=-1)
    if dropout_p > 0.0:
        weights = F.dropout(weights, p=dropout_p)
    return weights @ v, weights
