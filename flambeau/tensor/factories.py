"""Puts making, filling, printing and exchanging tensors where programs look for them.

:func:`namespace` gives the ``torch.*`` names; importing this file attaches the methods to Tensor.
"""

from __future__ import annotations

import types

from . import binomial, convert, creation, interop, legacy, options, printing, random, sampling
from .generator import Generator, default_generator
from .host import from_array
from .tensor import Tensor

# --- printing -------------------------------------------------------------------------------------


def plain_text(self: Tensor, *, tensor_contents=None) -> str:
    """PyTorch's text."""
    kind = type(self)
    plain = kind is Tensor or kind.__name__ == "Parameter"
    fn = self.grad_fn
    meta = self.device.type == "meta"
    return printing.tensor_repr(
        None if meta else self._array(), dtype=self.dtype, shape=tuple(self.shape),
        device=str(self.device), requires_grad=self.requires_grad,
        grad_fn_name=None if fn is None else type(fn).__name__,
        prefix="tensor(" if plain else f"{kind.__name__}(")


def _format(self: Tensor, spec: str) -> str:
    """Numbers' format for a tensor of no dimensions, ``str`` for others."""
    if not self.shape and type(self) is Tensor and self.device.type != "meta":
        return self._array().item().__format__(spec)
    return object.__format__(self, spec)


# --- states of generators, as tensors -------------------------------------------------------------


def _get_state(self: Generator) -> Tensor:
    """The state: 5056 bytes in PyTorch's layout."""
    return from_array(self.state_bytes())


def _set_state(self: Generator, new_state: Tensor) -> Generator:
    """Continue from a state that ``get_state`` gave."""
    if not isinstance(new_state, Tensor):
        raise TypeError(f"expected a torch.ByteTensor, but got {type(new_state).__name__}")
    if new_state.dtype.name != "uint8":
        raise TypeError("RNG state must be a torch.ByteTensor")
    self.set_state_bytes(new_state._array())
    return self


def get_rng_state() -> Tensor:
    """The default generator's state."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Continue from a state that :func:`get_rng_state` gave."""
    default_generator.set_state(new_state)


Generator.get_state, Generator.set_state = _get_state, _set_state

# --- where everything goes ------------------------------------------------------------------------

for _name in ("uniform_", "normal_", "exponential_", "cauchy_", "log_normal_", "geometric_",
              "bernoulli_", "random_", "bernoulli", "multinomial"):
    setattr(Tensor, _name, getattr(sampling, _name))
for _name in ("new_zeros", "new_ones", "new_empty", "new_full", "new_empty_strided"):
    setattr(Tensor, _name, getattr(creation, _name))
Tensor.new_tensor = convert.new_tensor
Tensor.__new__ = legacy.new
Tensor.new, Tensor.as_subclass = legacy.new_like, legacy.as_subclass
Tensor._make_subclass = staticmethod(legacy.make_subclass)
Tensor.__repr__ = plain_text
Tensor.__format__ = _format
Tensor.__dlpack__, Tensor.__dlpack_device__ = interop.dlpack, interop.dlpack_device
Tensor.__array_namespace__ = interop.array_namespace
Tensor.__array_wrap__ = interop.array_wrap
Tensor.__array_priority__ = 1000  # arrays leave mixed arithmetic to tensors
Tensor.layout = options.strided

_PUBLIC = {
    convert: ("tensor", "as_tensor", "asarray", "from_numpy", "frombuffer"),
    creation: ("zeros", "ones", "empty", "full", "scalar_tensor", "empty_strided",
               "empty_permuted", "zeros_like",
               "ones_like", "empty_like", "full_like", "arange", "linspace", "logspace", "eye",
               "tril_indices", "triu_indices"),
    sampling: ("rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like",
               "normal", "bernoulli", "multinomial", "poisson"),
    binomial: ("binomial",),
    random: ("Generator", "default_generator", "manual_seed", "seed", "initial_seed"),
    printing: ("set_printoptions", "get_printoptions"),
    interop: ("from_dlpack", "to_dlpack"),
    options: ("layout", "memory_format", "strided", "sparse_coo", "sparse_csr",
              "contiguous_format", "preserve_format", "channels_last", "channels_last_3d",
              "set_default_device", "get_default_device"),
}


def namespace() -> dict:
    """The names of ``torch.*`` that are declared in these files."""
    names = {name: getattr(module, name) for module, names in _PUBLIC.items() for name in names}
    names.update(legacy.TYPES)
    names.update(range=creation.range_, get_rng_state=get_rng_state, set_rng_state=set_rng_state)
    return names


def random_module(name: str) -> types.ModuleType:
    """``torch.random``."""
    module = types.ModuleType(name, "The default random number generator.")
    for key in ("Generator", "default_generator", "manual_seed", "seed", "initial_seed",
                "fork_rng"):
        setattr(module, key, getattr(random, key))
    module.get_rng_state, module.set_rng_state = get_rng_state, set_rng_state
    return module
