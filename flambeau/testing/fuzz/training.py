"""Whole training runs: data, loader, network, optimizer, schedule, evaluation, all at random."""

from __future__ import annotations

import random

from .loaders import dataset, loader
from .modules import Net
from .optimizers import constructor, schedule, step_lines
from .writer import block


def evaluation(r: random.Random) -> list[str]:
    """What happens between two epochs."""
    inner = ["p = net(X)", r.choice(["log.append((p.argmax(1) == Y).sum().item())",
                                     "log.append(torch.nn.functional.cross_entropy(p, Y).item())",
                                     "log.append(p.softmax(-1))", "log.append(p.max(1)[1])"])]
    mode = r.choice(["with torch.no_grad():", "with torch.inference_mode():", "if True:"])
    return ["net.eval()", *block(mode, inner), "net.train()"]


def write(r: random.Random) -> list[str]:
    """The lines of one program."""
    net = Net(r, r.choice(["flat", "flat", "image", "sequence", "tokens"]), r.choice([7, 8, 12]))
    n, classes = net.input[0], 3
    text = net.text("Net", r.randint(1, 4), classes)
    make, name = constructor(r, tame=True)
    make_schedule, step_schedule = schedule(r)
    lines, data, length = dataset(r, n, pairs=True)
    more, load = loader(r, data if data.startswith("Stream") else "dataset", length, pairs=True)
    shape = ", ".join(map(str, net.input))
    inputs = f"torch.randint(0, 7, ({shape}))" if net.start == "tokens" else \
        f"torch.randn({shape})"
    loss = [r.choice(["loss = torch.nn.functional.cross_entropy(net(x), y)",
                      "loss = torch.nn.functional.nll_loss(net(x).log_softmax(-1), y)",
                      "out = net(x); loss = torch.nn.functional.cross_entropy(out, y, "
                      "label_smoothing=0.1)",
                      "loss = torch.nn.functional.mse_loss(net(x), torch.nn.functional.one_hot("
                      f"y, {classes}).float())"])]
    if name == "LBFGS":
        make, name = ["opt = torch.optim.SGD(net.parameters(), lr=0.05)"], "SGD"
    each = [*step_lines(r, name, loss)]
    if step_schedule and r.random() < 0.5:
        each, step_schedule = each + step_schedule, []
    each.append(r.choice(["total += loss.item()"] * 3 + [
        "log.append(loss.item())", "seen += len(x)", "losses.append(loss.detach())"]))
    if r.random() < 0.15:
        each += block(f"if i == {r.choice([1, 2])}:", [r.choice([
            "continue", "break", "log.append(net.state_dict())",
            "log += [p.grad for p in net.parameters()]", "net.eval()", "torch.manual_seed(3)",
            "opt.param_groups[0]['lr'] *= 0.1"])])
    epoch = [*block("for i, (x, y) in enumerate(loader):", each),
             *[line.replace("if i % 2", "if epoch % 2") for line in step_schedule],
             *(evaluation(r) if r.random() < 0.6 else []), "log.append((total, seen))"]
    return ["import torch", "import copy", f"torch.manual_seed({r.randrange(100)})", *text,
            f"X, Y = {inputs}, torch.randint(0, {classes}, ({n},))", "net = Net()", *make,
            *make_schedule, *lines, f"dataset = {data}", *more, f"loader = {load}",
            "total, seen, losses, log = 0.0, 0, [], []", "loss = torch.zeros(())",
            *block(f"for epoch in range({r.choice([2, 3])}):", epoch),
            "log += losses", "log += list(net.state_dict().values())"]
