"""Adam with decoupled weight decay."""

from __future__ import annotations

from .adam import Adam, adam


class AdamW(Adam):
    """Adam that shrinks the parameters by ``1 - lr * weight_decay`` in every step.

    Formula: Loshchilov and Hutter, Decoupled Weight Decay Regularization. The arguments are those
    of :class:`Adam`.
    """

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2,
                 amsgrad=False, *, maximize=False, foreach=None, capturable=False,
                 differentiable=False, fused=None):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach,
                         maximize=maximize, capturable=capturable, differentiable=differentiable,
                         fused=fused, decoupled_weight_decay=True)

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:  # files of older versions do not say so
            group["decoupled_weight_decay"] = True


def adamw(*args, **kwargs) -> None:
    """PyTorch's functional form of :class:`AdamW`: changes the parameters in place."""
    kwargs["decoupled_weight_decay"] = True
    adam(*args, **kwargs)
