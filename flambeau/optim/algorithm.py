"""What the built-in optimizers share: one step over all groups, and gathering what an update needs.

An update works on lists (gradients, parameters, a tuple per kind of state), so that all tensors of
a *cohort*, those of a group that have made the same number of steps, are one operation. Gathering
them costs more than recording the operation; therefore it is done again only when something can
have changed:

* the parameters are compared one by one with those of the last step, and so is which of them
  have a gradient;
* the state can be changed by the program only after it has asked for ``optimizer.state``: from then
  on it is gathered anew in every step, and until then it is handed on as :class:`Private`;
* the options of the group are compared with those of the last step.

Step numbers stand in ``state[p]["step"]`` as tensors, as in PyTorch, and are known here as Python
numbers as well, so that no step waits for the value of a tensor.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any, ClassVar

from ..autograd.modes import enable_grad
from ..autograd.modes import state as mode
from ..base import dtype as dt
from ..runtime import execute
from ..tensor import Tensor
from .functions import Private, tensor
from .optimizer import Optimizer


class Cohort:
    """Tensors that one operation updates.

    Attributes:
        places: which of the group's gradients are theirs; None: all of them.
        args: the operation's arguments after the gradients: the parameters and, for every name in
            STATE, their tensors (nothing where none of them has that state).
        kind: what :meth:`Algorithm.kind` says of each of them.
        known: the values of the state named in KNOWN, the same for all of them; the number of
            steps made first.
        at_first: the number of steps, and these tensors with their versions, when they were
            gathered.
    """

    __slots__ = ("args", "at_first", "kind", "known", "places")

    def __init__(self, algorithm: Algorithm, rows: list, kind, known: tuple):
        self.kind = kind
        self.places: list[int] | None = [row[0] for row in rows]
        states: list[dict] = [row[2] for row in rows]
        columns = [[s.get(name) for s in states] for name in algorithm.STATE]
        self.args = (tuple([row[1] for row in rows]), *[
            () if all(v is None for v in column) else Private(column) for column in columns])
        self.known = list(known)
        self.at_first: tuple[float, list] | None = None
        if known:
            tensors = [[s[name] for name in algorithm.KNOWN] for s in states]
            self.at_first = known[0], [(row, [t._version for t in row]) for row in tensors]


class Gathered:
    """What one group's update works on; see :meth:`Algorithm.gather`.

    Attributes:
        everyone, has_grad, all_have: the group's parameters and which of them have a gradient.
        options: the values of the options named in OPTIONS; None when they may change unseen.
        settings: what :meth:`Algorithm.settings` made of them.
    """

    __slots__ = ("all_have", "cohorts", "everyone", "group", "has_grad", "options", "settings")

    def __init__(self, group: dict):
        self.group = group
        self.everyone: list = list(group["params"])
        self.has_grad = [p.grad is not None for p in self.everyone]
        self.all_have = all(self.has_grad)
        self.cohorts: list[Cohort] = []
        self.options: tuple | None = None
        self.settings: tuple[tuple, dict, Any] = ((), {}, None)

    def gradients(self) -> list | None:
        """The gradients, in the order of the group; None when other parameters have one now."""
        params, everyone = self.group["params"], self.everyone
        if len(params) != len(everyone):
            return None
        grads = []
        if self.all_have:
            for p, before in zip(params, everyone):  # noqa: B905 (the lengths are the same)
                grad = p._grad
                if grad is None or p is not before:
                    return None
                grads.append(grad)
            return grads
        for p, before, had in zip(params, everyone, self.has_grad, strict=True):
            grad = p._grad
            if p is not before or (grad is not None) is not had:
                return None
            if had:
                grads.append(grad)
        return grads


class Algorithm(Optimizer):
    """Base of the built-in algorithms.

    Each has an ``operation``, which changes the tensors of a cohort in place:
    ``operation(gradients, parameters, *state, options, **numbers)``. It is one call to the trace
    follower: ``numbers`` are floats that may differ from step to step (see
    :func:`~flambeau.tensor.follow.one_operation`), ``options`` is a tuple that stays the same.
    """

    #: names of the state that the operation receives; "step" last if there is one
    STATE: tuple[str, ...] = ()
    #: those of them that are one number per parameter, which numbers() has to know; "step" first
    KNOWN: tuple[str, ...] = ()
    #: options of a group, except "lr", that settings() looks at; two or more
    OPTIONS: tuple[str, ...] = ()
    #: options that groups saved by older versions may lack
    LATER_OPTIONS: ClassVar[dict] = {"maximize": False, "foreach": None, "differentiable": False,
                           "capturable": False}
    operation: Callable
    _options_of: itemgetter

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if cls.OPTIONS:
            cls._options_of = itemgetter(*cls.OPTIONS)

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
                found = self._gathered.get(id(group))
                grads = None if found is None or self._state_seen else found.gradients()
                if grads is None:
                    found, grads = self.gather(group, found)
                if grads:
                    lr = group["lr"]
                    self.update(found, grads, lr if type(lr) is float else number(lr))
        finally:
            mode.grad = before
        if not differentiable:
            execute.flush()  # a step ends here: what it computed repeats in the next
        return loss

    def update(self, found: Gathered, grads: list, lr) -> None:
        """Change the group's parameters that have a gradient, in place."""
        options = self._options_of(found.group)
        if options != found.options:
            found.settings = self.settings(found.group)
            found.options = options if _constant(options) else None
        told, numbers, constants = found.settings
        if type(lr) is not float:  # a tensor with a history: not to be kept
            numbers = numbers.copy()
        for cohort in found.cohorts:
            places = cohort.places
            mine = grads if places is None else [grads[i] for i in places]
            self.numbers(numbers, lr, cohort, constants)
            self.operation(mine, *cohort.args, told, **numbers)

    # -- what the algorithms say -----------------------------------------------------------------

    def initial_state(self, param: Tensor, group: dict) -> dict:
        """The state of a parameter before its first step."""
        return {}

    def settings(self, group: dict) -> tuple[tuple, dict, Any]:
        """What follows from the options in OPTIONS.

        Returns:
            The operation's ``options``; its ``numbers`` as far as they are known; and what
            :meth:`numbers` needs.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define settings()")

    def numbers(self, numbers: dict, lr, cohort: Cohort, constants) -> None:
        """Set the numbers of the step that begins, and bring ``cohort.known`` up to date."""

    def kind(self, param: Tensor, state: dict, group: dict):
        """What the tensors of a cohort have in common besides what is known."""

    def keeps_state(self, group: dict) -> bool:
        """Whether the group's parameters have an entry in ``optimizer.state``."""
        return True

    def _check_gradient(self, param: Tensor, grad: Tensor, group: dict) -> None:
        """Raise for what the algorithm cannot handle; asked once per parameter."""

    # -- gathering -------------------------------------------------------------------------------

    def _forget(self) -> None:
        self._gathered: dict[int, Gathered] = {}
        #: by the id of a parameter's step number: that tensor, versions and what is known
        self._known: dict[int, tuple] = {}

    def gather(self, group: dict, old: Gathered | None = None) -> tuple[Gathered, list]:
        """Sort the parameters with a gradient into cohorts; also returns these gradients."""
        new = self._gathered[id(group)] = Gathered(group)
        if old is not None:
            new.options, new.settings = old.options, old.settings
            self._remember(old)
        together: dict[tuple, list] = {}
        grads: list[Tensor] = []
        stateful = self.keeps_state(group)
        for p, has_grad in zip(new.everyone, new.has_grad, strict=True):
            if not has_grad:
                continue
            state = self._state[p] if stateful else {}
            if not state:
                self._check_gradient(p, p.grad, group)
                state.update(self.initial_state(p, group))
            known = self._known_of(state)
            together.setdefault((self.kind(p, state, group), known), []).append(
                (len(grads), p, state))
            grads.append(p.grad)
        new.cohorts = [Cohort(self, rows, *key) for key, rows in together.items()]
        if len(new.cohorts) == 1:
            new.cohorts[0].places = None
        return new, grads

    def _known_of(self, state: dict) -> tuple:
        """The values of the state named in KNOWN: those known already, if nobody wrote to them."""
        if not self.KNOWN:
            return ()
        tensors = [state[name] for name in self.KNOWN]
        before, versions, known = self._known.get(id(tensors[0]), ((), (), ()))
        if len(before) == len(tensors) and all(
                a is b and a._version == v
                for a, b, v in zip(tensors, before, versions, strict=True)):
            return known
        return tuple([float(t) for t in tensors])

    def _remember(self, old: Gathered) -> None:
        """Note what is known of a cohort's state: every step has written to it once."""
        if len(self._known) > 2 * len(self._state) + 100:
            self._known.clear()  # the program keeps replacing the state
        for cohort in old.cohorts:
            if cohort.at_first is None:
                continue
            known = tuple(cohort.known)
            start, rows = cohort.at_first
            steps = int(known[0] - start)
            for tensors, versions in rows:
                self._known[id(tensors[0])] = (tensors, [v + steps for v in versions], known)

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


def number(lr):
    """A learning rate as a float, except a tensor that wants a gradient."""
    lr = scalar(lr)
    return float(lr) if isinstance(lr, (int, float)) else lr


def _constant(options: tuple) -> bool:
    """Whether options can only change by being replaced."""
    return all(type(v) in _CONSTANTS or type(v) is tuple and _constant(v) for v in options)


_CONSTANTS = {int, float, bool, str, type(None)}


def scalar(value):
    """An option as a Python number, except a tensor that wants a gradient."""
    if isinstance(value, Tensor) and not value.requires_grad:
        return value.item()
    return value


def end_weighs_more(weight) -> bool:
    """Which of its two formulas lerp() takes for a number.

    It is among an operation's options where the weight is among its numbers, so that the trace
    follower does not take one formula for the other.
    """
    return not isinstance(weight, Tensor) and abs(weight) >= 0.5


def rounded(value: float, dtype: dt.dtype) -> float:
    """What is left of a number in a tensor of this dtype."""
    return value if dtype is dt.float64 else float(dtype.np.type(value))


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
