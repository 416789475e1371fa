"""Stochastic gradient descent."""

from __future__ import annotations

from typing import ClassVar

from ..tensor import Tensor
from ._multi_tensor import sgd_update_
from .algorithm import (
    Algorithm,
    check_implementation,
    check_lr,
    check_not_negative,
    scalar,
)


class SGD(Algorithm):
    """Stochastic gradient descent, with momentum, weight decay and Nesterov's variant.

    Args:
        params: tensors or parameter groups.
        lr: learning rate.
        momentum: share of the old velocity that is kept.
        dampening: share of the gradient that does not enter the velocity.
        weight_decay: adds ``weight_decay * p`` to the gradient.
        nesterov: look ahead along the velocity (needs momentum and no dampening).
        maximize: climb instead of descend.
        foreach, fused: accepted; the update is one operation in any case.
        differentiable: gradients flow through the step.
    """

    STATE = ("momentum_buffer",)
    LATER_OPTIONS: ClassVar[dict] = {**Algorithm.LATER_OPTIONS, "nesterov": False, "fused": None}

    def __init__(self, params, lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False,
                 *, maximize=False, foreach=None, differentiable=False, fused=None):
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        check_lr(lr)
        check_not_negative("momentum", momentum)
        check_not_negative("weight_decay", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize, "foreach": foreach,
            "differentiable": differentiable, "fused": fused})
        check_implementation(foreach, fused, differentiable)

    def update(self, group, found):
        """One :func:`sgd_update_` for the group."""
        buffers = found.lists[0]
        momentum = group["momentum"]
        new = momentum != 0 and None in map(type_or_none, buffers)
        sgd_update_(found.params, found.grads, buffers, lr=scalar(group["lr"]), momentum=momentum,
                    dampening=group["dampening"], weight_decay=scalar(group["weight_decay"]),
                    nesterov=group["nesterov"], maximize=group["maximize"])
        if new:
            for state, buffer in zip(found.states, buffers, strict=True):
                state["momentum_buffer"] = buffer


def type_or_none(value):
    """None for None, else the value's type: a test by identity that calls no ``==``."""
    return None if value is None else type(value)


def sgd(params, d_p_list, momentum_buffer_list, has_sparse_grad=False, foreach=None, fused=None,
        grad_scale=None, found_inf=None, *, weight_decay, momentum, lr, dampening, nesterov,
        maximize) -> None:
    """PyTorch's functional form of :class:`SGD`: changes the parameters in place."""
    if has_sparse_grad or grad_scale is not None or found_inf is not None:
        raise NotImplementedError("sgd(): sparse gradients, grad_scale and found_inf")
    sgd_update_(params, d_p_list, momentum_buffer_list, lr=scalar(lr), momentum=momentum,
                dampening=dampening, weight_decay=weight_decay, nesterov=nesterov,
                maximize=maximize)
