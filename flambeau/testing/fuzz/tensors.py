"""Straight lines: views, in-place writes, indices, reductions, branches, reads, in a few rounds."""

from __future__ import annotations

import random

from .writer import Writer, block

OPTIMIZERS = ("SGD({}, lr=0.05)", "SGD({}, lr=0.05, momentum=0.9)", "Adam({}, lr=0.01)",
              "AdamW({}, lr=0.01, foreach=True)", "RMSprop({}, lr=0.01)")


def head(w: Writer) -> list[str]:
    """What the lines of :class:`Writer` refer to; the writer learns the names."""
    m, n = w.matrix
    w.shapes.update({"x": (m, n), "p0": (m, n), "p1": (n,), "state": (m, n), "prev": (m, n),
                     "label": (m,)})
    optimizer = w.r.choice(OPTIMIZERS).format("[p0, p1, *model.parameters()]")
    return [
        "import torch", f"torch.manual_seed({w.r.randrange(100)})",
        f"data = torch.randn(8, {m}, {n}) * 0.7", "rows = [d.clone() for d in data]",
        f"labels = torch.randint(0, {m}, (8, {m}))",
        f"p0 = torch.randn({m}, {n}, requires_grad=True)",
        f"p1 = torch.randn({n}, requires_grad=True)",
        f"state = torch.randn({m}, {n}) * 0.1", f"prev = torch.randn({m}, {n})",
        f"model = torch.nn.Sequential(torch.nn.Linear({n}, 5), torch.nn.Tanh(), "
        f"torch.nn.Linear(5, {n}))",
        f"opt = torch.optim.{optimizer}", "scale = 0.5", "kept = []", "log = []"]


def frame(w: Writer, body: list[str], rounds: int, names: str = "state, prev, scale",
          inside: float = 0.7) -> list[str]:
    """The body as a loop, or (mostly) in a function whose intermediate results die at its end."""
    if w.r.random() < inside:
        return [*block("def step(i):", [f"global {names}", *body]),
                *block(f"for i in range({rounds}):", ["step(i)"])]
    return block(f"for i in range({rounds}):", body)


def training(w: Writer) -> list[str]:
    """Loss, gradients and what is done with them."""
    r = w.r
    names = r.sample([n for n in sorted(w.shapes) if n != "label"], 3)
    loss = "loss = " + " + ".join(f"{n}.square().mean()" for n in names) + " + (p0 * p1).mean()"
    update = ["with torch.no_grad():", "    p -= 0.01 * p.grad.clamp(-1, 1)", "p.grad = None"]
    given = block("for p in (p0, p1):", block("if p.grad is not None:", r.choice(
        [update, ["log.append(p.grad.clone())"], ["log.append(p.grad)"]])))
    if r.random() < 0.3:
        return [loss, "opt.zero_grad()", "loss.backward()", "opt.step()",
                *r.choice([[], ["log.append(loss.detach())"]])]
    step = r.choice([given, given, ["opt.step()", "opt.zero_grad()"],
                     block("if i % 2:", ["opt.step()", "opt.zero_grad()"]),
                     ["torch.nn.utils.clip_grad_norm_([p0, p1], 1.0)", "opt.step()",
                      "opt.zero_grad()"]])
    return [loss, "loss.backward()", "log.append(loss.item())", *step]


def write(r: random.Random) -> list[str]:
    """The lines of one program."""
    w = Writer(r)
    lines = head(w)
    body = [r.choice(["x = data[i % 8]", "x = data[i % 8]", "x = rows[i % 8]",
                      "x = data[0] + 0.1 * i"]), "label = labels[i % 8]"]
    for _ in range(r.randint(3, 12)):
        body += w.statement()
    if r.random() < 0.6:
        body += training(w)
    if r.random() < 0.5:
        body.append(f"prev = {w.pick_like(w.matrix)}.detach()" + r.choice(["", " * 1", ".clone()"]))
    keep = r.choice(["{}.detach().clone()", "{}.tolist()", "{}.detach()"])
    body += [f"log.append({keep.format(name)})" for name in r.sample(sorted(w.shapes), 3)]
    return [*lines, *frame(w, body, r.choice([1, 3, 6, 6, 8]))]
