"""The calls that every operation's declaration lists, as data for generated tests.

A declaration's ``cases(t)`` and ``errors(t)`` (see ``ir/api.py``) build calls from a maker ``t``.
:class:`Maker` makes operands for any module with PyTorch's API, so the same calls can be made of
flambeau and of PyTorch; the values depend only on the seed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..base.dtype import BY_NAME
from ..base.dtype import dtype as flambeau_dtype
from ..ir.api import API, ApiFunction

#: operations whose results are random: compared only with the same seed, and never with PyTorch
RANDOM = frozenset(("bernoulli", "multinomial", "normal", "poisson", "rrelu", "dropout",
                    "alpha_dropout", "feature_dropout", "feature_alpha_dropout", "dropout1d",
                    "dropout2d", "dropout3d", "native_dropout", "gumbel_softmax",
                    "fractional_max_pool2d", "fractional_max_pool3d", "binomial"))


@dataclass
class Call:
    """One call: its arguments."""

    args: tuple
    kwargs: dict = field(default_factory=dict)

    def tensors(self) -> list:
        """The tensors among the arguments, in lists too."""
        return [x for x in flat([*self.args, *self.kwargs.values()]) if hasattr(x, "dtype")]


class Maker:
    """Makes operands.

    Args:
        torch: flambeau, or another module with PyTorch's API.
        dtype: what floats are made as (a name such as "float32", "int64" or "bool").
        layout: "rows" (row-major), "gaps" (every second element of a wider tensor) or "columns"
            (reversed memory order).
        grad: floats require gradients.
        seed: the values' seed.
    """

    def __init__(self, torch, dtype: str = "float32", layout: str = "rows", grad: bool = False,
                 seed: int = 0):
        self.torch, self.dtype, self.layout, self.grad = torch, dtype, layout, grad
        self.rng = np.random.RandomState(seed)

    def call(self, *args, **kwargs) -> Call:
        """A call with these arguments."""
        return Call(args, kwargs)

    def f(self, *shape):
        """Floats, standard normal; integers in [-5, 6) when the dtype is an integer's."""
        return self._floats(self.rng.standard_normal, lambda n: self.rng.randint(-5, 6, n), shape)

    def pos(self, *shape):
        """Floats in [0.5, 2], or small positive integers."""
        return self._floats(lambda n: self.rng.uniform(0.5, 2, n),
                            lambda n: self.rng.randint(1, 5, n), shape)

    def unit(self, *shape):
        """Floats in (-0.9, 0.9), or zeros and ones."""
        return self._floats(lambda n: self.rng.uniform(-0.9, 0.9, n),
                            lambda n: self.rng.randint(0, 2, n), shape)

    def ints(self, *shape, low: int = 0, high: int = 10):
        """Integers (int64) in [low, high)."""
        return self._tensor(self.rng.randint(low, high, shape).astype(np.int64))

    def bools(self, *shape):
        """True and False."""
        return self._tensor(self.rng.randint(0, 2, shape).astype(bool))

    def _floats(self, values, integers, shape: tuple):
        kind = BY_NAME[self.dtype].np
        if len(shape) == 1 and isinstance(shape[0], tuple):
            shape = shape[0]
        t = self._tensor(np.asarray(values(shape) if kind.kind in "fV" else integers(shape))
                         .astype(kind))
        return t.requires_grad_() if self.grad and kind.kind in "fV" else t

    def _tensor(self, array: np.ndarray):
        if self.layout == "gaps" and array.ndim:
            wide = np.repeat(array, 2, axis=-1)
            return self.torch.tensor(wide)[..., ::2]
        if self.layout == "columns" and array.ndim > 1:
            back = self.torch.tensor(np.ascontiguousarray(array.T))
            return back.permute(*reversed(range(array.ndim)))
        return self.torch.tensor(array)


def labels(what: str = "cases") -> list[str]:
    """The names of all functions that declare ``what`` ("cases", "errors", or a form)."""
    return sorted(k for k, entry in API.items() if getattr(entry, what) and
                  (what in ("cases", "errors") or entry.cases))


def cases(label: str, maker: Maker) -> list[Call]:
    """The calls of an operation."""
    return API[label].cases(maker)


def converted(x, torch):
    """An argument with its tensors (flambeau's) made tensors of another module, layout and all."""
    if isinstance(x, (tuple, list)):
        return type(x)(converted(y, torch) for y in x)
    if not hasattr(x, "requires_grad"):
        return getattr(torch, x.name, x) if type(x) is flambeau_dtype else x
    array = x.detach().numpy()
    t = torch.tensor(array)
    if array.ndim and not array.flags.c_contiguous:
        t = torch.empty_strided(t.shape, x.stride(), dtype=t.dtype).copy_(t)
    return t.requires_grad_(x.requires_grad)


def function(torch, label: str):
    """The public function of a label in a module with PyTorch's API; None where it has none."""
    entry = API[label]
    if entry.functional:  # PyTorch's torch.name may be a lower form of it
        return getattr(torch.nn.functional, entry.name, None)
    if entry.torch:
        return getattr(torch, entry.name, None)
    if entry.namespaces:
        home = torch
        for part in entry.namespaces[0].split("."):
            home = getattr(home, part, None)
        return getattr(home, entry.name, None)
    if not hasattr(torch.Tensor, entry.name):
        if not hasattr(torch.Tensor, entry.name + "_"):
            return None
        return lambda x, *args, **kwargs: getattr(x.clone(), entry.name + "_")(*args, **kwargs)
    return lambda x, *args, **kwargs: getattr(x, entry.name)(*args, **kwargs)


def is_random(entry: ApiFunction) -> bool:
    """Whether results depend on the generator."""
    return entry.name in RANDOM


def flat(x) -> list:
    """A flat list of what sequences and mappings hold."""
    if isinstance(x, dict):
        x = list(x.values())
    if isinstance(x, (tuple, list)) and not type(x).__name__ == "Size":
        return [y for part in x for y in flat(part)]
    return [x]


def arrays(result) -> list:
    """The results of a call as NumPy arrays (other values as they are)."""
    out = []
    for x in flat(result):
        if hasattr(x, "detach"):
            x = x.detach()
            x = (x.float() if str(x.dtype).endswith("bfloat16") else x.resolve_conj()).numpy()
        out.append(x)
    return out
