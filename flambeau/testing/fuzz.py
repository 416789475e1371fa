"""Random programs, run under PyTorch and under flambeau: ``python -m flambeau.testing.fuzz``.

A program is a few lines of straight-line statements that run several times, so that interpretation,
compilation and trace following all take part; some lines depend on the round (other data, a
branch, a read of a value, a write into a view). Its log (shapes, dtypes, values of everything
it keeps) must be the same under both frameworks. A failing program is made as small as possible and
printed as a program that can be run by itself.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator

import numpy as np

import flambeau

from ..base import flags

HEAD = """import {name} as torch
torch.manual_seed(0)
data = torch.randn(8, 4, 6) * 0.7
rows = [d.clone() for d in data]
p0 = torch.randn(4, 6, requires_grad=True)
p1 = torch.randn(6, requires_grad=True)
state = torch.randn(4, 6) * 0.1
prev = torch.randn(4, 6)
model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 6))
opt = torch.optim.{optimizer}
kept = []
log = []
"""
OPTIMIZERS = ("SGD([p0, p1, *model.parameters()], lr=0.05)",
              "SGD([p0, p1, *model.parameters()], lr=0.05, momentum=0.9)",
              "Adam([p0, p1, *model.parameters()], lr=0.01)",
              "AdamW([p0, p1, *model.parameters()], lr=0.01, foreach=True)",
              "RMSprop([p0, p1, *model.parameters()], lr=0.01)")



class Writer:
    """Writes one random program; names and shapes of what exists are tracked."""

    def __init__(self, seed: int):
        self.r = random.Random(seed)
        self.lines: list[str] = []
        self.shapes: dict[str, tuple[int, ...]] = {"x": (4, 6), "p0": (4, 6), "p1": (6,),
                                                   "state": (4, 6), "prev": (4, 6)}
        self.owned: set[str] = set()  # may be written in place
        self.count = 0

    def program(self) -> str:
        """The text of the program, without its head."""
        r = self.r
        if r.random() < 0.5:
            return self.loop()
        rounds = r.choice([1, 4, 8, 12])
        for _ in range(r.randint(3, 12)):
            self.lines += self.statement()
        body = ["x = data[i % 8]" if r.random() < 0.8 else "x = data[0] + 0.1 * i", *self.lines]
        if r.random() < 0.6:
            body += self.training()
        if r.random() < 0.5:
            name = self.pick(lambda s: s == (4, 6))
            body.append(f"prev = {name}.detach()" + r.choice(["", " * 1", ".clone()"]))
        kept = r.sample(sorted(self.shapes), min(3, len(self.shapes)))
        keep = r.choice(["{}.detach().clone()", "{}.tolist()", "{}.detach()"])
        body += [f"log.append({keep.format(name)})" for name in kept]
        number = r.randrange(len(OPTIMIZERS))
        inside = "".join("    " + line + "\n" for line in ["global state, prev", *body])
        if r.random() < 0.7:  # as a function, whose intermediate results die at its end
            return f"def step(i):  # optimizer {number}, rounds ({rounds})\n" + inside
        return f"for i in range({rounds}):  # optimizer {number}\n" + inside.replace(
            "    global state, prev\n", "")

    def loop(self) -> str:
        """A training loop whose steps are alike, with something else in some of the rounds."""
        r = self.r
        # what may happen within a step without a read of a value
        kinds = (self.unary, self.binary, self.view, self.reduce, self.matmul, self.softmax,
                 self.layer, self.join)
        forward = [line for _ in range(r.randint(1, 5)) for line in (r.choice(kinds)() or [])]
        names = r.sample(sorted(self.shapes), min(2, len(self.shapes)))
        total = " + ".join(f"{n}.square().mean()" for n in names)
        out = self.pick(lambda s: s == (4, 6))
        loss = [f"loss = {total} + model(x).square().mean() + (p0 * p1).mean()"]
        clip = r.choice([[], ["torch.nn.utils.clip_grad_norm_([p0, p1], 1.0)"]])
        step = r.choice([
            ["opt.zero_grad()", "loss.backward()", *clip, "opt.step()"],
            ["loss.backward()", *clip, "opt.step()", "opt.zero_grad()"],
            ["opt.zero_grad(set_to_none=False)", "loss.backward()", "opt.step()"],
            ["loss.backward()", "with torch.no_grad():", "    for p in (p0, p1):",
             "        p.sub_(p.grad, alpha=0.01)", "        p.grad = None"],
        ])
        carried = r.choice([[], [f"state.add_({out}.detach() * 0.1)"],
                            [f"state = state * 0.9 + {out}.detach() * 0.1"],
                            [f"prev = {out}.detach()"], [f"prev.copy_({out}.detach())"]])
        read = r.choice([["log.append(loss.item())"], ["log.append(loss.detach())"],
                         ["if i % 4 == 3:", "    log.append(loss.item())"],
                         [f"log.append({out}.detach().sum().item())"],
                         ["log.append(loss.item())", f"log.append({out}.detach())"]])
        other = r.choice([
            "log.append(p0.grad.tolist() if p0.grad is not None else 0)", "p1.data.mul_(0.9)",
            "opt.param_groups[0]['lr'] *= 0.5", "log.append(p0.detach().clone())",
            "log.append(model(x).detach())", "x = data[:2, 0]", "state = torch.ones(4, 6)",
            "data[i % 8].mul_(0.5)", "log.append(opt.state_dict()['param_groups'][0]['lr'])",
            "log.append((x.detach() @ p0.detach().T).sum().item())",
            "model[0].weight.data[0] = 0.1", "p1.requires_grad_(not p1.requires_grad)",
            "log.append(loss.grad_fn is None)", "kept.append(p0 * 1)", "torch.manual_seed(i)",
            "log.append(p0[1:3].detach())", "log.append(p0.detach()[0])", "p0.detach()[1] = 0.2"])
        when = r.choice(["i % 3 == 2", "i == 5", "i > 6", "i in (4, 9)"])
        odd = [f"if {when}:", "    " + other]
        if "loss" in other:
            body = [*forward, *loss, *step, *carried, *read, *odd]
        else:
            body = [*odd, *forward, *loss, *step, *carried, *read] if r.random() < 0.5 else \
                [*forward, *loss, *step, *carried, *read, *odd]
        first = r.choice(["x = rows[i % 8]", "x = rows[i % 8]", "x = rows[0]", "x = data[i % 8]",
                          "x = torch.randn(4, 6)", "x = data[(i * 3) % 8, :, :]"])
        number, rounds = r.randrange(len(OPTIMIZERS)), r.choice([8, 12])
        end = [f"if i == {rounds - 1}:", "    log.extend(p.detach() for p in model.parameters())",
               "    log.extend([p0.detach(), p1.detach(), state, prev])"]
        inside = "".join("    " + line + "\n"
                         for line in ["global state, prev", first, *body, *end])
        return f"def step(i):  # optimizer {number}, rounds ({rounds})\n" + inside

    def fresh(self, shape: tuple[int, ...], owned: bool = True) -> str:
        name = f"t{self.count}"
        self.count += 1
        self.shapes[name] = shape
        if owned:
            self.owned.add(name)
        return name

    def pick(self, test=lambda shape: True) -> str | None:
        names = [n for n, s in sorted(self.shapes.items()) if test(s)]
        return self.r.choice(names) if names else None

    def statement(self) -> list[str]:
        kinds = (self.unary, self.unary, self.binary, self.binary, self.view, self.view, self.index,
                 self.reduce, self.matmul, self.write, self.write, self.branch, self.read,
                 self.join, self.softmax, self.tracked_write, self.layer, self.other_dtype,
                 self.random, self.host, self.no_grad)
        return self.r.choice(kinds)() or self.unary()

    def unary(self) -> list[str]:
        x = self.pick()
        form = self.r.choice(["{}.relu()", "{}.tanh()", "{}.sigmoid()", "{}.abs()", "{} * 2 + 1",
                              "{}.sin()", "-{}", "{}.square() * 0.1", "{}.clamp(-1, 1)",
                              "(1 + {}.abs()).log()", "torch.where({0} > 0, {0}, {0} * 0.1)",
                              "{}.exp().clamp(max=3)", "{} / (i + 1)", "{}.detach()",
                              "torch.nn.functional.gelu({})", "{}.clone()", "{}.double().float()",
                              "torch.cumsum({}, -1)"])
        new = self.fresh(self.shapes[x], "detach" not in form)
        return [f"{new} = {form.format(x)}"]

    def binary(self) -> list[str]:
        x = self.pick()
        want = self.shapes[x]

        def fits(shape):
            return all(a == b or 1 in (a, b)
                       for a, b in zip(shape[::-1], want[::-1], strict=False))

        y = self.pick(fits)
        form = self.r.choice(["{} + {}", "{} - {}", "{} * {}", "torch.maximum({}, {})",
                              "{} / (2 + {}.abs())", "torch.lerp({}, {}, 0.25)"])
        shape = np.broadcast_shapes(want, self.shapes[y])
        if "lerp" in form and want != self.shapes[y]:
            form = "{} + {}"
        return [f"{self.fresh(shape)} = {form.format(x, y)}"]

    def view(self) -> list[str]:
        x = self.pick(lambda s: len(s) >= 1)
        if x is None:
            return []
        shape = self.shapes[x]
        r, n = self.r, len(shape)
        kind = r.choice(["t", "reshape", "slice", "unsqueeze", "expand", "flip", "narrow"])
        d = r.randrange(n)
        if kind == "t" and n >= 2:
            order = list(range(n))
            r.shuffle(order)
            return [f"{self.alias(x, tuple(shape[k] for k in order))} = {x}.permute({order})"]
        if kind == "reshape":
            return [f"{self.fresh((int(np.prod(shape)),), False)} = {x}.reshape(-1)"]
        if kind == "slice" and shape[d] > 2:
            a, step = r.randrange(2), r.choice([1, 2])
            size = len(range(a, shape[d], step))
            where = ", ".join([":"] * d + [f"{a}::{step}"])
            new = self.alias(x, (*shape[:d], size, *shape[d + 1:]))
            return [f"{new} = {x}[{where}]"]
        if kind == "unsqueeze" and n < 4:
            return [f"{self.alias(x, (*shape[:d], 1, *shape[d:]))} = {x}.unsqueeze({d})"]
        if kind == "expand" and n < 3:
            return [f"{self.fresh((3, *shape), False)} = {x}.expand(3, {'-1, ' * n})"]
        if kind == "flip":
            return [f"{self.fresh(shape)} = {x}.flip({d})"]
        if kind == "narrow" and shape[d] > 1:
            new = self.alias(x, (*shape[:d], shape[d] - 1, *shape[d + 1:]))
            return [f"{new} = {x}.narrow({d}, i % 2, {shape[d] - 1})"]
        return []

    def alias(self, x: str, shape: tuple[int, ...]) -> str:
        return self.fresh(shape, x in self.owned)

    def index(self) -> list[str]:
        x = self.pick(lambda s: len(s) >= 1 and s[0] > 1)
        if x is None:
            return []
        shape = self.shapes[x]
        kind = self.r.choice(["int", "list", "mask", "select", "take"])
        if kind == "int":
            return [f"{self.fresh(shape[1:], False)} = {x}[i % {shape[0]}]"]
        if kind == "list":
            rows = [self.r.randrange(shape[0]) for _ in range(3)]
            return [f"{self.fresh((3, *shape[1:]))} = {x}[torch.tensor({rows})]"]
        if kind == "mask":
            return [f"{self.fresh((), False)} = {x}[{x} > 0].sum()"]
        if kind == "select":
            new = self.fresh((2, *shape[1:]))
            return [f"{new} = {x}.index_select(0, torch.tensor([i % {shape[0]}, 0]))"]
        return [f"{self.fresh(shape)} = {x}.gather(0, torch.zeros_like({x}, dtype=torch.long))"]

    def reduce(self) -> list[str]:
        x = self.pick(lambda s: len(s) >= 1)
        if x is None:
            return []
        shape = self.shapes[x]
        d = self.r.randrange(len(shape))
        form = self.r.choice(["sum({d}{k})", "mean({d}{k})", "amax({d}{k})", "std({d}{k})",
                              "sum()", "mean()", "norm()", "logsumexp({d}{k})"])
        if "std" in form and shape[d] < 2:
            form = "sum({d}{k})"
        if "{d}" not in form:
            return [f"{self.fresh(())} = {x}.{form}"]
        keep = self.r.random() < 0.4
        new = (*shape[:d], 1, *shape[d + 1:]) if keep else (*shape[:d], *shape[d + 1:])
        return [f"{self.fresh(new)} = {x}.{form.format(d=d, k=', keepdim=True' if keep else '')}"]

    def matmul(self) -> list[str]:
        x = self.pick(lambda s: len(s) == 2)
        if x is None:
            return []
        n, k = self.shapes[x]
        y = self.pick(lambda s: len(s) == 2 and k in s)
        if y is None:
            return []
        other = self.shapes[y]
        right, m = (y, other[1]) if other[0] == k else (f"{y}.T", other[0])
        return [f"{self.fresh((n, m))} = ({x} @ {right}) * 0.3"]

    def softmax(self) -> list[str]:
        x = self.pick(lambda s: len(s) >= 1)
        if x is None:
            return []
        form = self.r.choice(["softmax", "log_softmax"])
        return [f"{self.fresh(self.shapes[x])} = torch.{form}({x}, -1)"]

    def join(self) -> list[str]:
        x = self.pick(lambda s: len(s) >= 1)
        if x is None:
            return []
        shape = self.shapes[x]
        y = self.pick(lambda s: s == shape)
        if self.r.random() < 0.5:
            return [f"{self.fresh((2, *shape))} = torch.stack([{x}, {y}])"]
        return [f"{self.fresh((2 * shape[0], *shape[1:]))} = torch.cat([{x}, {y}])"]

    def write(self) -> list[str]:
        """An assignment in place, to memory that autograd does not need."""
        names = sorted(self.owned | {"state"})
        x = self.r.choice(names)
        shape = self.shapes[x]
        if x != "state":
            base, x = x, self.fresh(shape)
            copy = [f"{x} = {base}.detach().clone()"]
        else:
            copy = []
        forms = ["{x}.add_(1)", "{x} *= 0.5", "{x}.relu_()", "{x}.fill_(i)", "{x}.clamp_(-2, 2)"]
        y = self.pick(lambda s: s == shape)
        if y is not None:
            forms += ["{x}.add_({y}.detach())", "{x}.copy_({y}.detach() * 0.1)",
                      "{x}.mul_({y}.detach()).clamp_(-3, 3)"]
        if shape and shape[0] > 1:
            forms += ["{x}[0] = i", "{x}[1:] += 1", "{x}[i % {n}] = {x}[0]", "{x}[{x} > 1] = 0",
                      "{x}.view_as({x})[..., 0] = 2"]
        form = self.r.choice(forms)
        return [*copy, form.replace("{n}", str(shape[0] if shape else 1)).replace(
            "{x}", x).replace("{y}", str(y))]

    def tracked_write(self) -> list[str]:
        """An assignment in place that autograd records."""
        x = self.pick(lambda s: len(s) >= 1 and s[0] > 1)
        if x is None:
            return []
        shape = self.shapes[x]
        new = self.fresh(shape, False)
        y = self.pick(lambda s: s == shape[1:])
        forms = ["{t}[0] = {t}[1] * 2", "{t}.mul_(2)", "{t}[1:].add_(1)", "{t}[::2] = 0",
                 "{t}.masked_fill_({t} < 0, 0.5)", "{t}[i % 2].zero_()", "{t}.add_({x})",
                 "{t}[torch.tensor([0, 1])] = {t}[:2] * 0.5"]
        if y is not None:
            forms += ["{t}[1] = {y}", "{t}[i % 2].copy_({y})"]
        form = self.r.choice(forms).format(t=new, x=x, y=y)
        return [f"{new} = {x} * {self.r.choice(['1', '0.5'])}", form]

    def layer(self) -> list[str]:
        """A call of a module or a function of nn.functional."""
        x = self.pick(lambda s: len(s) >= 1 and s[-1] == 6)
        if x is None:
            return []
        form = self.r.choice(["model({})", "torch.nn.functional.layer_norm({}, (6,))",
                              "torch.nn.functional.normalize({}, dim=-1)",
                              "torch.nn.functional.linear({}, p0[:, :6].T @ p0, p1)",
                              "torch.nn.functional.leaky_relu({}, 0.2)"])
        return [f"{self.fresh(self.shapes[x])} = {form.format(x)}"]

    def other_dtype(self) -> list[str]:
        x = self.pick()
        form = self.r.choice(["({} * 10).round().long() % 7", "({} > 0).float()",
                              "{}.double().mul(2).float()", "({0} > 0).logical_or({0} < -1).int()",
                              "{}.to(torch.bfloat16).float()"])
        new = self.fresh(self.shapes[x], False)
        text = form.format(x)
        return [f"{new} = ({text}).float()" if "long" in text or "int" in text
                else f"{new} = {text}"]

    def random(self) -> list[str]:
        shape = self.r.choice([(4, 6), (6,), (6, 4)])
        return [f"{self.fresh(shape)} = torch.{self.r.choice(['rand', 'randn'])}{shape}"]

    def host(self) -> list[str]:
        """NumPy in the middle, sharing memory."""
        x = self.pick(lambda s: len(s) >= 1)
        if x is None:
            return []
        new = self.fresh(self.shapes[x])
        return [f"{new} = torch.from_numpy({x}.detach().numpy().copy())",
                self.r.choice([f"{new}.numpy()[0] = i", f"{new}.add_(1)",
                               f"log.append(float({new}.numpy().sum()))"])]

    def no_grad(self) -> list[str]:
        x = self.pick(lambda s: s == (4, 6))
        return ["with torch.no_grad():",
                "    " + self.r.choice([f"state.add_({x} * 0.1).clamp_(-5, 5)",
                                        f"state = state * 0.5 + {x} * 0.5",
                                        "p1.mul_(0.99)", f"state.lerp_({x}, 0.1)"])]

    def branch(self) -> list[str]:
        x = self.pick()
        shape = self.shapes[x]
        new = self.fresh(shape)
        test = self.r.choice(["i % 2", "i < 2", f"{x}.sum().item() > 0.37",
                              f"bool(({x} > 0.1).any())"])
        return [f"{new} = {x} * 2 if {test} else {x} + 1"]

    def read(self) -> list[str]:
        x = self.pick()
        return [self.r.choice([f"log.append(float({x}.sum()))", f"log.append({x}.detach().mean())",
                               f"log.append({x}.tolist())", f"log.append({x}.shape)"])]

    def training(self) -> list[str]:
        names = self.r.sample(sorted(self.shapes), min(3, len(self.shapes)))
        total = " + ".join(f"{n}.square().mean()" for n in names)
        step = self.r.choice([
            ["for p in (p0, p1):", "    if p.grad is not None:", "        with torch.no_grad():",
             "            p -= 0.01 * p.grad.clamp(-1, 1)", "        p.grad = None"],
            ["for p in (p0, p1):", "    if p.grad is not None:",
             "        log.append(p.grad.clone())"],
            ["opt.step()", "opt.zero_grad()"], ["opt.step()", "opt.zero_grad()"],
            ["if i % 2:", "    opt.step()", "    opt.zero_grad()"],
            ["torch.nn.utils.clip_grad_norm_([p0, p1], 1.0)", "opt.step()", "opt.zero_grad()"],
        ])
        if self.r.random() < 0.3:
            return [f"loss = {total} + (p0 * p1).mean()", "opt.zero_grad()", "loss.backward()",
                    "opt.step()", *self.r.choice([[], ["log.append(loss.detach())"]])]
        return [f"loss = {total} + (p0 * p1).mean()", "loss.backward()", "log.append(loss.item())",
                *step]


def head(text: str, name: str) -> str:
    """What comes before a program; the optimizer is named in the text, so shrinking keeps it."""
    return HEAD.format(name=name, optimizer=OPTIMIZERS[int(text.split("# optimizer ")[1][0])])


def calls(text: str) -> str:
    """What comes after a program."""
    if text.startswith("for"):
        return ""
    return f"for i in range({text.split('(')[2].split(')')[0]}):\n    step(i)\n"


def run(text: str, name: str, module) -> list:
    """The log of a program as plain numbers and arrays; an exception counts as an entry."""
    space: dict = {}
    sys.modules.setdefault(name, module)
    try:
        exec(compile(head(text, name) + text + calls(text), "<program>", "exec"), space)
    except Exception:
        space.setdefault("log", []).append("error")
    return [_plain(x) for x in space["log"]]


def _plain(x):
    if hasattr(x, "detach"):
        x = x.detach()
        return (str(x.dtype), tuple(x.shape), np.array(x.numpy()))
    return tuple(x) if isinstance(x, (tuple, list)) and type(x) is not list else x


def differs(a: list, b: list) -> str | None:
    """The first difference of two logs, in words."""
    for n, (x, y) in enumerate(zip(a, b, strict=False)):
        if isinstance(x, tuple) and isinstance(y, tuple) and x[:2] == y[:2] and len(x) == 3 \
                and isinstance(x[2], np.ndarray):
            x, y = x[2], y[2]
        try:
            same = np.allclose(x, y, 2e-3, 1e-4, equal_nan=True)
        except (TypeError, ValueError):
            same = x == y
        if not same:
            return f"log entry {n}: PyTorch {x}, flambeau {y}"
    return None if len(a) == len(b) else f"log of {len(a)} entries under PyTorch, {len(b)} here"


def smaller(text: str) -> Iterator[str]:
    """The program with a line less, or fewer rounds."""
    lines = text.splitlines()
    first, rest = lines[0], lines[1:]
    rounds = int(first[first.rindex("(") + 1:first.rindex(")")])
    for fewer in range(1, rounds):
        yield "\n".join([first.replace(f"({rounds})", f"({fewer})"), *rest]) + "\n"
    for n in range(len(rest) - 1, -1, -1):
        if len(rest) > 1:
            yield "\n".join([first, *rest[:n], *rest[n + 1:]]) + "\n"


def check(text: str, torch, flambeau, tier: str) -> str | None:
    """What differs, if anything; programs that PyTorch refuses are compared by their error."""
    expected = run(text, "torch", torch)
    with flags.override(tier=tier):
        found = run(text, "flambeau", flambeau)
    return differs(expected, found)


def shrink(text: str, torch, flambeau, tier: str) -> str:
    """A smaller program that still fails."""
    progress = True
    while progress:
        progress = False
        for candidate in smaller(text):
            log = run(candidate, "torch", torch)
            if any(isinstance(x, str) for x in log):
                continue  # no longer a program that PyTorch runs
            if check(candidate, torch, flambeau, tier):
                text, progress = candidate, True
                break
    return text


def main(arguments: list[str] | None = None) -> int:
    """The command line: 0 when every program agreed."""
    parser = argparse.ArgumentParser(prog="python -m flambeau.testing.fuzz", description=__doc__)
    parser.add_argument("--programs", type=int, default=100, help="how many (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the first program (default: 0)")
    parser.add_argument("--tiers", default="1,auto", help="values of FLAMBEAU_TIER (1,auto)")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at a failure")
    parser.add_argument("--show", action="store_true", help="print the programs, run nothing")
    options = parser.parse_args(arguments)
    if options.show:
        for seed in range(options.seed, options.seed + options.programs):
            text = Writer(seed).program()
            print(f"# seed {seed}\n{head(text, 'torch')}{text}{calls(text)}")
        return 0
    import torch

    begin, failures = time.perf_counter(), 0
    for seed in range(options.seed, options.seed + options.programs):
        text = Writer(seed).program()
        for tier in options.tiers.split(","):
            if check(text, torch, flambeau, tier) is None:
                continue
            failures += 1
            text = shrink(text, torch, flambeau, tier)
            print(f"# seed {seed}, FLAMBEAU_TIER={tier}: {check(text, torch, flambeau, tier)}")
            print(head(text, "flambeau") + text + calls(text), flush=True)
            if not options.keep_going:
                return 1
            break
    print(f"{options.programs} programs, {failures} failures, "
          f"{time.perf_counter() - begin:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
