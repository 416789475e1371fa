"""The further checks of gradcheck: forward mode, and gradients of a batch at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..func import jvp, vmap
from ..ops.lib.joining import stack
from ..tensor import Tensor
from ..tensor.backward import grad


def _placed(args: tuple, wanted: list, values) -> tuple:
    found = iter(values)
    return tuple(next(found) if any(x is w for w in wanted) else x for x in args)


def forward_jacobians(func, args: tuple, wanted: list, o: int, real: Callable,
                      like: Callable) -> list[np.ndarray]:
    """For each input the Jacobian [input elements, output elements] by directions."""

    def chosen(*values):
        result = func(*_placed(args, wanted, values))
        many = result if isinstance(result, (tuple, list)) else (result,)
        return [t for t in many if isinstance(t, Tensor) and t.requires_grad][o]

    found = []
    for i, x in enumerate(wanted):
        size = real(x).size
        rows = []
        for k in range(size):
            unit = np.zeros(size, x.dtype.to_real().np)
            unit[k] = 1
            steps = [like(w, unit if j == i else np.zeros(real(w).size, w.dtype.to_real().np))
                     for j, w in enumerate(wanted)]
            rows.append(real(jvp(chosen, tuple(w.detach() for w in wanted), tuple(steps))[1]))
        found.append(np.array(rows).reshape(size, -1))
    return found


def batched_differs(out: Tensor, wanted: list, real: Callable, like: Callable) -> str:
    """What gradients of two directions at once give other than one after the other; "" if
    nothing."""
    rng = np.random.RandomState(0)
    size = real(out).size
    seeds = [like(out, rng.standard_normal(size).astype(out.dtype.to_real().np))
             for _ in range(2)]
    live = [x for x, g in zip(wanted, grad([out], wanted, [seeds[0]], retain_graph=True,
                                           allow_unused=True), strict=True) if g is not None]
    if not live:
        return ""
    together = vmap(lambda v: tuple(grad([out], live, [v], retain_graph=True)))(stack(seeds))
    for b, seed in enumerate(seeds):
        for i, g in enumerate(grad([out], live, [seed], retain_graph=True)):
            a = real(together[i][b])
            if not np.allclose(a, real(g), 1e-5, 1e-8):
                return f"input {i}: {a} for a batch, {real(g)} alone"
    return ""
