"""Automatic mixed precision: which functions compute in the lower precision, and how their operands
are converted.

The lists are PyTorch's for the CPU. :func:`flambeau.ir.api.api` wraps every listed function, so
that a function called by another one is converted as well; graph nodes are never touched, only
tensors (whatever defines ``_apply_op``). Inside a listed function nothing further is converted.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable

from ..base import dtype as dt

LOWER, FULL, WIDEST = "lower precision", "float32", "widest operand"

#: function label (see ``api``) to what happens to its floating operands
POLICY: dict[str, str] = dict.fromkeys(
    ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
     "bmm", "mm", "baddbmm", "addmm", "addbmm", "matmul", "linalg.vecdot", "nn.functional.linear",
     "nn.functional.scaled_dot_product_attention", "conv_tbc", "prelu"), LOWER)
POLICY.update(dict.fromkeys(
    ("prod", "trace", "cdist", "quantile", "nanquantile", "polar", "view_as_complex", "stft",
     "cholesky", "cholesky_inverse", "cholesky_solve", "inverse", "lu_solve", "pinverse", "qr",
     "svd", "triangular_solve", "orgqr", "ormqr", "geqrf", "poisson_nll_loss",
     "hinge_embedding_loss", "cosine_embedding_loss", "margin_ranking_loss", "triplet_margin_loss",
     "max_pool3d", *("nn.functional." + n for n in (
         "avg_pool3d", "adaptive_avg_pool3d", "adaptive_max_pool3d", "max_pool3d_with_indices",
         "adaptive_max_pool3d_with_indices", "fractional_max_pool2d_with_indices",
         "fractional_max_pool3d_with_indices", "fractional_max_pool2d", "fractional_max_pool3d",
         "max_unpool2d", "max_unpool3d", "grid_sample", "mse_loss", "l1_loss", "nll_loss",
         "smooth_l1_loss", "huber_loss", "binary_cross_entropy", "kl_div", "cross_entropy",
         "binary_cross_entropy_with_logits", "soft_margin_loss", "multi_margin_loss",
         "multilabel_margin_loss", "ctc_loss")),
     *("linalg." + n for n in (
         "cond", "matrix_rank", "solve", "cholesky", "cholesky_ex", "svdvals", "eigvals",
         "eigvalsh", "inv", "inv_ex", "householder_product", "tensorinv", "tensorsolve", "qr",
         "svd", "eig", "eigh", "lstsq")),
     *("fft." + n for n in (
         "fft", "ifft", "fft2", "ifft2", "fftn", "ifftn", "rfft", "irfft", "rfft2", "irfft2",
         "rfftn", "irfftn", "hfft", "ihfft"))), FULL))
POLICY.update(dict.fromkeys(("stack", "cat", "index_copy"), WIDEST))


class _State(threading.local):
    """``dtype``: the lower precision while autocast is on in this thread, else None."""

    dtype: dt.dtype | None = None
    inside = False  # a listed function is being made
    cache = True


state = _State()
#: called without arguments after this thread's ``state.dtype`` has changed
listeners: list[Callable[[], None]] = []


def switch(to: dt.dtype | None) -> None:
    """Turn autocast on (with this dtype) or off in this thread."""
    if state.dtype is not to:
        state.dtype = to
        for listener in listeners:
            listener()


def _eligible(x) -> bool:
    return (hasattr(x, "_apply_op") and x.dtype.is_floating_point and x.dtype is not dt.float64
            and x.device.type == "cpu")


def convert(x, to: dt.dtype):
    """``x`` with eligible tensors in it (lists included) as dtype ``to``."""
    if isinstance(x, (list, tuple)):
        return type(x)(convert(t, to) for t in x) if type(x) in (list, tuple) else x
    return x.to(to) if _eligible(x) and x.dtype is not to else x


def _widest(values, low: dt.dtype) -> dt.dtype:
    """The dtype that mixed operands are joined in."""
    found = low
    for x in values:
        if isinstance(x, (list, tuple)):
            found = _widest(x, found)
        elif hasattr(x, "_apply_op") and x.dtype.is_floating_point:
            if x.dtype is dt.float64 or found is dt.float64:
                found = dt.float64
            elif x.dtype is dt.float32 or found is dt.float32:
                found = dt.float32
            elif x.dtype is not low:
                raise RuntimeError(f"Unexpected floating ScalarType in at::autocast::prioritize: "
                                   f"a {x.dtype} tensor cannot be joined while autocast uses {low}")
    return found


def _call(function: Callable, policy: str, args, kwargs):
    low = state.dtype
    if policy is LOWER:
        to = low
    elif policy is FULL:
        to = dt.float32
    else:
        to = _widest((*args, *kwargs.values()), low)
    args = [convert(a, to) for a in args]
    kwargs = {k: convert(v, to) for k, v in kwargs.items()}
    state.inside = True
    try:
        return function(*args, **kwargs)
    finally:
        state.inside = False


def autocasting(function: Callable, label: str) -> Callable:
    """``function`` as it behaves under autocast; itself where it is on no list."""
    policy = POLICY.get(label)
    if policy is None:
        return function

    @functools.wraps(function)
    def cast_first(*args, **kwargs):
        if state.dtype is None or state.inside:
            return function(*args, **kwargs)
        return _call(function, policy, args, kwargs)

    return cast_first
