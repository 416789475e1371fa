"""L-BFGS."""

from __future__ import annotations

from ..autograd.modes import enable_grad, no_grad
from ..tensor import Tensor
from .algorithm import check_lr, scalar
from .functions import cat, view_as_real
from .line_search import Point, strong_wolfe
from .optimizer import Optimizer


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

    # -- all parameters as one vector -----------------------------------------------------------

    def _gradient(self) -> Tensor:
        parts = []
        for p in self._params:
            part = p.new_zeros(p.numel()) if p.grad is None else p.grad.reshape(-1)
            parts.append(view_as_real(part).reshape(-1) if part.is_complex() else part)
        return cat(parts)

    def _move(self, t: float, direction: Tensor) -> None:
        at = 0
        for p in self._params:
            if p.is_complex():
                p = view_as_real(p)
            n = p.numel()
            p.add_(direction[at:at + n].view(p.shape), alpha=t)
            at += n

    def _evaluator(self, closure, direction: Tensor):
        """Value, gradient and slope at a step length; the parameters stay where they are."""
        home = [p.clone() for p in self._params]

        def evaluate(t: float) -> Point:
            self._move(t, direction)
            value = float(closure())
            grad = self._gradient()
            for p, start in zip(self._params, home, strict=True):
                p.copy_(start)
            return Point(t, value, grad, float(grad.dot(direction)))

        return evaluate

    # -- a step ------------------------------------------------------------------------------------

    @no_grad()
    def step(self, closure):
        """Up to ``max_iter`` iterations.

        Args:
            closure: clears the gradients, computes the loss and its gradients, returns the loss.

        Returns:
            The loss at the start.
        """
        closure = enable_grad()(closure)
        group = self.param_groups[0]
        state = self._state[self._params[0]]  # one state for all, kept with the first parameter
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = closure()
        loss, grad = float(first_loss), self._gradient()
        state["func_evals"] += 1
        if float(grad.abs().max()) <= group["tolerance_grad"]:
            return first_loss
        evaluations = 1
        for iteration in range(1, group["max_iter"] + 1):
            direction = self._direction(state, grad, group["history_size"])
            if state.get("prev_flat_grad") is None:
                state["prev_flat_grad"] = grad.clone()
            else:
                state["prev_flat_grad"].copy_(grad)
            state["prev_loss"], lr = loss, scalar(group["lr"])
            state["t"] = lr if state["n_iter"] > 1 else min(1.0, 1 / float(grad.abs().sum())) * lr
            slope = float(grad.dot(direction))
            if slope > -group["tolerance_change"]:
                break
            loss, grad, used = self._advance(state, group, closure, direction, Point(
                0.0, loss, grad, slope), iteration, group["max_eval"] - evaluations)
            evaluations += used
            state["func_evals"] += used
            if (iteration == group["max_iter"] or evaluations >= group["max_eval"]
                    or self._converged(state, group, direction, grad, loss)):
                break
        return first_loss

    def _advance(self, state, group, closure, direction, start, iteration, evaluations_left):
        """Move along the direction; returns the loss and gradient there and the evaluations."""
        name = group["line_search_fn"]
        if name is None:
            self._move(state["t"], direction)
            if iteration == group["max_iter"]:  # the next step begins by evaluating here anyway
                return start.value, start.grad, 0
            return float(closure()), self._gradient(), 1
        if name != "strong_wolfe":
            raise RuntimeError(f"only 'strong_wolfe' is supported, not {name!r}")
        found, used = strong_wolfe(self._evaluator(closure, direction), start, state["t"],
                                   float(direction.abs().max()), max_steps=evaluations_left)
        state["t"] = found.t
        self._move(found.t, direction)
        return found.value, found.grad, used

    @staticmethod
    def _converged(state, group, direction, grad, loss) -> bool:
        if float(grad.abs().max()) <= group["tolerance_grad"]:
            return True
        if float(direction.mul(state["t"]).abs().max()) <= group["tolerance_change"]:
            return True
        return abs(loss - state["prev_loss"]) < group["tolerance_change"]

    @staticmethod
    def _direction(state: dict, grad: Tensor, history_size: int) -> Tensor:
        """Minus the approximate inverse Hessian times the gradient (the two-loop recursion)."""
        state["n_iter"] += 1
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
            state["d"] = grad.neg()
            return state["d"]
        y, s = grad.sub(state["prev_flat_grad"]), state["d"].mul(state["t"])
        ys = float(y.dot(s))
        differences, moves, ro = state["old_dirs"], state["old_stps"], state["ro"]
        if ys > 1e-10:
            if len(differences) == history_size:
                for history in (differences, moves, ro):
                    history.pop(0)
            differences.append(y)
            moves.append(s)
            ro.append(1.0 / ys)
            state["H_diag"] = ys / float(y.dot(y))
        d = grad.neg()
        alphas = []
        for y, s, r in zip(reversed(differences), reversed(moves), reversed(ro), strict=True):
            alphas.append(float(s.dot(d)) * float(r))
            d.add_(y, alpha=-alphas[-1])
        d.mul_(float(state["H_diag"]))
        for y, s, r, alpha in zip(differences, moves, ro, reversed(alphas), strict=True):
            d.add_(s, alpha=alpha - float(y.dot(d)) * float(r))
        state["d"] = d
        return d
