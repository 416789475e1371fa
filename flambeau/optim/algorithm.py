"""What the built-in optimizers share: one step over all groups, and gathering what an update needs.

An update works on lists (parameters, gradients, one list per kind of state), so that all tensors of
a group are one operation. Gathering them costs more than recording the operation; therefore the
lists are kept from step to step for as long as nothing can have changed them:

* the parameters are compared one by one with those of the last step, and so is which of them
  have a gradient;
* the state can be changed by the program only after it has asked for ``optimizer.state``: from then
  on the lists are gathered anew in every step.

Step numbers stand in ``state[p]["step"]`` as tensors, as in PyTorch, and are known here as Python
numbers as well, so that no step waits for the value of a tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from ..autograd.modes import enable_grad
from ..autograd.modes import state as mode
from ..base import dtype as dt
from ..runtime import execute
from ..tensor import Tensor
from .functions import tensor
from .optimizer import Optimizer


class Gathered:
    """What one group's update works on; see :meth:`Algorithm.gather`."""

    __slots__ = (
        "counts",
        "everyone",
        "grads",
        "group",
        "has_grad",
        "lists",
        "params",
        "states",
        "versions",
    )

    def __init__(self, group: dict, n_lists: int):
        self.group = group
        self.everyone: list = list(group["params"])
        self.has_grad: list[bool] = []
        self.params: list = []
        self.grads: list = []
        self.states: list[dict] = []
        self.lists: tuple[list, ...] = tuple([] for _ in range(n_lists))
        self.counts: list[float] | None = None
        self.versions: list[int] = []


class Algorithm(Optimizer):
    """Base of the built-in algorithms: each says in :meth:`update` what happens to one group."""

    #: names of the state that update() receives, one list each; "step" last if there is one
    STATE: tuple[str, ...] = ()
    #: options that groups saved by older versions may lack
    LATER_OPTIONS: ClassVar[dict] = {"maximize": False, "foreach": None, "differentiable": False,
                           "capturable": False}

    def step(self, closure: Callable | None = None):
        """Change the parameters once, by their gradients.

        Args:
            closure: computes the loss again and its gradients; returns the loss.

        Returns:
            What the closure returned, or None.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        differentiable = self.defaults.get("differentiable", False)
        before, mode.grad = mode.grad, differentiable
        try:
            for group in self.param_groups:
                found = self.gather(group)
                if found.params:
                    self.update(group, found)
        finally:
            mode.grad = before
        if not differentiable:
            execute.flush()  # a step ends here: what it computed repeats in the next
        return loss

    def update(self, group: dict, found: Gathered) -> None:
        """Change the group's parameters that have a gradient, in place."""
        raise NotImplementedError(f"{type(self).__name__} does not define update()")

    def initial_state(self, param: Tensor, group: dict) -> dict:
        """The state of a parameter before its first step."""
        return {}

    # -- gathering -------------------------------------------------------------------------------

    def _forget(self) -> None:
        self._gathered: dict[int, Gathered] = {}

    def gather(self, group: dict) -> Gathered:
        """Parameters with a gradient, their gradients and state, in the order of the group."""
        old = self._gathered.get(id(group))
        if old is not None and not self._state_seen and old.group is group:
            params = group["params"]
            if len(params) == len(old.everyone):
                grads = []
                for p, before, had in zip(params, old.everyone, old.has_grad,
                                          strict=True):
                    g = p._grad
                    if p is not before or (g is not None) is not had:
                        break
                    if had:
                        grads.append(g)
                else:
                    old.grads = grads
                    return old
        return self._gather(group, old)

    def _gather(self, group: dict, old: Gathered | None) -> Gathered:
        names = self.STATE
        new = Gathered(group, len(names))
        rows = []
        for p in new.everyone:
            grad = p.grad
            new.has_grad.append(grad is not None)
            if grad is None:
                continue
            state = self._state[p]
            if not state:
                self._check_gradient(p, grad, group)
                state.update(self.initial_state(p, group))
            new.params.append(p)
            new.grads.append(grad)
            new.states.append(state)
            rows.append([state.get(name) for name in names])
        for k, values in enumerate(new.lists):
            values.extend([row[k] for row in rows])
        if names and names[-1] == "step":
            self._read_counts(new, old)
        self._gathered[id(group)] = new
        return new

    def _check_gradient(self, param: Tensor, grad: Tensor, group: dict) -> None:
        """Raise for what the algorithm cannot handle; asked once per parameter."""

    def _read_counts(self, new: Gathered, old: Gathered | None) -> None:
        """The step numbers as Python numbers: those known already, if nobody wrote to them."""
        steps = new.lists[-1]
        new.versions = [s._version for s in steps]
        if old is not None and old.counts is not None and len(old.counts) == len(steps):
            same = zip(steps, old.lists[-1], new.versions, old.versions, strict=True)
            if all(s is t and v == w for s, t, v, w in same):
                new.counts = old.counts
                return
        new.counts = [float(s) for s in steps]

    def counted(self, found: Gathered) -> list[float]:
        """Step numbers of the step that begins; the tensors are for the update to increment."""
        found.counts = counts = [c + 1.0 for c in found.counts]
        if self._state_seen:  # otherwise nobody can have written, and nobody compares
            found.versions = [v + 1 for v in found.versions]
        return counts

    # -- loading ---------------------------------------------------------------------------------

    def __setstate__(self, state: dict) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for name, value in self.LATER_OPTIONS.items():
                if name in self.defaults:
                    group.setdefault(name, value)
        for values in self._state.values():  # step numbers of old files are plain numbers
            if isinstance(values, dict) and "step" in values \
                    and not isinstance(values["step"], Tensor):
                values["step"] = step_tensor(float(values["step"]))


def step_tensor(value: float = 0.0) -> Tensor:
    """A step number as PyTorch keeps it: a 0-d floating tensor."""
    double = dt.get_default_dtype() is dt.float64
    return tensor(value, dtype=dt.float64 if double else dt.float32)


def scalar(value):
    """An option as a Python number, except a tensor that wants a gradient."""
    if isinstance(value, Tensor) and not value.requires_grad:
        return value.item()
    return value


# -- checks of options, with PyTorch's texts ----------------------------------------------


def check_lr(lr, *, foreach: bool | None = False, capturable: bool = False) -> None:
    """A learning rate must be a number >= 0 or a tensor with one element."""
    if isinstance(lr, Tensor):
        if foreach and not capturable:
            raise ValueError("lr as a Tensor is not supported for capturable=False and "
                             "foreach=True")
        if lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
    if not 0.0 <= lr:
        raise ValueError(f"Invalid learning rate: {lr}")


def check_not_negative(what: str, value) -> None:
    """Raise ValueError unless ``value >= 0``."""
    if not 0.0 <= value:
        raise ValueError(f"Invalid {what} value: {value}")


def check_betas(betas) -> None:
    """Both decay rates must be in [0, 1)."""
    for i in (0, 1):
        if not 0.0 <= betas[i] < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {betas[i]}")


def check_implementation(foreach, fused, differentiable: bool) -> None:
    """``foreach`` and ``fused`` exclude each other; ``fused`` is not differentiable."""
    if fused:
        if differentiable:
            raise RuntimeError("`fused` does not support `differentiable`")
        if foreach:
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")
