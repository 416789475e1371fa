"""Attention: scaled_dot_product_attention and multi_head_attention_forward."""

from __future__ import annotations

import math

import numpy as np

from ...base import dtype as dt
from ...ir.api import api
from ..prim.contract import linear, matmul
from ..prim.elementwise import add, cast, mul, where
from ..prim.index import on_host
from ..prim.join import cat, chunk, unbind
from ..prim.masks import masked_fill
from ..prim.reduce import expand, mean
from ..prim.shape import reshape, squeeze, transpose, unsqueeze
from .dropout import dropout
from .joining import zeros_like_shape
from .padding import pad
from .shape import repeat_interleave, unflatten
from .softmax import softmax


def _causal(x, rows: int, columns: int):
    """True where a query may look: on and below the diagonal."""
    return on_host(np.tri(rows, columns, dtype=np.bool_), x)


def _bias(query, mask):
    """A mask as what is added to the scores."""
    if mask.dtype is dt.bool_:
        return mask
    if mask.dtype is not query.dtype and mask.dtype is not dt.float32:
        raise RuntimeError("Expected attn_mask dtype to be bool or float or to match query dtype, "
                           f"but got attn_mask.dtype: {mask.dtype} and query.dtype: {query.dtype} "
                           "instead.")
    return cast(mask, query.dtype)


def _check(query, key, value, attn_mask, is_causal):
    for x, which in ((query, "query"), (key, "key"), (value, "value")):
        if len(x.shape) < 2:
            raise RuntimeError("scaled_dot_product_attention: Expected query, key, and value to "
                               f"all be at least 2 dimensional, but got {which} of shape "
                               f"{tuple(x.shape)}")
        if x.dtype is not query.dtype:
            raise RuntimeError(
                "Expected query, key, and value to have the same dtype, but got query.dtype: "
                f"{query.dtype} key.dtype: {key.dtype} and value.dtype: {value.dtype} instead.")
    if is_causal and attn_mask is not None:
        raise RuntimeError("_scaled_dot_product_attention: Explicit attn_mask should not be set "
                           "when is_causal=True")


@api(torch=False, functional=True,
     cases=lambda t: [t.call(t.f(2, 3, 4, 8), t.f(2, 3, 5, 8), t.f(2, 3, 5, 6)),
                      t.call(t.f(2, 4, 8), t.f(2, 4, 8), t.f(2, 4, 8), is_causal=True)])
def scaled_dot_product_attention(query, key, value, attn_mask=None, dropout_p=0.0,
                                 is_causal=False, scale=None, enable_gqa=False):
    """``softmax(query @ key.T * scale + mask) @ value``.

    Args:
        query: (.., heads, L, E). key: (.., heads, S, E). value: (.., heads, S, Ev).
        attn_mask: broadcast to (.., L, S): True (or 0.0) where a query may look.
        is_causal: a query looks at keys up to its own position only.
        scale: 1 / sqrt(E) when None.
        enable_gqa: key and value have fewer heads, each serving several query heads.
    """
    _check(query, key, value, attn_mask, is_causal)
    if enable_gqa:
        heads = query.shape[-3]
        for x in (key, value):
            if heads % x.shape[-3]:
                raise RuntimeError("scaled_dot_product_attention: query heads must be a multiple "
                                   f"of key and value heads, got {heads} and {x.shape[-3]}")
        key = repeat_interleave(key, heads // key.shape[-3], -3)
        value = repeat_interleave(value, heads // value.shape[-3], -3)
    narrow = query.dtype in (dt.float16, dt.bfloat16)
    if narrow:  # scores and sums in float32, rounded once
        out = scaled_dot_product_attention(
            *(cast(x, dt.float32) for x in (query, key, value)),
            attn_mask if attn_mask is None or attn_mask.dtype is dt.bool_ else
            cast(_bias(query, attn_mask), dt.float32), dropout_p, is_causal, scale)
        return cast(out, query.dtype)
    scale = 1.0 / math.sqrt(query.shape[-1]) if scale is None and query.shape[-1] else (
        1.0 if scale is None else scale)
    scores = mul(matmul(query, transpose(key, -2, -1)), scale)
    if is_causal:
        attn_mask = _causal(query, query.shape[-2], key.shape[-2])
    if attn_mask is not None:
        bias = _bias(query, attn_mask)
        scores = where(bias, scores, float("-inf")) if bias.dtype is dt.bool_ else \
            add(scores, bias)
    weights = softmax(scores, -1)
    if attn_mask is not None and attn_mask.dtype is dt.bool_ and not is_causal:
        # a query that may look nowhere gets zeros
        weights = where(attn_mask, weights, 0)
    if dropout_p:
        weights = dropout(weights, dropout_p)
    return matmul(weights, value)


# --- multi-head attention -------------------------------------------------------------------------


def _project(query, key, value, weight, bias):
    """Input projections with one packed weight."""
    e = query.shape[-1]
    if key is value:
        if query is key:
            packed = linear(query, weight, bias)
            packed = unflatten(packed, -1, (3, e))
            return unbind(packed, -2)
        w_q, w_kv = weight[:e], weight[e:]
        b_q, b_kv = (None, None) if bias is None else (bias[:e], bias[e:])
        kv = unflatten(linear(key, w_kv, b_kv), -1, (2, e))
        return (linear(query, w_q, b_q), *unbind(kv, -2))
    weights = chunk(weight, 3)
    biases = (None,) * 3 if bias is None else chunk(bias, 3)
    return tuple(linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases,
                                                    strict=True))


def _canonical(mask, name, dtype):
    """A boolean mask (True: not allowed) as what is added to the scores."""
    if mask is None:
        return None
    if mask.dtype is dt.bool_:
        zeros = zeros_like_shape_of(mask, dtype)
        return masked_fill(zeros, mask, float("-inf"))
    if mask.dtype.category < dt.dtype.FLOAT:
        raise AssertionError(f"only bool and floating types of {name} are supported")
    return mask


def zeros_like_shape_of(x, dtype):
    """Zeros in the shape of ``x``."""
    return on_host(np.zeros(tuple(x.shape), dtype.np), x)


def _expect(condition, text):
    if not condition:
        raise AssertionError(text)


def _heads(x, batch, heads, size):
    """(L, N, E) as (N, heads, L, size)."""
    length = x.shape[0]
    x = transpose(reshape(x, (length, batch * heads, size)), 0, 1)
    return reshape(x, (batch, heads, length, size))


def _merged_mask(attn_mask, key_padding_mask, batch, heads, length, source):
    """Both masks as one of shape (N or 1, heads or 1, L or 1, S)."""
    if attn_mask is not None:
        if len(attn_mask.shape) == 2:
            _expect(tuple(attn_mask.shape) == (length, source),
                    f"The shape of the 2D attn_mask is {tuple(attn_mask.shape)}, but should be "
                    f"{(length, source)}.")
            attn_mask = reshape(attn_mask, (1, 1, length, source))
        else:
            _expect(tuple(attn_mask.shape) == (batch * heads, length, source),
                    f"The shape of the 3D attn_mask is {tuple(attn_mask.shape)}, but should be "
                    f"{(batch * heads, length, source)}.")
            attn_mask = reshape(attn_mask, (batch, heads, length, source))
    if key_padding_mask is None:
        return attn_mask
    _expect(tuple(key_padding_mask.shape) == (batch, source),
            f"expecting key_padding_mask shape of {(batch, source)}, but got "
            f"{tuple(key_padding_mask.shape)}")
    padding = reshape(key_padding_mask, (batch, 1, 1, source))
    return padding if attn_mask is None else add(attn_mask, padding)


@api(torch=False, functional=True)
def multi_head_attention_forward(
        query, key, value, embed_dim_to_check, num_heads, in_proj_weight, in_proj_bias, bias_k,
        bias_v, add_zero_attn, dropout_p, out_proj_weight, out_proj_bias, training=True,
        key_padding_mask=None, need_weights=True, attn_mask=None,
        use_separate_proj_weight=False, q_proj_weight=None, k_proj_weight=None,
        v_proj_weight=None, static_k=None, static_v=None, average_attn_weights=True,
        is_causal=False):
    """The computation of nn.MultiheadAttention: (output, weights or None).

    query (L, N, E), key (S, N, Ek), value (S, N, Ev); without N: unbatched.
    """
    batched = len(query.shape) == 3
    if not batched:
        _expect(len(query.shape) == 2, "query should be unbatched 2D or batched 3D tensor but "
                f"received {len(query.shape)}-D query tensor")
        same = {id(query): unsqueeze(query, 1)}
        query, key, value = (same.setdefault(id(x), unsqueeze(x, 1))
                             for x in (query, key, value))
        if key_padding_mask is not None:
            key_padding_mask = unsqueeze(key_padding_mask, 0)
    length, batch, width = query.shape
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
    _expect(width == embed_dim_to_check, f"was expecting embedding dimension of "
            f"{embed_dim_to_check}, but got {width}")
    size = width // num_heads
    _expect(size * num_heads == width, f"embed_dim {width} not divisible by num_heads {num_heads}")
    if use_separate_proj_weight:
        q, k, v = _project_each((query, key, value),
                                (q_proj_weight, k_proj_weight, v_proj_weight), in_proj_bias)
    else:
        _expect(tuple(key.shape) == tuple(value.shape),
                f"key shape {tuple(key.shape)} does not match value shape {tuple(value.shape)}")
        _expect(in_proj_weight is not None,
                "use_separate_proj_weight is False but in_proj_weight is None")
        q, k, v = _project(query, key, value, in_proj_weight, in_proj_bias)
    attn_mask = _canonical(attn_mask, "attn_mask", query.dtype)
    key_padding_mask = _canonical(key_padding_mask, "key_padding_mask", query.dtype)
    if bias_k is not None and bias_v is not None:
        k = cat([k, expand(bias_k, (1, batch, width))])
        v = cat([v, expand(bias_v, (1, batch, width))])
        attn_mask = None if attn_mask is None else pad(attn_mask, (0, 1))
        key_padding_mask = None if key_padding_mask is None else pad(key_padding_mask, (0, 1))
    q = _heads(q, batch, num_heads, size)
    k = _heads(k, batch, num_heads, size) if static_k is None else \
        reshape(static_k, (batch, num_heads, static_k.shape[1], size))
    v = _heads(v, batch, num_heads, size) if static_v is None else \
        reshape(static_v, (batch, num_heads, static_v.shape[1], size))
    if add_zero_attn:
        zeros = zeros_like_shape(k, (batch, num_heads, 1, size))
        k, v = cat([k, zeros], 2), cat([v, zeros], 2)
        attn_mask = None if attn_mask is None else pad(attn_mask, (0, 1))
        key_padding_mask = None if key_padding_mask is None else pad(key_padding_mask, (0, 1))
    source = k.shape[2]
    mask = _merged_mask(attn_mask, key_padding_mask, batch, num_heads, length, source)
    p = dropout_p if training else 0.0
    if need_weights:
        out, weights = _attend(q, k, v, mask, p)
    else:
        out, weights = scaled_dot_product_attention(q, k, v, mask, p), None
    out = reshape(permute_heads(out), (length * batch, width))
    out = reshape(linear(out, out_proj_weight, out_proj_bias),
                  (length, batch, out_proj_weight.shape[0]))
    if weights is not None and average_attn_weights:
        weights = mean(weights, 1)
    if not batched:
        out = squeeze(out, 1)
        weights = None if weights is None else squeeze(weights, 0)
    return out, weights


def _project_each(inputs, weights, bias):
    """Queries, keys and values by a weight each; the biases are one vector."""
    _, key, value = inputs
    _expect(tuple(key.shape[:2]) == tuple(value.shape[:2]),
            f"key's sequence and batch dims {tuple(key.shape[:2])} do not match value's "
            f"{tuple(value.shape[:2])}")
    biases = (None,) * 3 if bias is None else chunk(bias, 3)
    return [linear(x, w, b) for x, w, b in zip(inputs, weights, biases, strict=True)]


def _attend(q, k, v, mask, p):
    """Attention (N, heads, L, size) with its weights (N, heads, L, S), dropped out by ``p``."""
    scores = matmul(mul(q, 1.0 / math.sqrt(q.shape[-1])), transpose(k, -2, -1))
    weights = softmax(scores if mask is None else add(scores, mask), -1)
    weights = dropout(weights, p) if p else weights
    return matmul(weights, v), weights


def permute_heads(x):
    """(N, heads, L, size) as (L, N, heads, size)."""
    return transpose(transpose(x, 1, 2), 0, 1)
