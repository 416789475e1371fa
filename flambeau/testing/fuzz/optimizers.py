"""Optimizers and schedulers: options, groups, accumulation, clipping, freezing, saved states."""

from __future__ import annotations

import random

from .writer import block

#: constructors by name: options that are always there, and others that may be
OPTIMIZERS = {
    "SGD": ("lr=0.05", ["momentum=0.9", "weight_decay=0.01", "maximize=True"]),
    "SGD ": ("lr=0.05, momentum=0.8", ["nesterov=True", "dampening=0", "weight_decay=0.01"]),
    "Adam": ("lr=0.02", ["betas=(0.8, 0.95)", "weight_decay=0.01", "amsgrad=True", "eps=1e-4",
                         "maximize=True"]),
    "AdamW": ("lr=0.02", ["weight_decay=0.1", "amsgrad=True", "betas=(0.7, 0.9)"]),
    "RMSprop": ("lr=0.01", ["momentum=0.5", "centered=True", "alpha=0.9", "weight_decay=0.01"]),
    "Adagrad": ("lr=0.05", ["lr_decay=0.1", "weight_decay=0.01", "initial_accumulator_value=0.1"]),
    "Adadelta": ("lr=0.5", ["rho=0.8", "weight_decay=0.01"]),
    "Adamax": ("lr=0.02", ["weight_decay=0.01"]), "NAdam": ("lr=0.02", ["weight_decay=0.01"]),
    "RAdam": ("lr=0.02", ["weight_decay=0.01"]), "ASGD": ("lr=0.02", ["weight_decay=0.01"]),
    "Rprop": ("lr=0.01", ["etas=(0.6, 1.1)"]), "LBFGS": ("lr=0.3, max_iter=3", []),
    "Adafactor": ("lr=0.05", ["weight_decay=0.01"]),
}
SHARES = [6, 4, 8, 6, 3, 2, 1, 1, 2, 1, 1, 1, 1, 1]

#: what every optimizer but LBFGS keeps is known to programs
STATE = "log += [v for s in opt.state.values() for k, v in s.items() if hasattr(v, 'shape') " \
        "and k in ('step', 'exp_avg', 'exp_avg_sq', 'momentum_buffer', 'square_avg', 'sum')]"

SCHEDULERS = (
    "StepLR(opt, 2, gamma=0.5)", "MultiStepLR(opt, [2, 5])", "ExponentialLR(opt, 0.8)",
    "CosineAnnealingLR(opt, 6)", "LinearLR(opt, 0.3, total_iters=4)",
    "LambdaLR(opt, lambda k: 0.9 ** k)",
    "ConstantLR(opt, 0.5, total_iters=3)", "PolynomialLR(opt, total_iters=6)",
    "CosineAnnealingWarmRestarts(opt, 3)", "OneCycleLR(opt, max_lr=0.1, total_steps=30)",
    "CyclicLR(opt, 0.001, 0.05, step_size_up=3, cycle_momentum=False)",
    "MultiplicativeLR(opt, lambda k: 0.95)", "ReduceLROnPlateau(opt, patience=1)",
    "SequentialLR(opt, [torch.optim.lr_scheduler.ConstantLR(opt, 0.1, 2), "
    "torch.optim.lr_scheduler.ExponentialLR(opt, 0.9)], [2])",
    "ChainedScheduler([torch.optim.lr_scheduler.ExponentialLR(opt, 0.9), "
    "torch.optim.lr_scheduler.ConstantLR(opt, 0.5, 3)])")

EVENTS = (
    "net[0].weight.requires_grad_(False)", "net[2].requires_grad_(i % 2 == 0)",
    "for g in opt.param_groups: g['lr'] *= 0.5", "opt.param_groups[0]['lr'] = 0.001",
    "opt.load_state_dict(copy.deepcopy(opt.state_dict()))",
    "saved = copy.deepcopy(opt.state_dict())",
    "opt.load_state_dict(saved) if saved else None", "opt.zero_grad(set_to_none=False)",
    "net[0].weight.grad = None", "net[0].bias.grad = torch.ones_like(net[0].bias)",
    "log.append([g['lr'] for g in opt.param_groups])", "log.append(len(opt.state))",
    STATE,
    "net[0].weight.data.mul_(0.9)", "with torch.no_grad(): net[0].bias.zero_()",
    "log += [p.grad for p in net.parameters()]", "log += [p.detach() for p in net.parameters()]",
    "kept += [p.detach() for p in net.parameters()]", "kept += [p.grad for p in net.parameters()]",
    "kept += [p.detach().clone() for p in net.parameters()]", "x = x[:1]", "x = x * 2", "y = y * 0",
    "net.load_state_dict({k: v * 0.5 for k, v in net.state_dict().items()})", "continue",
    "opt.state.clear()", "opt.param_groups[0]['weight_decay'] = 0.1", "target = 0.5",
    "extra = torch.nn.Parameter(torch.ones(3)); "
    "opt.add_param_group({'params': [extra], 'lr': 0.1})",
    "log.append(torch.cat([p.detach().flatten() for p in net.parameters()]).norm().item())",
    "with torch.no_grad(): log.append(net(x).mean().item())",
    "net[0].weight.detach().numpy()[0] = 0.1",
    "arrays = [p.detach().numpy() for p in net.parameters()]",
    "kept += [s['exp_avg'] for s in opt.state.values() if 'exp_avg' in s]",
    "h = net[0].weight.register_hook(lambda g: g * 0.1)")
WHEN = ("i == 5", "i == 6", "i == 7", "i > 6", "i % 3 == 2", "i == 1", "i in (5, 8)")


def constructor(r: random.Random, net: str = "net", tame: bool = False) -> tuple[list[str], str]:
    """Lines that make ``opt``, and the optimizer's name.

    ``tame``: mostly one that does not divide gradients by their own size, however small; those of
    what comes before a normalisation are nothing but rounding errors.
    """
    name = r.choices(list(OPTIMIZERS), SHARES)[0]
    if tame and name in ("Rprop", "Adafactor", "Adadelta"):
        name = "SGD"
    always, others = OPTIMIZERS[name]
    name = name.strip()
    chosen = [o for o in others if r.random() < 0.3]
    if tame and name not in ("SGD", "ASGD", "LBFGS") and r.random() < 0.9:
        chosen = [o for o in chosen if "eps" not in o] + ["eps=1e-3"]
    if name not in ("LBFGS", "Adafactor") and r.random() < 0.25:
        chosen.append(r.choice(["foreach=True", "foreach=False"]))
        if "nesterov=True" in chosen:  # PyTorch's lists write the momentum into the gradients
            chosen[-1] = "foreach=False"
    if name in ("Adam", "AdamW", "SGD", "Adagrad") and r.random() < 0.1 and \
            not any("foreach" in o for o in chosen):
        chosen.append("fused=True")
    params = f"{net}.parameters()"
    if name != "LBFGS" and r.random() < 0.3:
        params = r.choice([
            f"[{{'params': [p for p in {net}.parameters() if p.ndim > 1], 'weight_decay': 0.05}}, "
            f"{{'params': [p for p in {net}.parameters() if p.ndim == 1], 'lr': 0.03}}]",
            f"list({net}.named_parameters())", f"[{{'params': {net}.parameters()}}]",
            f"[{{'params': [p], 'lr': 0.01 * (k + 1)}} for k, p in enumerate({net}.parameters())]"])
    return [f"opt = torch.optim.{name}({params}, {', '.join([always, *chosen])})"], name


def step_lines(r: random.Random, name: str, loss: list[str], net: str = "net") -> list[str]:
    """One update; ``loss`` are the lines that compute it."""
    if name == "LBFGS":
        return closure(loss)
    clip = r.choice([[], [], [f"torch.nn.utils.clip_grad_norm_({net}.parameters(), 0.5)"],
                     [f"norm = torch.nn.utils.clip_grad_norm_({net}.parameters(), 1.0)",
                      "log.append(norm.item())"],
                     [f"torch.nn.utils.clip_grad_value_({net}.parameters(), 0.1)"]])
    form = r.random()
    if form < 0.6:
        return [*loss, "opt.zero_grad()", "loss.backward()", *clip, "opt.step()"]
    if form < 0.75:
        return ["opt.zero_grad()", *loss, "loss.backward()", *clip, "opt.step()"]
    if form < 0.83:  # accumulation
        return [*loss, "(loss / 2).backward()", *block("if i % 2:", [*clip, "opt.step()",
                                                                  "opt.zero_grad()"])]
    if form < 0.9:
        return [*loss, "loss.backward()", *clip, "opt.step()",
                "opt.zero_grad(set_to_none=False)"]
    if form < 0.95:
        return [*loss, "loss.backward()", *clip, "opt.step()",
                *block(f"for p in {net}.parameters():", ["p.grad = None"])]
    return closure(loss)


def closure(loss: list[str]) -> list[str]:
    """An update that calls the loss itself."""
    return [*block("def closure():", ["opt.zero_grad()", *loss, "loss.backward()", "return loss"]),
            "loss = opt.step(closure)"]


def schedule(r: random.Random) -> tuple[list[str], list[str]]:
    """Lines that make a scheduler (or none) and lines that step it."""
    if r.random() < 0.5:
        return [], []
    form = r.choice(SCHEDULERS)
    step = "sched.step(loss)" if "Plateau" in form else "sched.step()"
    lines = [step] if r.random() < 0.7 else block("if i % 2:", [step])
    if r.random() < 0.3 and "Plateau" not in form:
        lines.append("log.append(sched.get_last_lr())")
    return [f"sched = torch.optim.lr_scheduler.{form}"], lines


def write(r: random.Random) -> list[str]:
    """The lines of one program."""
    n, k = r.choice([(4, 6), (3, 5), (8, 16)]), r.choice([4, 7])
    make, name = constructor(r)
    make_schedule, step_schedule = schedule(r)
    norm = r.choice(["Tanh()", "ReLU()", f"LayerNorm({k})"])
    lines = ["import torch", "import copy", f"torch.manual_seed({r.randrange(100)})",
             f"net = torch.nn.Sequential(torch.nn.Linear({n[1]}, {k}), torch.nn.{norm}, "
             f"torch.nn.Linear({k}, 3))",
             f"data = torch.randn(6, {n[0]}, {n[1]})", f"labels = torch.randn(6, {n[0]}, 3)",
             *make, *make_schedule, "saved = None", "target = 0.0", "kept = []", "log = []"]
    loss = [r.choice([
        "loss = (net(x) - y[:len(x)]).square().mean() + target",
        "loss = torch.nn.functional.mse_loss(net(x), y[:len(x)])",
        "loss = torch.nn.functional.cross_entropy(net(x), y[:len(x)].argmax(1))",
        "loss = torch.nn.functional.smooth_l1_loss(net(x), y[:len(x)]) * 2"])]
    if r.random() < 0.1 and name != "LBFGS":
        make_average = "average = torch.optim.swa_utils.AveragedModel(net)"
        lines.append(make_average)
        step_schedule.append("average.update_parameters(net)")
    body = ["x = data[i % 6]", "y = labels[i % 6]", *step_lines(r, name, loss), *step_schedule]
    body.append(r.choice(["log.append(loss.item())"] * 4 + ["total += loss.item() * len(x)",
                                                           "kept.append(loss)"]))
    lines.append("total = 0.0")
    for _ in range(r.choice([0, 1, 1, 2, 2, 3])):
        event = block(f"if {r.choice(WHEN)}:", [r.choice(EVENTS)])
        at = r.choice([2, len(body)])
        body[at:at] = event
    end = ["log += [p.detach() for p in net.parameters()]", "log += kept", "log.append(total)",
           STATE,
           "log.append([g['lr'] for g in opt.param_groups])"]
    if any("average" in line for line in lines):
        end.append("log += [p.detach() for p in average.parameters()]")
    return [*lines, *block(f"for i in range({r.choice([3, 8, 9, 10])}):", body), *end]
