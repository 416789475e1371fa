"""L-BFGS."""

from __future__ import annotations

from ..autograd.modes import enable_grad, no_grad
from ..tensor import Tensor
from .algorithm import check_lr
from .functions import add_scaled_, cat, one_operation, view_as_real
from .line_search import Point, strong_wolfe
from .optimizer import Optimizer

# What happens between two looks at a number is one operation each, so that iterations which repeat
# are followed. Numbers that nobody looks at stay tensors.
#
# L-BFGS amplifies rounding, so all of this rounds where PyTorch does: numbers that are 0-d tensors
# there are NumPy's here, whose arithmetic with Python's numbers is that of tensors.


def _flat_gradient(params, grads) -> tuple[Tensor, Tensor]:
    """All gradients as one vector (zeros for None), and its largest component."""
    parts = []
    for p, grad in zip(params, grads, strict=True):
        part = p.new_zeros(p.numel()) if grad is None else grad.reshape(-1)
        parts.append(view_as_real(part).reshape(-1) if part.is_complex() else part)
    flat = cat(parts)
    return flat, flat.abs().max()


def _move(params, direction, *, t: float) -> Tensor:
    """Go ``t`` times the direction; returns the largest component of the way."""
    at = 0
    for p in params:
        if p.is_complex():
            p = view_as_real(p)
        n = p.numel()
        p.add_(direction[at:at + n].view(p.shape), alpha=t)
        at += n
    return direction.mul(t).abs().max()


def _arrive(params, direction, grad, *, t: float) -> tuple[Tensor, Tensor]:
    """Go where the gradient is known already; the largest component of the way and of it."""
    return _whole_move(params, direction, t=t), grad.abs().max()


def _copies(params) -> list[Tensor]:
    return [p.clone() for p in params]


def _restore(params, home) -> None:
    for p, start in zip(params, home, strict=True):
        p.copy_(start)


def _slope(grad, direction) -> Tensor:
    return grad.dot(direction)


def _curvature(grad, before, direction, *, t: float) -> tuple[Tensor, ...]:
    """The last change of the gradient and the way it came from, ``y`` and ``s``; ``y s``, its
    inverse, and ``y s / y y``. ``before`` becomes ``grad``."""
    y, s = grad.sub(before), direction.mul(t)
    before.copy_(grad)
    ys = y.dot(s)
    return y, s, ys, 1.0 / ys, ys / y.dot(y)


def _two_loops(grad, differences, moves, inverses, scale) -> tuple[Tensor, Tensor, Tensor]:
    """Minus the approximate inverse Hessian times the gradient: the direction, the slope in it and
    its largest component."""
    d = grad.neg()
    alphas = []
    for y, s, r in zip(reversed(differences), reversed(moves), reversed(inverses), strict=True):
        alphas.append(s.dot(d) * r)
        add_scaled_(d, y, -alphas[-1])
    d.mul_(scale)
    for y, s, r, alpha in zip(differences, moves, inverses, reversed(alphas), strict=True):
        add_scaled_(d, s, alpha - y.dot(d) * r)
    return d, grad.dot(d), d.abs().max()


def _number(x: Tensor):
    """A 0-d tensor's value as NumPy's number of its dtype."""
    value = x.item()
    return x.dtype.np.type(value) if x.dtype.itemsize > 2 else value


_whole_move = _move
_flat_gradient, _copies, _restore = map(one_operation, (_flat_gradient, _copies, _restore))
_slope, _two_loops = one_operation(_slope), one_operation(_two_loops)
_move, _arrive, _curvature = (one_operation(f, ("t",)) for f in (_move, _arrive, _curvature))


class LBFGS(Optimizer):
    """Quasi-Newton steps from the last gradients (Nocedal and Wright, algorithm 7.5).

    One call of :meth:`step` makes up to ``max_iter`` iterations. There is one parameter group only.

    Args:
        params: tensors.
        lr: step length (first trial length, with a line search).
        max_iter: iterations per step.
        max_eval: evaluations of the closure per step; ``max_iter * 1.25`` when omitted.
        tolerance_grad: stop when no component of the gradient is larger.
        tolerance_change: stop when neither parameters nor loss change by more.
        history_size: how many gradient differences are kept.
        line_search_fn: "strong_wolfe" or None for fixed steps.
    """

    def __init__(self, params, lr=1, max_iter=20, max_eval=None, tolerance_grad=1e-7,
                 tolerance_change=1e-9, history_size=100, line_search_fn=None):
        check_lr(lr)
        if max_eval is None:
            max_eval = max_iter * 5 // 4
        super().__init__(params, {
            "lr": lr, "max_iter": max_iter, "max_eval": max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change,
            "history_size": history_size, "line_search_fn": line_search_fn})
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    @property
    def _params(self) -> list[Tensor]:
        return self.param_groups[0]["params"]

    def _gradient(self) -> tuple[Tensor, Tensor]:
        params = self._params
        return _flat_gradient(params, [p.grad for p in params])

    def _evaluator(self, closure, direction: Tensor):
        """Value, gradient and slope at a step length; the parameters stay where they are."""
        home = _copies(self._params)

        def evaluate(t: float) -> Point:
            _move(self._params, direction, t=float(t))
            value = closure()
            grad, _ = self._gradient()
            _restore(self._params, home)
            slope = _slope(grad, direction)
            return Point(t, float(value), grad, _number(slope))

        return evaluate

    # -- a step ------------------------------------------------------------------------------------

    @no_grad()
    def step(self, closure):
        """Up to ``max_iter`` iterations.

        Args:
            closure: clears the gradients, computes the loss and its gradients, returns the loss.

        Returns:
            The loss at the start.

        Raises:
            AssertionError: groups were added.
        """
        if len(self.param_groups) != 1:
            raise AssertionError("Expected exactly one param_group, but got "
                                 f"{len(self.param_groups)}: L-BFGS has one step length for all")
        closure = enable_grad()(closure)
        group = self.param_groups[0]
        state = self._state[self._params[0]]  # one state for all, kept with the first parameter
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = closure()
        grad, largest = self._gradient()
        loss = float(first_loss)
        state["func_evals"] += 1
        if _number(largest) <= group["tolerance_grad"]:
            return first_loss
        evaluations = 1
        for iteration in range(1, group["max_iter"] + 1):
            direction, rise, size = self._direction(state, grad, group["history_size"])
            state["prev_loss"], t = loss, group["lr"]
            if isinstance(t, Tensor):
                t = _number(t)
            if state["n_iter"] == 1:
                t = min(1.0, 1.0 / _number(grad.abs().sum())) * t
            state["t"] = float(t)
            slope = _number(rise)
            if slope > -group["tolerance_change"]:
                break
            last = iteration == group["max_iter"]
            start = Point(0.0, loss, grad, slope)
            if group["line_search_fn"] is None:
                found, used = self._advance(state, closure, direction, start, last)
            else:
                found, used = self._search(state, group, closure, direction, start, t,
                                           _number(size), group["max_eval"] - evaluations)
            loss, grad, largest, way = found
            evaluations += used
            state["func_evals"] += used
            if (last or evaluations >= group["max_eval"]
                    or _number(largest) <= group["tolerance_grad"]
                    or _number(way) <= group["tolerance_change"]
                    or abs(loss - state["prev_loss"]) < group["tolerance_change"]):
                break
        return first_loss

    def _advance(self, state, closure, direction, start, last: bool):
        """Move along the direction by a fixed length.

        Returns:
            The loss there, the gradient and its largest component, the largest component of the
            way; and the number of evaluations.
        """
        way = _move(self._params, direction, t=state["t"])
        if last:  # the next step begins by evaluating here anyway
            return (start.value, start.grad, None, way), 0
        value = closure()
        grad, largest = self._gradient()
        return (float(value), grad, largest, way), 1

    def _search(self, state, group, closure, direction, start, t, size, evaluations_left):
        """Move along the direction as far as a line search that begins at ``t`` says; returns what
        _advance() does."""
        name = group["line_search_fn"]
        if name != "strong_wolfe":
            raise RuntimeError(f"only 'strong_wolfe' is supported, not {name!r}")
        found, used = strong_wolfe(self._evaluator(closure, direction), start, t, size,
                                   max_steps=evaluations_left)
        state["t"] = float(found.t)
        way, largest = _arrive(self._params, direction, found.grad, t=state["t"])
        return (found.value, found.grad, largest, way), used

    @staticmethod
    def _direction(state: dict, grad: Tensor, history_size: int) -> tuple[Tensor, ...]:
        """The next direction, the slope in it and its largest component."""
        state["n_iter"] += 1
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1, prev_flat_grad=grad.clone())
            state["d"] = d = grad.neg()
            return d, _slope(grad, d), d.abs().max()
        y, s, ys, inverse, scale = _curvature(grad, state["prev_flat_grad"], state["d"],
                                              t=float(state["t"]))
        histories = state["old_dirs"], state["old_stps"], state["ro"]
        if float(ys) > 1e-10:
            for history, new in zip(histories, (y, s, inverse), strict=True):
                if len(history) == history_size:
                    history.pop(0)
                history.append(new)
            state["H_diag"] = scale
        found = _two_loops(grad, *histories, state["H_diag"])
        state["d"] = found[0]
        return found
