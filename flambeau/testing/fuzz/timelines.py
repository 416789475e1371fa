"""Several networks in turn: rounds of a few kinds, in an order that repeats and then deviates.

Each letter of the order is a function: training in one of many ways, evaluation, averages of
weights, knowledge carried from one network to another. Between the rounds come *events* that change
what the rounds work on: weights, gradients, states, modes, data, what shares memory with what.
"""

from __future__ import annotations

import random
import re

from .modules import Net
from .networks import NETWORKS
from .optimizers import constructor, schedule, step_lines
from .writer import block

CLASSES = 3
#: where a round gets its data from; SIZE is the number of rows
BATCHES = (
    "X[i % 6], Y[i % 6]", "X[i % 6], Y[i % 6]", "X[0], Y[0]", "X[i % 2], Y[i % 2]",
    "X[i % 6].clone(), Y[i % 6]", "(X[5][:-1], Y[5][:-1]) if i % 6 == 5 else (X[i % 6], Y[i % 6])",
    "(X[i % 6], Y[i % 6]) if i % 5 != 4 else (X[i % 6][:1], Y[i % 6][:1])",
    "X.flatten(0, 1)[i:i + SIZE], Y.flatten()[i:i + SIZE]", "xs[i % 6], ys[i % 6]",
    "batches[i % len(batches)]", "next(stream)",
    "X.flatten(0, 1)[(p := torch.randperm(6 * SIZE)[:SIZE])], Y.flatten()[p]")
LOSSES = (
    "loss = torch.nn.functional.cross_entropy(NET(x), y)",
    "loss = torch.nn.functional.cross_entropy(NET(x), y)",
    "out = NET(x); loss = torch.nn.functional.cross_entropy(out, y, label_smoothing=0.1)",
    "loss = torch.nn.functional.nll_loss(NET(x).log_softmax(-1), y)",
    "loss = (NET(x) - torch.nn.functional.one_hot(y, 3)).square().mean()",
    "out = NET(x); loss = -out.log_softmax(-1).gather(1, y[:, None]).mean() + out.square().mean()")

#: further kinds of rounds; LOSS stands for the lines of the loss
KINDS: dict[str, list[str]] = {
    "evaluate": [
        "NET.eval()", "with MODE:", "    out = NET(x)",
        "    log.append((out.argmax(-1) == y).float().mean().item())", "NET.train()"],
    "look": ["with MODE:", "    log.append(NET(x).softmax(-1).mean(0))"],
    "accumulate": [
        "for k in range(3):", "    x, y = X[(i + k) % 6], Y[(i + k) % 6]", "    LOSS",
        "    (loss / 3).backward()",
        "torch.nn.utils.clip_grad_norm_(NET.parameters(), 0.5)", "OPT.step()", "OPT.zero_grad()"],
    "parts": [
        "OPT.zero_grad()", "for x, y in zip(x.split(3), y.split(3)):", "    LOSS",
        "    loss.backward()", "OPT.step()"],
    "later": ["LOSS", "loss.backward()", "if i % 3 == 2:", "    OPT.step()", "    OPT.zero_grad()"],
    "penalty": [
        "LOSS", "g = torch.autograd.grad(loss, [p for p in NET.parameters() if p.requires_grad], "
        "create_graph=True, allow_unused=True)", "OPT.zero_grad()",
        "(loss + 0.1 * sum(h.square().sum() for h in g if h is not None)).backward()",
        "OPT.step()"],
    "sharpness": [
        "LOSS", "OPT.zero_grad()", "loss.backward()", "with torch.no_grad():",
        "    moved = [(p, 0.05 * p.grad) for p in NET.parameters() if p.grad is not None]",
        "    for p, e in moved:", "        p.add_(e)", "OPT.zero_grad()", "LOSS",
        "loss.backward()", "with torch.no_grad():", "    for p, e in moved:",
        "        p.sub_(e)", "OPT.step()"],
    "fast": [
        "names = [n for n, p in NET.named_parameters() if p.requires_grad]", "LOSS",
        "g = torch.autograd.grad(loss, [p for p in NET.parameters() if p.requires_grad], "
        "create_graph=True, allow_unused=True)",
        "fast = {n: NET.get_parameter(n) - (0.1 * h if h is not None else 0) "
        "for n, h in zip(names, g)}",
        "loss = torch.nn.functional.cross_entropy(torch.func.functional_call(NET, fast, (x,)), y)",
        "OPT.zero_grad()", "loss.backward()", "OPT.step()"],
    "other": [
        "w = {n: p.detach() * 0.9 for n, p in NET.named_parameters()}",
        "log.append(torch.func.functional_call(NET, w, (x,)).mean().item())"],
    "average": [
        "with torch.no_grad():", "    for p, q in zip(slow.parameters(), NET0.parameters()):",
        "        p.lerp_(q, 0.1)", "    for p, q in zip(slow.buffers(), NET0.buffers()):",
        "        p.copy_(q)"],
    "average by data": [
        "for p, q in zip(slow.parameters(), NET0.parameters()):",
        "    p.data.mul_(0.9).add_(q.data, alpha=0.1)", "log.append(slow(x).mean().item())"],
    "exchange": [
        "for p, q in zip(slow.parameters(), NET0.parameters()):",
        "    p.data, q.data = q.data, p.data", "with MODE:", "    log.append(NET0(x).sum().item())",
        "for p, q in zip(slow.parameters(), NET0.parameters()):",
        "    p.data, q.data = q.data, p.data"],
    "teach": [
        "with torch.no_grad():", "    t = OTHER(x).softmax(-1)",
        "loss = torch.nn.functional.kl_div(NET(x).log_softmax(-1), t, reduction='batchmean')",
        "OPT.zero_grad()", "loss.backward()", "OPT.step()"],
    "together": [
        "a, b = NET(x), OTHER(x)", "loss = torch.nn.functional.cross_entropy(a + b, y) "
        "+ (a.softmax(-1) - b.softmax(-1).detach()).square().mean()",
        "OPT.zero_grad()", "OTHER_OPT.zero_grad()", "loss.backward()", "OPT.step()",
        "OTHER_OPT.step()"],
    "against": [
        "a = NET(x)", "loss = torch.nn.functional.cross_entropy(OTHER(x) + a.detach(), y)",
        "OTHER_OPT.zero_grad()", "loss.backward()", "OTHER_OPT.step()",
        "loss = -0.1 * torch.nn.functional.cross_entropy(OTHER(x).detach() - a, y)",
        "OPT.zero_grad()", "loss.backward()", "OPT.step()"],
    "by hand": [
        "LOSS", "NET.zero_grad()", "loss.backward()", "with torch.no_grad():",
        "    for p in NET.parameters():", "        if p.grad is not None:",
        "            p.sub_(0.05 * p.grad.clamp(-1, 1))"],
    "norms": [
        "LOSS", "OPT.zero_grad()", "loss.backward()",
        "norm = torch.stack([p.grad.norm() for p in NET.parameters() "
        "if p.grad is not None]).norm()",
        "if norm > 0.7:", "    for p in NET.parameters():", "        if p.grad is not None:",
        "            p.grad.mul_(0.7 / norm)", "OPT.step()"],
    "noise": [
        "with torch.no_grad():", "    for p in NET.parameters():",
        "        p.add_(torch.randn_like(p), alpha=0.01)"],
    "skip": [
        "LOSS", "OPT.zero_grad()", "loss.backward()", "if loss.item() < LIMIT:", "    OPT.step()"]}
#: kinds for inputs with gradients
INPUT_KINDS: dict[str, list[str]] = {
    "attack": [
        "x = x.clone().requires_grad_()", "LOSS", "loss.backward()",
        "x = (x + 0.1 * x.grad.sign()).detach()", "OPT.zero_grad()", "LOSS", "loss.backward()",
        "OPT.step()"],
    "input penalty": [
        "x = x.detach().clone().requires_grad_()", "LOSS", "g, = torch.autograd.grad(loss, x, "
        "create_graph=True)", "OPT.zero_grad()",
        "(loss + (g.flatten(1).norm(dim=1) - 1).square().mean()).backward()", "OPT.step()"],
    "dream": [
        "out = NET(dreamt)", "loss = -out[:, 0].mean() + 0.1 * dreamt.square().mean()",
        "dreamt.grad = None", "loss.backward(inputs=[dreamt])", "with torch.no_grad():",
        "    dreamt -= 0.1 * dreamt.grad"]}
MODES = ("torch.no_grad()", "torch.no_grad()", "torch.inference_mode()", "torch.enable_grad()",
         "torch.set_grad_enabled(i % 2 == 0)")

#: between rounds
EVENTS = (
    # what requires gradients
    "NET.requires_grad_(False)", "NET.requires_grad_(True)", "NET.requires_grad_(i % 2 == 0)",
    "for p in list(NET.parameters())[:2]: p.requires_grad_(not p.requires_grad)",
    "tail(NET).bias.requires_grad_(not tail(NET).bias.requires_grad)",
    "torch.set_grad_enabled(not torch.is_grad_enabled())",
    # modes, hooks
    "NET.eval()", "NET.train()", "NET.train(not NET.training)", "slow.train(not slow.training)",
    "handle = tail(NET).register_forward_hook(lambda m, a, out: out * 0.5)",
    "handle = tail(NET).weight.register_hook(lambda g: g * 0.5)",
    "handle.remove() if handle else None",
    "handle = NET.register_forward_pre_hook(lambda m, a: (a[0] + 0,))",
    # saved and loaded
    "saved = copy.deepcopy(NET0.state_dict())", "saved = NET0.state_dict()",
    "saved = {k: v.clone() for k, v in NET0.state_dict().items()}",
    "NET0.load_state_dict(saved) if saved else None", "slow.load_state_dict(NET0.state_dict())",
    "NET0.load_state_dict(slow.state_dict())",
    "saved_opt = copy.deepcopy(OPT0.state_dict())", "saved_opt = OPT0.state_dict()",
    "OPT0.load_state_dict(saved_opt) if saved_opt else None",
    "OPT.load_state_dict(OPT.state_dict())",
    "NET.load_state_dict({k: v * 0.9 if v.is_floating_point() else v "
    "for k, v in NET.state_dict().items()})",
    "NET.load_state_dict(copy.deepcopy(NET.state_dict()), assign=True)",
    # copies
    "NET = copy.deepcopy(NET)", "slow = copy.deepcopy(NET0)",
    "NET, OPT = copy.deepcopy((NET, OPT))",
    "MAKE", "NET = copy.deepcopy(NET); MAKE", "slow, NET0 = NET0, slow",
    # weights
    "for p in NET.parameters(): p.data = p.data * 0.9",
    "for p in NET.parameters(): p.data.mul_(0.9)",
    "for p in NET.parameters(): p.data = p.data.clone()", "tail(NET).bias.data = bank[0]",
    "tail(NET).bias.data = bank[i % 2]", "tail(NET).bias.data = bank[:, 0]",
    "flatten(NET)", "flatten(NET)", "kept.append(flatten(NET))", "flatten(slow, NET0)",
    "torch.nn.utils.vector_to_parameters(0.9 * torch.nn.utils.parameters_to_vector("
    "NET.parameters()), NET.parameters())",
    "tail(NET).bias = tail(OTHER).bias", "slow = NET0",
    "tail(NET).weight = torch.nn.Parameter(tail(NET).weight.detach().clone())",
    "tail(NET).weight = torch.nn.Parameter(tail(NET).weight.detach())",
    "tail(NET).weight.data = tail(NET).weight.data.t().contiguous().t()",
    "NET.double(); NET.float()",
    "with torch.no_grad(): tail(NET).weight[0] = 0.1",
    "with torch.no_grad(): tail(NET).bias.zero_()",
    "torch.nn.init.normal_(tail(NET).weight, std=0.1)", "tail(NET).reset_parameters()",
    "tail(NET).weight.detach().numpy()[0] *= 0.5", "bank.mul_(0.5)", "bank.copy_(torch.eye(3))",
    # gradients
    "OPT.zero_grad(set_to_none=False)", "NET.zero_grad()", "tail(NET).weight.grad = None",
    "buckets(NET)", "buckets(NET)", "for p in NET.parameters(): p.grad = torch.zeros_like(p)",
    "for p in NET.parameters(): p.grad = p.grad * 0.5 if p.grad is not None else None",
    "tail(NET).bias.grad = bank[0]", "kept += [p.grad for p in NET.parameters()]",
    "tail(NET).bias.grad = tail(OTHER).bias.grad",
    # states of optimizers
    "OPT.state.clear()", "for g in OPT.param_groups: g['lr'] *= 0.5",
    "OPT.param_groups[0]['weight_decay'] = 0.1",
    "[s.clear() for s in OPT.state.values()]",
    "for s in OPT.state.values(): kept += [v for v in s.values() if hasattr(v, 'shape')]",
    "OPT.add_param_group({'params': [dreamt], 'lr': 0.1})", "OPT.step()", "OPT.zero_grad()",
    # references
    "kept += [p.detach() for p in NET.parameters()]", "kept += [p.data for p in NET.parameters()]",
    "kept += [p.detach().clone() for p in NET.parameters()]", "kept += list(NET.buffers())",
    "arrays += [p.detach().numpy() for p in NET.parameters()]",
    "kept.append(tail(NET).weight.t().detach())", "log.append(tail(NET).weight.detach())",
    "log += [p.grad for p in NET.parameters()]", "log.append([p.requires_grad for p in "
    "NET.parameters()])",
    # data
    "x = X[i % 6]; x.mul_(0.5) if x.is_floating_point() else x.fill_(1)", "Y = Y.flip(0)",
    "X[(i + 1) % 6] = X[i % 6]", "X = X.clone()", "Y[i % 6, 0] = 0", "torch.manual_seed(i)",
    "xs[i % 6].zero_()", "batches = batches[::-1]", "Y = Y.int().long()",
    "X = X.transpose(0, 1).contiguous().transpose(0, 1)", "NET.depth = 1", "NET.depth = 3")
#: makes parameters strided, which PyTorch's fused optimizers take for contiguous
STRIDED = ("bank[:, 0]", ".t().contiguous().t()")
WHEN = ("i == 5", "i == 6", "i == 7", "i == 8", "i == 9", "i in (5, 8)", "i in (6, 7)", "i > 6",
        "i % 4 == 3", "i == 1", "i in (4, 10)", "i == 11", "what != 'a'")

#: functions that events call
TOOLS = [
    "def tail(net):",
    "    return [m for m in net.modules() if isinstance(m, torch.nn.Linear)][-1]",
    "def flatten(*nets):  # all weights become parts of one memory",
    "    ps = [p for net in nets for p in net.parameters()]",
    "    flat = torch.cat([p.data.flatten() for p in ps])",
    "    for p, part in zip(ps, flat.split([p.numel() for p in ps])):",
    "        p.data = part.view(p.shape)", "    return flat",
    "def buckets(net):  # all gradients become parts of one memory",
    "    flat = torch.zeros(sum(p.numel() for p in net.parameters()))",
    "    for p, part in zip(net.parameters(), flat.split([p.numel() for p in net.parameters()])):",
    "        p.grad = part.view(p.shape)"]


def order(r: random.Random, letters: str) -> str:
    """Which kind of round comes when: mostly what can be followed, with exceptions."""
    a, b, *more = letters + letters
    c = more[0] if more else b
    return r.choice([
        a * 8 + b + a * 4, (a + b) * 6, (a + a + b) * 5, a * 5 + b * 5 + a * 3, a * 6 + c + b * 6,
        (a * 3 + b) * 3 + c + a * 3, (a + b) * 4 + c + (a + b) * 2, a * 7 + b + a + c + a * 4,
        (a + b + c) * 4, a * 4 + "".join(r.choice(letters) for _ in range(9)), a * 12,
        (a + b) * 3 + (b + a) * 3 + b, b + a * 9 + b + a * 3])


class Timeline:
    """Writes one program.

    Attributes:
        names: of the networks.
        once: those whose gradients PyTorch does not differentiate.
        makes: the line that makes each network's optimizer.
        kinds: the names of the optimizers.
    """

    def __init__(self, r: random.Random):
        self.r = r
        kind = r.choice(["flat", "flat", "flat", "image", "sequence", "tokens"])
        model = Net(r, kind, r.choice([4, 5, 8]))
        self.start, self.input = kind, model.input
        self.names = ["A", "B", "C"][:r.choice([1, 2, 2, 3])]
        self.makes: list[str] = []
        self.kinds: list[str] = []
        self.schedules: list[list[str]] = []
        self.once: set[str] = set()

    def network(self, name: str) -> list[str]:
        """A class, the network and its optimizer."""
        r = self.r
        own = f"Net{name}"
        if self.start == "flat" and r.random() < 0.5:
            d = self.input[1]
            text = r.choice(NETWORKS).replace("NAME", own).replace("WIDTH", str(d))
            lines = text.strip().split("\n")
            if "weight_norm" in text:  # PyTorch's second derivatives of it are wrong
                self.once.add(name)
        else:
            net = Net(r, self.start, self.input[0])
            net.input = net.shape = self.input
            lines = net.text(own, r.randint(1, 3), CLASSES)
            if net.attends or "EmbeddingBag" in "".join(lines):
                self.once.add(name)
        make, kind = constructor(r, name, tame=True)
        if kind == "LBFGS":
            make, kind = [f"opt = torch.optim.SGD({name}.parameters(), lr=0.05)"], "SGD"
        make_schedule, step_schedule = schedule(r) if r.random() < 0.4 else ([], [])
        self.makes.append(self.named(make[0], name))
        self.kinds.append(kind)
        self.schedules.append([self.named(line, name) for line in step_schedule])
        return [*lines, f"{name} = {own}()", self.makes[-1],
                *(self.named(line, name) for line in make_schedule)]

    @staticmethod
    def named(line: str, name: str) -> str:
        """A line about ``opt`` and ``sched``, about those of a network."""
        return re.sub(r"\bsched\b", f"sched{name}", re.sub(r"\bopt\b", f"opt{name}", line))

    def filled(self, line: str, at: int) -> str:
        """A line about the network of a place, and about another one."""
        r, name = self.r, self.names[at]
        other = self.names[(at + 1) % len(self.names)]
        table = {"NET0": "A", "OPT0": "optA", "OTHER_OPT": f"opt{other}", "OTHER": other,
                 "NET": name, "OPT": f"opt{name}", "MAKE": self.makes[at],
                 "LIMIT": r.choice(["0.9", "1.0", "1.2", "5.0"])}
        return re.sub("|".join(rf"\b{k}\b" for k in table), lambda m: table[m[0]], line)

    def round(self, letter: str, first: bool) -> list[str]:
        """The function of a letter."""
        r, at = self.r, self.r.randrange(len(self.names))
        kinds = {**KINDS, **(INPUT_KINDS if self.start != "tokens" else {})}
        loss = self.filled(r.choice(LOSSES), at)
        if first or r.random() < 0.25:
            lines = [self.named(line, self.names[at])
                     for line in step_lines(r, self.kinds[at], [loss], self.names[at])]
        else:
            mode = r.choice(MODES)
            if len(self.names) == 1:  # it would write what its own backward pass still reads
                del kinds["against"]
            form = kinds[r.choice(list(kinds))]
            if self.names[at] in self.once and any("create_graph" in line for line in form):
                form = kinds["parts"]
            lines = [self.filled(line, at).replace("LOSS", loss).replace("MODE", mode)
                     for line in form]
        if r.random() < 0.5:
            lines += self.schedules[at]
        if any("loss = " in line for line in lines):
            lines.append(r.choice(["log.append(loss.item())"] * 4 + [
                "losses.append(loss.detach())", "total += loss.detach()", "total += loss.item()",
                "log.append(loss.detach())", "pass"]))
        state = "global A, B, C, optA, optB, optC, slow, saved, saved_opt, total, X, Y, dreamt"
        data = r.choice(BATCHES).replace("SIZE", str(self.input[0]))
        return block(f"def {letter}(i):", [state, f"x, y = {data}", *lines])

    def events(self) -> list[str]:
        lines = []
        for _ in range(self.r.choice([0, 1, 1, 2, 2, 3])):
            at = self.r.randrange(len(self.names))
            event = self.filled(self.r.choice(EVENTS), at)
            if any(way in event for way in STRIDED) and "fused=True" in "".join(self.makes):
                continue
            lines += block(f"if {self.r.choice(WHEN)}:", event.split("; "))
        return lines


def write(r: random.Random) -> list[str]:
    """The lines of one program."""
    t = Timeline(r)
    n = t.input[0]
    shape = ", ".join(map(str, (6, *t.input)))
    x = f"torch.randint(0, 7, ({shape}))" if t.start == "tokens" else f"torch.randn({shape})"
    networks = [line for name in t.names for line in t.network(name)]
    letters = "abcd"[:r.choice([1, 2, 2, 3, 3, 4])]
    rounds = [line for k, letter in enumerate(letters) for line in t.round(letter, not k)]
    body = [*t.events(), *block("try:", ["rounds[what](i)"]),
            *block("except (RuntimeError, ValueError) as e:", ["log.append('refused')"])]
    ends = [f"log += [*{name}.state_dict().values(), *[p.grad for p in {name}.parameters()]]"
            for name in t.names]
    ends += [f"log += [v for s in opt{name}.state.values() for k, v in s.items() "
             "if k in ('step', 'exp_avg', 'exp_avg_sq', 'momentum_buffer')]" for name in t.names]
    lines = [
        "import torch", "import copy", f"torch.manual_seed({r.randrange(1000)})",
        f"X, Y = {x}, torch.randint(0, {CLASSES}, (6, {n}))",
        "xs, ys = [x.clone() for x in X], list(Y.unbind())", *networks, *TOOLS,
        "slow = copy.deepcopy(A)", f"bank = torch.randn({CLASSES}, {CLASSES})",
        f"dreamt = torch.randn({', '.join(map(str, t.input))}).requires_grad_()",
        "batches = list(torch.utils.data.DataLoader(torch.utils.data.TensorDataset("
        f"X.flatten(0, 1), Y.flatten()), batch_size={max(n - 1, 2)}))",
        "def forever():", "    while True:", "        yield from torch.utils.data.DataLoader(",
        "            torch.utils.data.TensorDataset(X[:2].flatten(0, 1), Y[:2].flatten()), "
        f"batch_size={n}, shuffle=True, drop_last={r.random() < 0.5})",
        "stream = forever()", "total, saved, saved_opt, handle = 0.0, None, None, None",
        "losses, kept, arrays, log = [], [], [], []", *rounds,
        f"rounds = {{{', '.join(f'{c!r}: {c}' for c in letters)}}}",
        *block(f"for i, what in enumerate({order(r, letters)!r}):", body),
        *ends, "log += [*slow.state_dict().values(), *losses, total, bank, X, Y, dreamt.detach()]",
        "log += [k for k in kept if k is not None]", "log += [a.copy() for a in arrays]"]
    return lines
