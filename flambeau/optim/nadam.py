"""NAdam."""

from __future__ import annotations

from typing import ClassVar

from .algorithm import (
    Algorithm,
    check_betas,
    check_lr,
    check_not_negative,
    scalar,
    step_tensor,
)
from .functions import ones, view_as_real, zeros_like


class NAdam(Algorithm):
    """Adam with Nesterov momentum (Dozat, Incorporating Nesterov Momentum into Adam).

    Args:
        params: tensors or parameter groups.
        lr: learning rate.
        betas: decay rates of the two running means.
        eps: added to the root.
        weight_decay: adds ``weight_decay * p`` to the gradient.
        momentum_decay: how fast the momentum warms up.
        decoupled_weight_decay: shrink the parameters instead (as AdamW).
        foreach, capturable: accepted.
        maximize: climb instead of descend.
        differentiable: gradients flow through the step.
    """

    STATE = ("exp_avg", "exp_avg_sq", "mu_product", "step")
    LATER_OPTIONS: ClassVar[dict] = {**Algorithm.LATER_OPTIONS, "decoupled_weight_decay": False}

    def __init__(self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0,
                 momentum_decay=4e-3, decoupled_weight_decay=False, *, foreach=None,
                 maximize=False, capturable=False, differentiable=False):
        check_lr(lr)
        if not 0.0 <= eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        check_not_negative("weight_decay", weight_decay)
        check_not_negative("momentum_decay", momentum_decay)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "momentum_decay": momentum_decay, "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize, "foreach": foreach, "capturable": capturable,
            "differentiable": differentiable})

    def initial_state(self, param, group):
        """Zero means; the product of the momenta is one."""
        return {"step": step_tensor(),
                "mu_product": ones((), dtype=step_tensor().dtype, device=param.device),
                "exp_avg": zeros_like(param), "exp_avg_sq": zeros_like(param)}

    def update(self, group, found):
        """Adam's step with this step's gradient and next step's momentum."""
        counts = self.counted(found)
        beta1, beta2 = group["betas"]
        lr, decay = scalar(group["lr"]), group["momentum_decay"]
        rows = zip(found.params, found.grads, *found.lists, counts, strict=True)
        for param, grad, mean, square, mu_product, step, count in rows:
            step.add_(1)
            if group["maximize"]:
                grad = -grad
            if param.is_complex():
                param, grad, mean, square = map(view_as_real, (param, grad, mean, square))
            if group["weight_decay"] != 0:
                if group["decoupled_weight_decay"]:
                    param.mul_(1 - lr * group["weight_decay"])
                else:
                    grad = grad.add(param, alpha=group["weight_decay"])
            mu = beta1 * (1.0 - 0.5 * (0.96 ** (count * decay)))
            mu_next = beta1 * (1.0 - 0.5 * (0.96 ** ((count + 1) * decay)))
            mu_product.mul_(mu)
            mean.lerp_(grad, 1 - beta1)
            square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            root = square.div(1 - beta2 ** count).sqrt()
            if group["differentiable"]:
                root = root.add(group["eps"])
                grad = grad * (-lr * (1.0 - mu) / (1.0 - mu_product))
                param.addcdiv_(grad, root)
                param.addcdiv_(mean * (-lr * mu_next / (1.0 - mu_product * mu_next)), root)
                continue
            root.add_(group["eps"])
            product = mu_product.item()
            param.addcdiv_(grad, root, value=-lr * (1.0 - mu) / (1.0 - product))
            param.addcdiv_(mean, root, value=(-lr * mu_next) / (1.0 - product * mu_next))
