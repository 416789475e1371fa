"""Adam."""

from __future__ import annotations

from typing import ClassVar

from ..tensor import Tensor
from ._multi_tensor import adam_update_
from .algorithm import (
    Algorithm,
    check_betas,
    check_implementation,
    check_lr,
    check_not_negative,
    scalar,
    step_tensor,
)
from .functions import zeros_like


class Adam(Algorithm):
    """Adam: steps by the mean of the gradients over the root of their mean square.

    Formula: Kingma and Ba, Adam: A Method for Stochastic Optimization; see
    :func:`~._multi_tensor.adam_update_`.

    Args:
        params: tensors or parameter groups.
        lr: learning rate.
        betas: decay rates of the two running means.
        eps: added to the root.
        weight_decay: adds ``weight_decay * p`` to the gradient.
        amsgrad: divide by the largest root so far.
        foreach, fused, capturable: accepted; the update is one operation in any case.
        maximize: climb instead of descend.
        differentiable: gradients flow through the step.
        decoupled_weight_decay: shrink the parameters instead (AdamW).
    """

    STATE = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step")
    LATER_OPTIONS: ClassVar[dict] = {**Algorithm.LATER_OPTIONS, "amsgrad": False, "fused": None,
                     "decoupled_weight_decay": False}

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0,
                 amsgrad=False, *, foreach=None, maximize=False, capturable=False,
                 differentiable=False, fused=None, decoupled_weight_decay=False):
        check_lr(lr, foreach=foreach, capturable=capturable)
        if not 0.0 <= eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        check_not_negative("weight_decay", weight_decay)
        _check_beta_types(betas, foreach and not capturable)
        super().__init__(params, {
            "lr": lr, "betas": tuple(map(scalar, betas)), "eps": eps,
            "weight_decay": weight_decay, "amsgrad": amsgrad, "maximize": maximize,
            "foreach": foreach, "capturable": capturable, "differentiable": differentiable,
            "fused": fused, "decoupled_weight_decay": decoupled_weight_decay})
        check_implementation(foreach, fused, differentiable)

    def initial_state(self, param, group):
        """Zero means and a step number of zero."""
        state = {"step": step_tensor(), "exp_avg": zeros_like(param),
                 "exp_avg_sq": zeros_like(param)}
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = zeros_like(param)
        return state

    def update(self, group, found):
        """One :func:`adam_update_` for the group."""
        counts = self.counted(found)
        exp_avgs, exp_avg_sqs, max_exp_avg_sqs, steps = found.lists
        beta1, beta2 = group["betas"]
        adam_update_(found.params, found.grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, steps,
                     lr=scalar(group["lr"]), beta1=scalar(beta1), beta2=scalar(beta2),
                     eps=group["eps"], weight_decay=group["weight_decay"],
                     amsgrad=group["amsgrad"], maximize=group["maximize"],
                     decoupled=group["decoupled_weight_decay"], counts=counts)


def _check_beta_types(betas, no_tensors: bool) -> None:
    """Both betas are floats, or both one-element tensors."""
    tensors = [isinstance(b, Tensor) for b in betas]
    if not all(tensors) and not all(isinstance(b, float) for b in betas):
        raise ValueError("betas must be either both floats or both Tensors")
    for i, beta in enumerate(betas):
        if tensors[i]:
            if no_tensors:
                raise ValueError(f"betas[{i}] as a Tensor is not supported for capturable=False "
                                 "and foreach=True")
            if beta.numel() != 1:
                raise ValueError(f"Tensor betas[{i}] must be 1-element")


def adam(params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, state_steps, foreach=None,
         capturable=False, differentiable=False, fused=None, grad_scale=None, found_inf=None,
         has_complex=False, decoupled_weight_decay=False, *, amsgrad, beta1, beta2, lr,
         weight_decay, eps, maximize) -> None:
    """PyTorch's functional form of :class:`Adam`: changes the parameters in place."""
    if grad_scale is not None or found_inf is not None:
        raise NotImplementedError("adam(): grad_scale and found_inf")
    adam_update_(params, grads, exp_avgs, exp_avg_sqs,
                 max_exp_avg_sqs or [None] * len(params), state_steps, lr=scalar(lr),
                 beta1=scalar(beta1), beta2=scalar(beta2), eps=eps, weight_decay=weight_decay,
                 amsgrad=amsgrad, maximize=maximize, decoupled=decoupled_weight_decay,
                 counts=[float(s) + 1 for s in state_steps])
