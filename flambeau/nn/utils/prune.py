"""Pruning: parameters multiplied by masks of zeros and ones.

A pruned ``weight`` becomes the product of the parameter ``weight_orig`` and the buffer
``weight_mask``, computed before every forward.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable

from ..core import Tensor, cat, ones_like, rand_like, topk, vector_norm, zeros_like
from ..module import Module



class BasePruningMethod:
    """A way to choose what is pruned; subclasses define ``compute_mask``.

    ``PRUNING_TYPE`` says which elements a further pruning looks at: "unstructured" (those that are
    left), "structured" (whole channels that are left) or "global" (all).
    """

    PRUNING_TYPE = "unstructured"
    _tensor_name: str

    def __call__(self, module: Module, inputs) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The new mask: ``default_mask`` with more zeros."""
        raise NotImplementedError(f"{type(self).__name__}.compute_mask")

    def apply_mask(self, module: Module) -> Tensor:
        """The pruned tensor."""
        if self._tensor_name is None:
            raise AssertionError(f"Module {module} has to be pruned")
        mask = getattr(module, self._tensor_name + "_mask")
        original = getattr(module, self._tensor_name + "_orig")
        return mask.to(dtype=original.dtype) * original

    @classmethod
    def apply(cls, module: Module, name: str, *args, importance_scores: Tensor | None = None,
              **kwargs) -> BasePruningMethod:
        """Prune ``module.<name>``; a second time, on top of the first."""
        earlier = [(key, hook) for key, hook in module._forward_pre_hooks.items()
                   if isinstance(hook, BasePruningMethod) and hook._tensor_name == name]
        if len(earlier) > 1:
            raise AssertionError(f"Avoid adding multiple pruning hooks to the same tensor {name} "
                                 f"of module {module}. Use a PruningContainer.")
        method = cls(*args, **kwargs)
        method._tensor_name = name
        if earlier:
            key, old = earlier[0]
            del module._forward_pre_hooks[key]
            if isinstance(old, PruningContainer):
                container = old
            else:
                container = PruningContainer(old)
            container.add_pruning_method(method)
            method = container
        original = getattr(module, name)
        if importance_scores is not None and importance_scores.shape != original.shape:
            raise AssertionError("importance_scores should have the same shape as parameter "
                                 f"{name} of {module}")
        scores = original if importance_scores is None else importance_scores
        if earlier:
            default = getattr(module, name + "_mask").detach().clone()
        else:
            module.register_parameter(name + "_orig", module._parameters[name])
            del module._parameters[name]
            default = ones_like(original)
        mask = method.compute_mask(scores.detach(), default_mask=default)
        module.register_buffer(name + "_mask", mask)
        setattr(module, name, method.apply_mask(module))
        module.register_forward_pre_hook(method)
        return method

    def prune(self, t: Tensor, default_mask: Tensor | None = None,
              importance_scores: Tensor | None = None) -> Tensor:
        """The pruned version of a tensor."""
        scores = t if importance_scores is None else importance_scores
        default = ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(scores, default_mask=default)

    def remove(self, module: Module) -> None:
        """Make the pruned values the parameter."""
        name = self._tensor_name
        weight = self.apply_mask(module)
        if hasattr(module, name):
            delattr(module, name)
        original = module._parameters[name + "_orig"]
        original.data = weight.data
        del module._parameters[name + "_orig"]
        del module._buffers[name + "_mask"]
        setattr(module, name, original)


class PruningContainer(BasePruningMethod):
    """Several prunings of one tensor, one on top of the other."""

    def __init__(self, *methods):
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        methods = list(methods[0]) if len(methods) == 1 and isinstance(methods[0], Iterable) \
            else methods
        if len(methods) == 1 and not isinstance(methods[0], Iterable):
            self._tensor_name = methods[0]._tensor_name
        for method in methods:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod | None) -> None:
        """Add one; it must prune the same tensor."""
        if not isinstance(method, BasePruningMethod) and method is not None:
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method is not None and getattr(self, "_tensor_name", None) not in (
                None, method._tensor_name):
            raise ValueError("Can only add pruning methods acting on the parameter named "
                             f"'{self._tensor_name}' to PruningContainer {self}. Found "
                             f"'{method._tensor_name}'")
        if method is not None:
            self._tensor_name = method._tensor_name
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self):
        return iter(self._pruning_methods)

    def __getitem__(self, idx):
        return self._pruning_methods[idx]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The last method's mask, on what the ones before left."""
        method = self._pruning_methods[-1]
        mask = default_mask.to(dtype=t.dtype)
        if method.PRUNING_TYPE == "unstructured":
            part = mask == 1
        elif method.PRUNING_TYPE == "structured":
            dim = method.dim + t.dim() if method.dim < 0 else method.dim
            kept = mask.sum(dim=[d for d in range(t.dim()) if d != dim]) != 0
            part = (slice(None),) * dim + (kept,)
        elif method.PRUNING_TYPE == "global":
            part = (slice(None),) * t.dim()
        else:
            raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
        result = mask.clone()
        result[part] = method.compute_mask(t[part], default_mask=mask[part]).to(mask.dtype)
        return result


class Identity(BasePruningMethod):
    """Prunes nothing, but makes mask and original."""

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """``default_mask``."""
        return default_mask


def _check_amount(amount) -> None:
    if not isinstance(amount, numbers.Real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    whole = isinstance(amount, numbers.Integral)
    if (whole and amount < 0) or (not whole and not 0.0 <= float(amount) <= 1.0):
        raise ValueError(f"amount={amount} should either be a float in the range [0, 1] or a "
                         "non-negative integer")


def _how_many(amount, size: int) -> int:
    if not isinstance(amount, numbers.Integral):
        return round(amount * size)
    if amount > size:
        raise ValueError(f"amount={amount} should be smaller than the number of parameters to "
                         f"prune={size}")
    return amount


class _Amount(BasePruningMethod):
    """A method with an amount: a number of elements, or a fraction."""

    def __init__(self, amount):
        _check_amount(amount)
        self.amount = amount

    def _zeroed(self, mask: Tensor, scores: Tensor) -> Tensor:
        """The mask without the elements of the smallest scores."""
        count = _how_many(self.amount, scores.nelement())
        mask = mask.clone()
        if count:
            mask.view(-1)[topk(scores.reshape(-1), k=count, largest=False).indices] = 0
        return mask


class RandomUnstructured(_Amount):
    """Prunes elements at random."""

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """``default_mask`` with more zeros."""
        return self._zeroed(default_mask, rand_like(t))


class L1Unstructured(_Amount):
    """Prunes the elements that are smallest in absolute value."""

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """``default_mask`` with more zeros."""
        return self._zeroed(default_mask, t.abs())


class _Structured(_Amount):
    """Prunes whole channels along ``dim``."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount, dim: int = -1):
        super().__init__(amount)
        self.dim = dim

    def _channels(self, t: Tensor, default_mask: Tensor, scores: Tensor) -> Tensor:
        if t.dim() <= 1:
            raise ValueError("Structured pruning can only be applied to multidimensional tensors. "
                             f"Found tensor of shape {t.shape} with {t.dim()} dims")
        count = _how_many(self.amount, t.shape[self.dim])
        if not count:
            return default_mask
        mask = zeros_like(t)
        keep = topk(scores, k=t.shape[self.dim] - count, largest=True).indices
        mask[(slice(None),) * (self.dim % t.dim()) + (keep,)] = 1
        return mask * default_mask.to(dtype=mask.dtype)


class RandomStructured(_Structured):
    """Prunes channels at random."""

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """``default_mask`` without some channels."""
        return self._channels(t, default_mask, rand_like(t.new_empty(t.shape[self.dim])))


class LnStructured(_Structured):
    """Prunes the channels of the smallest norms.

    Args:
        n: the p of the norm.
    """

    def __init__(self, amount, n, dim: int = -1):
        super().__init__(amount, dim)
        self.n = n

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """``default_mask`` without some channels."""
        others = [d for d in range(t.dim()) if d != self.dim % t.dim()]
        scores = vector_norm(t, self.n, others) if others else t
        return self._channels(t, default_mask, scores)


class CustomFromMask(BasePruningMethod):
    """Prunes with a given mask."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor):
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Both masks together."""
        return default_mask * self.mask.to(dtype=default_mask.dtype)


def identity(module: Module, name: str) -> Module:
    """Make mask and original without pruning anything."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount) -> Module:
    """Prune ``amount`` elements (or that fraction) at random."""
    RandomUnstructured.apply(module, name, amount=amount)
    return module


def l1_unstructured(module: Module, name: str, amount,
                    importance_scores: Tensor | None = None) -> Module:
    """Prune the ``amount`` elements (or that fraction) smallest in absolute value."""
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount, dim: int) -> Module:
    """Prune ``amount`` channels (or that fraction) along ``dim`` at random."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(module: Module, name: str, amount, n, dim: int,
                  importance_scores: Tensor | None = None) -> Module:
    """Prune the ``amount`` channels (or that fraction) along ``dim`` of the smallest n-norms."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Prune with a mask."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(parameters, pruning_method: type, importance_scores: dict | None = None,
                        **kwargs) -> None:
    """Prune several parameters together, as if they were one.

    Args:
        parameters: pairs (module, name).
        pruning_method: an unstructured method; ``kwargs`` are its arguments.
    """
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    parameters = list(parameters)
    importance_scores = importance_scores or {}
    if not isinstance(importance_scores, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    scores = [importance_scores.get(pair, getattr(*pair)).detach().reshape(-1)
              for pair in parameters]
    masks = [getattr(module, name + "_mask", ones_like(getattr(module, name))).reshape(-1)
             for module, name in parameters]
    container = PruningContainer()
    container._tensor_name = "temp"
    method = pruning_method(**kwargs)
    method._tensor_name = "temp"
    container.add_pruning_method(method)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError('Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. '
                        f"Found method {pruning_method} of type {method.PRUNING_TYPE}")
    final = container.compute_mask(cat(scores), cat(masks))
    at = 0
    for module, name in parameters:
        param = getattr(module, name)
        size = param.numel()
        custom_from_mask(module, name, mask=final[at:at + size].view_as(param))
        at += size


def remove(module: Module, name: str) -> Module:
    """Make the pruned values the parameter; the mask goes."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning can "
                     "be removed")


def is_pruned(module: Module) -> bool:
    """Whether anything in the module is pruned."""
    return any(isinstance(hook, BasePruningMethod)
               for child in module.modules() for hook in child._forward_pre_hooks.values())
