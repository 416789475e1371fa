"""Random programs, run under PyTorch and under flambeau: ``python -m flambeau.testing.fuzz``.

A program is a few lines of straight-line statements inside a loop that runs several times, so that
interpretation, compilation and trace following all take part; some lines depend on the round (other
data, a branch, a read of a value, a write into a view). Its log (shapes, dtypes, values of everything
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
p0 = torch.randn(4, 6, requires_grad=True)
p1 = torch.randn(6, requires_grad=True)
state = torch.zeros(4, 6)
log = []
"""


class Writer:
    """Writes one random program; names and shapes of what exists are tracked."""

    def __init__(self, seed: int):
        self.r = random.Random(seed)
        self.lines: list[str] = []
        self.shapes: dict[str, tuple[int, ...]] = {"x": (4, 6), "p0": (4, 6), "p1": (6,),
                                                   "state": (4, 6)}
        self.owned: set[str] = set()  # may be written in place
        self.count = 0

    def program(self) -> str:
        """The text of the program, without its head."""
        r = self.r
        rounds = r.choice([1, 3, 6, 9])
        for _ in range(r.randint(3, 12)):
            self.lines += self.statement()
        body = ["x = data[i % 8]" if r.random() < 0.8 else "x = data[0] + 0.1 * i", *self.lines]
        if r.random() < 0.6:
            body += self.training()
        kept = r.sample(sorted(self.shapes), min(3, len(self.shapes)))
        body += [f"log.append({name}.detach().clone())" for name in kept]
        return f"for i in range({rounds}):\n" + "\n".join("    " + line for line in body) + "\n"

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
                 self.join, self.softmax)
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

    def branch(self) -> list[str]:
        x = self.pick()
        shape = self.shapes[x]
        new = self.fresh(shape)
        test = self.r.choice(["i % 2", "i < 2", f"{x}.sum().item() > 0", f"bool(({x} > 0).any())"])
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
        ])
        return [f"loss = {total} + (p0 * p1).mean()", "loss.backward()", "log.append(loss.item())",
                *step]


def run(text: str, name: str, module) -> list:
    """The log of a program as plain numbers and arrays; an exception counts as an entry."""
    space: dict = {}
    sys.modules.setdefault(name, module)
    try:
        exec(compile(HEAD.format(name=name) + text, "<program>", "exec"), space)
    except Exception as error:
        space.setdefault("log", []).append(type(error).__name__)
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
    head, rest = lines[0], lines[1:]
    rounds = int(head[head.index("(") + 1:head.index(")")])
    for fewer in range(1, rounds):
        yield "\n".join([f"for i in range({fewer}):", *rest]) + "\n"
    for n in range(len(rest) - 1, -1, -1):
        if len(rest) > 1:
            yield "\n".join([head, *rest[:n], *rest[n + 1:]]) + "\n"


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
            print(f"# seed {seed}\n{HEAD.format(name='torch')}{Writer(seed).program()}")
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
            print(HEAD.format(name="flambeau") + text, flush=True)
            if not options.keep_going:
                return 1
            break
    print(f"{options.programs} programs, {failures} failures, "
          f"{time.perf_counter() - begin:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
