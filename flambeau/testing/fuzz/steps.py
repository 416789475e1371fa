"""Loops whose rounds are mostly alike, for the trace follower: what it must notice happens in some
of the rounds only.

A body is a few quiet statements, a loss, an update and a read, so that most rounds are followed.
Into it come *events*, each in some rounds: other data (shape, strides, dtype, aliasing, whether it
requires a gradient), other numbers, other modes, tensors that stay alive, memory that NumPy reads
or writes, gradients that are there already, hooks, errors, early ends, other steps.
"""

from __future__ import annotations

import random
import re

from .tensors import frame, head
from .writer import Writer, block

#: where the rounds get their input from
SOURCES = ("x = rows[i % 8]",) * 5 + (
    "x = pair[i // 3 % 2]", "x = rows[i // 3]", "x = rows[i // 2 % 2]", "x = halves[i % 2]",
    "x = halves[i // 4]",
    "x = data[i % 8]", "x = data[i % 8]", "x = rows[0]", "x = data[(i * 3) % 8, :, :]",
    "x = torch.randn(MxN)", "x = torch.tensor(lists[i % 3])", "x = rows[i % 8] * 1",
    "x = data[i % 8].clone()", "x = rows[i % 8] if i < 3 else rows[0]", "x = data[:2].mean(0)",
    "x = torch.from_numpy(arrays[i % 4])", "x = turned[i % 4].t()")

#: tensors made before the loop, so that a round differs by nothing but the tensor it is given
READY = {
    "crossed": "torch.randn(COLUMNS, ROWS).t()", "needing": "torch.randn(MxN).requires_grad_()",
    "wide": "torch.randn(MxN).double()", "shared": "torch.from_numpy(arrays[k])",
    "rowwise": "torch.randn(1, COLUMNS).expand(MxN)", "spread": "torch.randn(MxN, 2)[..., 0]",
    "parameter": "torch.nn.Parameter(torch.randn(MxN))", "shifted": "torch.randn(9, MxN)[k + 1]",
    "plain": "torch.randn(MxN)", "same": "data[k]", "late": "torch.randn(ROWS + 2, COLUMNS)[2:]"}
NEEDING = ("needing", "parameter")
FREQUENT = ("crossed", "needing", "needing", "parameter", "spread", "shared")
#: the same with other shapes, which the rest of a step may refuse
MISSHAPEN = {
    "shorter": "torch.randn(ROWS - 1, COLUMNS)", "longer": "torch.randn(ROWS + 1, COLUMNS)",
    "single": "torch.randn(1, COLUMNS)", "stacked": "torch.randn(2, MxN)"}
#: another ``x`` in the rounds of an event
OTHER_INPUTS = (
    "x = turned[i % 4].t()", "x = data.transpose(0, 1)[:, 0]", "x = x.expand(x.shape) + 0",
    "x = state", "x = state.detach()", "x = state.view(MxN)", "x = prev", "x = p0.detach()",
    "x = p0.detach().clone()", "x = x[:1].expand(MxN)", "x = data[0, :1].expand(MxN)",
    "x = x.clone().requires_grad_()", "x = torch.nn.Parameter(x.clone())", "x = p0",
    "x = x.double().float()", "x = p0 * 1", "x = torch.full((MxN,), 0.5)", "x = torch.zeros(MxN)",
    "x = torch.from_numpy(arrays[i % 4])", "x = kept[0] if kept else x", "x = data[i % 8]",
    "x = x.flip(0)", "x = torch.cat([x, x])[ROWS:]", "label = labels[0]", "label = label.clone()",
    "label = torch.zeros(ROWS, dtype=torch.long)", "label = labels[i % 8].int()", "x = rows[1]",
    "x = x.detach()[:]", "x = x.t().contiguous().t()", "x = data[i % 8].detach().requires_grad_()")

#: what a step reads becomes what it writes
ALIASES = ("x = state", "x = state", "x = prev", "prev = state", "state = prev", "x = p0",
           "x = state.detach()", "prev = p0.detach()", "x = state.view(MxN)", "state = rows[i % 8]",
           "prev = x",
           "x = data[i % 8]; state = x", "state = data[i % 8]", "x = rows[0]; prev = x")
#: what else may be done to what the steps use
WRITES = (
    "state = torch.ones(MxN)", "data[i % 8].mul_(0.5)", "rows[(i + 1) % 8].add_(0.25)",
    "state.numpy()[0] = 0.5", "rows[(i + 1) % 8].numpy()[...] *= 0.5", "data.numpy()[:, 0] = 0.25",
    "p0.detach()[0] = 0.2", "with torch.no_grad(): p1.mul_(0.9)",
    "with torch.no_grad(): model[0].weight[0] = 0.1", "arrays[(i + 1) % 4][0] = 0.5",
    "prev.fill_(0.5)",
    "state = state.clone(); state.data = rows[2].clone()", "prev.data = prev.data.flip(0)",
    "state, prev = prev, state", "state = state.view(MxN)",
    "state = state.clone()", "prev = state", "prev = state.view(-1).view(MxN)",
    "state = prev.t().contiguous().t()", "state = data[3]", "prev = p0.detach()",
    "with torch.no_grad(): p0.copy_(rows[1])", "with torch.no_grad(): p0.clamp_(-0.5, 0.5)")
#: references that stay
REFERENCES = (
    "kept.append(state)", "kept.append(state.detach())", "kept.append(state[0])",
    "kept.append(p0.detach())", "kept.append(p0.grad)", "kept.append(p0 * 1)",
    "kept.append(state.numpy())", "kept.append(p0.detach().numpy())", "kept.append(x)",
    "kept.append(p1.detach()[1:])", "held = prev.numpy()", "kept.append(memoryview(state.numpy()))",
    "log.append(p0.detach())", "log.append(state)", "log.append(state.view(-1))",
    "log.append(p0.detach()[0])", "log.append(p0.grad)", "log.append(prev)")
#: what is held while steps write over what it was made of: results that are the same elements,
#: which PyTorch copies and flambeau need not copy at once
SAME = ("WHAT.roll(0, 0)", "WHAT.pow(1)", "torch.stack([WHAT])", "torch.stack([WHAT])[0]",
        "WHAT.clone()", "WHAT.t().t()[:]", "WHAT.contiguous()", "torch.cat([WHAT, WHAT])",
        "WHAT.numpy()", "copy.deepcopy(WHAT)")
HELD = ("state", "state", "state", "prev", "p0.detach()", "p0.detach()", "p1.detach()",
        "model[0].weight.detach()", "model[2].bias.data", "shadow[0].weight.data",
        "p0.grad.detach()", "[*opt.state[p0].values()][-1]")
#: what else becomes of the memory that steps write
MOVES = (
    "state = torch.stack([state])[0]", "kept.append(state); state = torch.stack([state])[0]",
    "kept.append(p0.detach()); p0.data = torch.stack([p0.data])[0]",
    "kept.append(model[0].weight.detach()); model[0].weight.data = torch.stack([kept[-1]])[0]",
    "kept.append(p0.detach()); p0.data = torch.cat([kept[-1].unsqueeze(0)])[0]",
    "p0.data = p0.data.roll(0, 0)", "p0.data = p0.data.clone()", "p0.data = pair[0]",
    "p0.data = pair[i % 2]", "pair[1].copy_(p0.detach())", "pair = pair.roll(0, 0)",
    "p0.data, spare.data = spare.data, p0.data", "spare.data = p0.data",
    "spare.data = p0.data.pow(1)", "model, shadow = shadow, model",
    "model[0].weight = spare_weight", "shadow = copy.deepcopy(model)",
    "shadow.load_state_dict(model.state_dict())",
    "model.load_state_dict(shadow.state_dict())", "saved = copy.deepcopy(opt.state_dict())",
    "saved = opt.state_dict()", "opt.load_state_dict(saved) if saved else None",
    "saved_model = {k: v.clone() for k, v in model.state_dict().items()}",
    "saved_model = {k: v.roll(0, 0) for k, v in model.state_dict().items()}",
    "saved_model = copy.deepcopy(model.state_dict())",
    "model.load_state_dict(saved_model) if saved_model else None",
    "model[0].bias.data = model[0].bias.data.pow(1)", "state = pair[0]", "prev = pair[1]",
    "state = prev.pow(1)", "prev = state.roll(0, 0)", "rows[i % 8] = state.pow(1)")
#: in every round: averages of the weights, what is held for a round
FOLLOWERS = (
    ["with torch.no_grad():", "    for a, b in zip(shadow.parameters(), model.parameters()):",
     "        a.lerp_(b, 0.1)"],
    ["for a, b in zip(shadow.parameters(), model.parameters()):",
     "    a.data.mul_(0.9).add_(b.data, alpha=0.1)"],
    ["with torch.no_grad():", "    pair[0].lerp_(p0, 0.2)"],
    ["log.append(held.sum().item() if held is not None else 0)", "held = OUT.detach()"],
    ["kept[-1:] = [OUT.detach()]"], ["kept[-2:] = kept[-1:] + [OUT.detach()]"],
    ["pair[i % 2].mul_(0.5).add_(OUT.detach())"],
    ["pair[i // 3 % 2].add_(OUT.detach(), alpha=0.1)"],
    ["spare.data.copy_(p0.data)"], ["pair[0].copy_(state)", "pair[1].add_(pair[0], alpha=0.1)"])
GRADIENTS = (
    "p1.requires_grad_(not p1.requires_grad)", "model.requires_grad_(i % 2 == 0)",
    "model[0].bias.requires_grad_(False)", "p0.grad = torch.ones(MxN)", "p0.grad = None",
    "p1.grad = torch.zeros_like(p1)", "p0.grad = state", "opt.zero_grad(set_to_none=False)",
    "opt.zero_grad()", "for p in model.parameters(): p.grad = None")
NUMBERS = ("scale = 0.25", "scale = 0.25", "scale *= 0.5", "scale = 2", "scale = True",
           "scale = float(i)",
           "opt.param_groups[0]['lr'] *= 0.5", "opt.param_groups[0]['weight_decay'] = 0.1")
OTHERS = (
    "held = (p0 * p0).sum()", "held = (p0 * p1).sum()",
    "held = model(x).square().sum()", "held = (p1 * state).sum()", "torch.manual_seed(i)",
    "torch.rand(3)", "log.append(torch.rand(2))",
    "handle = p0.register_hook(lambda g: g * 0.5)", "handle.remove() if handle else None",
    "model[1].register_forward_hook(lambda m, a, out: out * 0.5)",
    "model[0].register_forward_hook(lambda m, a, out: log.append(out.shape))",
    "p1 = p1.detach().clone().requires_grad_()", "model = copy.deepcopy(model)",
    "model.load_state_dict({k: v * 0.5 for k, v in model.state_dict().items()})",
    "model.train(not model.training)",
    "model[0].weight = torch.nn.Parameter(torch.ones(5, COLUMNS))")
READS = (
    "log.append(p0.grad.tolist() if p0.grad is not None else 0)", "log.append(p0.detach().clone())",
    "log.append(model(x).detach())", "log.append((x.detach() @ p0.detach().T).sum().item())",
    "log.append(opt.state_dict()['param_groups'][0]['lr'])",
    "log.append((state._version, prev._version))",
    "log.append(state._version)",
    "log.append((p0.requires_grad, p1.requires_grad, x.requires_grad))", "log.append(scale)",
    "log.append(bool((state > prev).any()))", "log.append(p0.detach().numpy().copy())",
    "log.append(p1.grad is None)", "log.append(state.is_contiguous())", "log.append(prev.stride())",
    "log.append([p.grad is not None for p in model.parameters()])",
    "log.append(float(p0.detach().norm()))", "log.append(copy.deepcopy(state))",
    "with torch.no_grad(): log.append(model(x).mean())",
    "(p0.square().mean() + model(x).mean()).backward()",
    "log.append(torch.autograd.grad(model(x).sum(), p0, allow_unused=True)[0])",
    "log.append(torch.autograd.grad((p0 * x).square().sum(), p0)[0])")
#: after the loss is known
LATE = ("log.append(loss.grad_fn is None)", "kept.append(loss)", "kept.append(loss.detach())",
        "log.append(loss.requires_grad)", "log.append(loss.item())", "kept.append(OUT)",
        "kept.append(OUT.detach())", "OUT.detach().mul_(0.5)",
        "log.append(OUT.detach().numpy().copy())",
        "loss = loss * 2", "kept.append(OUT.detach().numpy())", "log.append(OUT.stride())",
        "log.append(OUT.grad_fn is None)", "held = OUT", "log.append(OUT.is_leaf)",
        "OUT.retain_grad() if OUT.requires_grad and not OUT.is_leaf else None", "del loss",
        "OUT.register_hook(lambda g: g * 0.5) if OUT.requires_grad else None",
        "loss.backward(retain_graph=True)", "log.append(float(loss) > 1)", "return")

#: kinds of events and how often they are drawn
KINDS = {OTHER_INPUTS: 30, WRITES: 12, REFERENCES: 10, GRADIENTS: 12, NUMBERS: 12, OTHERS: 6,
         READS: 8, LATE: 10, SAME: 14, MOVES: 12}

#: writes that autograd knows nothing of
HIDDEN = re.compile(r"\.data\b|\.numpy\(\)|arrays\[.*=|\.detach\(\)(\[.*\] =|\.\w+_\()")

#: when an event happens: mostly after the rounds in which following begins
WHEN = ("i == 5", "i == 6", "i == 6", "i == 7", "i == 8", "i in (5, 8)", "i in (6, 7)", "i >= 6",
        "i > 6", "i % 3 == 2", "i == rounds - 1", "i in (4, 9)")


class Steps(Writer):
    """Writes a loop of steps.

    Attributes:
        made: what is made before the loop, by name.
        catching: whether a step that is refused does not end the program.
    """

    def __init__(self, r: random.Random):
        super().__init__(r)
        self.made: dict[str, str] = {}
        self.catching = r.random() < 0.4

    @staticmethod
    def unseen(lines: list[str]) -> bool:
        """Whether something is written that autograd knows nothing of: PyTorch's gradients are
        then wrong between forward and backward, and flambeau's are not."""
        ways = (".data", ".numpy()", ".detach()", "arrays")
        return any(way in line for line in lines for way in ways)

    def text(self, form: str, out: str = "x") -> str:
        """A line with the program's own sizes and result."""
        m, n = self.matrix
        return form.replace("MxN", f"{m}, {n}").replace("ROWS", str(m)).replace(
            "COLUMNS", str(n)).replace("OUT", out)

    def ready(self) -> list[str]:
        """An input, or what is carried, is a tensor made before the loop."""
        table = MISSHAPEN if self.catching and self.r.random() < 0.6 else READY
        name = self.r.choice([*table, *(FREQUENT if table is READY else ())])
        self.made[name] = self.text(table[name])
        target = "x" if name in MISSHAPEN else self.r.choice(["x", "x", "x", "state", "prev"])
        if self.r.random() < 0.1:
            return ["label = shorter_label" if self.catching else "label = small_label"]
        return [f"{target} = {name}[i % 2]" + (".detach()" if target != "x" else "")]

    def event(self, forms: tuple[str, ...], out: str = "x") -> list[str]:
        lines = [self.text(self.r.choice(forms), out)]
        if forms is OTHER_INPUTS and (kind := self.r.random()) < 0.7:
            lines = self.ready() if kind < 0.4 else [self.text(self.r.choice(ALIASES))]
        if forms is SAME:
            return self.held(lines[0])
        if forms is MOVES and self.r.random() < 0.5:  # before the step begins again
            lines.append("log.append(sum(float(t.detach().sum()) for t in "
                         "(state, prev, p0, pair, *model.parameters())))")
        if self.r.random() < 0.1 and lines != ["return"]:
            lines.append(self.text(self.r.choice(WRITES + REFERENCES)))
        if "backward" in lines[0] or "grad" in lines[0] or "kept[0]" in lines[0]:
            lines = self.tried(lines)
        return block(f"if {self.r.choice(WHEN)}:", lines)

    def held(self, form: str) -> list[str]:
        """What shares a content that a later step writes; it may be computed before that step."""
        lines = [f"kept.append({form.replace('WHAT', self.r.choice(HELD))})"]
        if self.r.random() < 0.7:
            lines.append("log.append(float(kept[-1].sum()))")
        return block(f"if {self.r.choice(WHEN)}:", block("try:", lines) + block(
            "except (RuntimeError, AttributeError, KeyError, IndexError):", ["pass"]))

    def tried(self, lines: list[str]) -> list[str]:
        """Errors are noted and go no further."""
        return [*block("try:", lines), *block("except (RuntimeError, ValueError) as e:",
                                              ["log.append('refused')"])]

    def mode(self, lines: list[str]) -> list[str]:
        """The lines under a mode that changes from round to round."""
        # what bfloat16 does to values is within its rounding: the dtype tells whether it was used
        lines = [*lines, "log.append(str(torch.mm(p0, p0.t()).dtype))"]
        return block(self.r.choice([
            "with torch.set_grad_enabled(i % 3 != 2):", "with torch.set_grad_enabled(i < 6):",
            "with torch.autocast('cpu', torch.bfloat16, enabled=i == 6):",
            "with torch.autocast('cpu', torch.bfloat16, enabled=i > 5):",
            "with torch.autograd.set_grad_enabled(i != 6):"]), lines)

    def loss(self, out: str, forward: list[str]) -> list[str]:
        """Of all that nothing else uses: a history that no backward pass frees keeps a trace from
        being followed (in a few programs, some is left over)."""
        made = [f"t{k}" for k in range(self.count)]
        ends = [n for n in made if not any(
            re.search(rf"\b{n}\b", line.partition(" = ")[2]) for line in forward)]
        if self.r.random() < 0.1:
            ends = ends[:1]
        total = " + ".join(f"{n}.square().mean()" for n in dict.fromkeys([out, *ends]))
        more = self.r.choice(["model(x).square().mean()", "(p0 * p1).mean() * scale",
                              "torch.nn.functional.cross_entropy(model(x), label % COLUMNS)",
                              "(model(x) - x).abs().mean() + (p0 * p1).mean()",
                              "torch.nn.functional.mse_loss(model(x) * p1, prev)"])
        return [f"loss = {total} + {self.text(more)}"]

    def update(self) -> list[str]:
        clip = self.r.choice([[], ["torch.nn.utils.clip_grad_norm_([p0, p1], 1.0)"]])
        by_hand = ["loss.backward()", *block("with torch.no_grad():", block(
            "for p in (p0, p1, *model.parameters()):", block("if p.grad is not None:", [
                self.r.choice(["p.sub_(p.grad, alpha=0.01)", "p -= 0.01 * p.grad",
                               "p.copy_(p - 0.1 * p.grad)"]), "p.grad = None"])))]
        gradients = ["grads = torch.autograd.grad(loss, [p0, p1], allow_unused=True)",
                     "for p, g in zip((p0, p1), grads):",
                     "    p.detach().sub_(0.01 * g) if g is not None else None"]
        usual = ["opt.zero_grad()", "loss.backward()", *clip, "opt.step()"]
        return self.r.choice([
            usual, usual, usual, ["loss.backward()", *clip, "opt.step()", "opt.zero_grad()"],
            usual, by_hand, by_hand, ["loss = loss.detach()"], self.r.choice([gradients, [
                "opt.zero_grad(set_to_none=False)", "loss.backward()", "opt.step()"],
                ["loss.backward()", *block("if i % 2:", ["opt.step()", "opt.zero_grad()"])]])])

    def carried(self, out: str) -> list[str]:
        """What goes from round to round."""
        usual = [f"state.add_({out}.detach() * 0.1)", "state.mul_(scale)",
                 f"state.lerp_({out}.detach(), 0.1)", f"prev.copy_({out}.detach())",
                 "state.mul_(0.9).add_(x.detach(), alpha=0.1)"]
        return [self.r.choice(usual * 2 + [
            f"state.add_({out}.detach() * 0.1)", f"state = state * 0.9 + {out}.detach() * 0.1",
            f"prev = {out}.detach()",
            f"state[i % {self.rows}] = {out}.detach()[0]", f"state[0] += {out}.detach()[0]",
            f"prev = {out}.detach().clone()",
            f"prev, state = state, {out}.detach() * 0.5", f"state = prev; prev = {out}.detach()",
            "state.add_(torch.randn_like(state), alpha=0.01)", "state.lerp_(x.detach(), 0.1)",
            "state.add_(x.detach() * 0.1)"])]

    def reads(self, out: str) -> list[str]:
        usual = ["log.append(loss.item())"]
        return self.r.choice([
            usual, usual, usual, usual, usual, ["log.append(loss)"], [f"log.append({out})"],
            [f"log.append({out}.tolist())", "log.append(loss.item())"], self.r.choice([
                ["log.append(loss.detach())"], block("if i % 4 == 3:", usual), [
                    f"log.append({out}.detach())"], [f"log.append({out}.detach().sum().item())"],
                ["log.append(loss.item())", f"log.append({out}.detach())"]])])

    def body(self) -> list[str]:
        r = self.r
        first = [self.text(r.choice(SOURCES)), "label = labels[i % 8]"]
        forward = [line for _ in range(r.randint(1, 4)) for line in self.quiet()]
        if r.random() < 0.25:
            forward += r.choice([self.tracked_write, self.random, self.other_dtype])()
        out = self.pick_like(self.matrix)
        if out in ("state", "prev", "p0", "x"):
            forward.append(f"out = {out} * 1")
            out = "out"
        kinds = r.choices(list(KINDS), list(KINDS.values()), k=r.choice([0, 1, 1, 1, 2, 2]))
        loss = self.loss(out, forward)
        if self.count and r.random() < 0.15:  # what usually dies is held
            name = f"t{r.randrange(self.count)}"
            form = r.choice(["kept.append({})", "kept.append({}.detach())", "kept.append({} * 2)"])
            forward += block(f"if {r.choice(WHEN)}:", [form.format(name)])
        if NUMBERS in kinds:  # then let them matter
            loss.append(r.choice(["loss = loss * scale", "loss = loss.add(p1.mean(), alpha=scale)",
                                  "loss = loss + (p0 * scale).mean()"]))
        if r.random() < 0.15:
            forward, loss = self.mode(forward + loss), []
        if r.random() < 0.85:  # what is made on the way dies before the backward pass
            forward = block("def forward(x):", [*forward, *loss, f"return {out}, loss"])
            loss = [f"{out}, loss = forward(x)"]
        # most optimizers' steps end with a flush, and what was made before it and still has a
        # history keeps the next trace from being followed: hence the carried state comes first
        parts = [first, forward, loss, self.carried(out) if r.random() < 0.6 else [],
                 self.tried(self.update()), self.carried(out) if r.random() < 0.2 else [],
                 self.reads(out)]
        for kind in kinds:
            at = r.randrange(1, len(parts) + 1)
            event = self.event(kind, out)
            if kind is OTHER_INPUTS:
                parts[0] = parts[0] + event
            elif kind is NUMBERS:
                parts[0] = event + parts[0]
            elif kind is LATE:
                parts.insert(max(at, 4), event)
            else:
                parts.insert(len(parts) if self.unseen(event) else at, event)
        if r.random() < 0.3:
            parts.append([self.text(line, out) for line in r.choice(FOLLOWERS)])
        return [line for part in parts for line in part]


def write(r: random.Random) -> list[str]:
    """The lines of one program."""
    w = Steps(r)
    m, n = w.matrix
    lines = ["import torch", "import copy", "import numpy as np", *head(w)[1:],
             f"turned = [torch.randn({n}, {m}) for _ in range(4)]",
             f"arrays = [np.full(({m}, {n}), 0.1 * k, np.float32) for k in range(4)]",
             "lists = [d.tolist() for d in data[:3]]", "held = handle = None",
             f"pair, halves = torch.randn(2, {m}, {n}), torch.randn({2 * m}, {n}).split({m})",
             f"spare = torch.nn.Parameter(torch.randn({m}, {n}))", "saved = saved_model = None",
             f"spare_weight = torch.nn.Parameter(torch.ones(5, {n}))",
             "shadow = copy.deepcopy(model)",
             "small_label, shorter_label = labels[0].int().long(), labels[0][1:].clone()",
             f"rounds = {(rounds := r.choice([8, 9, 10, 11]))}"]
    names = "state, prev, scale, held, handle, p1, model, pair, shadow, saved, saved_model"
    loop = frame(w, w.body(), rounds, names, 1.0 if w.catching else 0.85)
    if w.catching:
        loop[-1:] = [*block("    try:", ["    step(i)"]),
                     *block("    except (RuntimeError, IndexError, ValueError):",
                            ["    log.append('refused')"])]
    lines += [f"{name} = [{form} for k in range(2)]" for name, form in w.made.items()]
    if loop[0].startswith("for"):
        loop = [line.replace("return", "continue") if line.endswith("return") else line
                for line in loop]
    late = "held.grad_fn" if any(HIDDEN.search(line) for line in loop) else "held.backward()"
    end = ["log.append(p0.grad)", *block("try:", [late, "log.append(p0.grad)"]),
           *block("except (RuntimeError, AttributeError):", ["log.append('no backward')"]),
           "held = held.detach() if hasattr(held, 'detach') else held",
           "log += [p.detach() for p in model.parameters()]",
           "log += [p0.detach(), p1.detach(), state, prev, spare.detach(), pair]",
           "log += [p.detach() for p in shadow.parameters()]",
           "log += [k if hasattr(k, 'detach') else np.array(k) for k in kept if k is not None]",
           "log.append(np.array(held) if isinstance(held, np.ndarray) else held)",
           "log += [*rows[:3], data[0], p0.grad]",
           *(f"log += [k.grad for k in {name}]" for name in w.made if name in NEEDING)]
    return [*lines, *loop, *end]
