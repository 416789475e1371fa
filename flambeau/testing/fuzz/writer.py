"""Statements about tensors, written at random; what exists and may be written is known."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np

#: rows and columns of a program's matrices; few, so that kernels and their choices come again
SIZES = [(4, 6)] * 6 + [(3, 5), (6, 4), (1, 6), (5, 1), (8, 16), (2, 33), (16, 24)]


def block(head: str, lines: list[str]) -> list[str]:
    """A compound statement."""
    return [head, *("    " + line for line in lines)]


def weighted(r: random.Random, table: dict[Callable, int]) -> Callable:
    """One of the keys, as often as the value says."""
    return r.choices(list(table), list(table.values()))[0]


class Writer:
    """Writes lines about tensors of an (``rows``, ``columns``) world.

    Attributes:
        shapes: of the tensors that exist at this line, by name.
        owned: those whose memory no gradient needs, so that they may be written in place.
    """

    def __init__(self, r: random.Random):
        self.r = r
        self.rows, self.columns = r.choice(SIZES)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.owned: set[str] = set()
        self.count = 0

    @property
    def matrix(self) -> tuple[int, int]:
        """The shape of the matrices."""
        return self.rows, self.columns

    # -- names -----------------------------------------------------------------------------------

    def fresh(self, shape: tuple[int, ...], owned: bool = True) -> str:
        name = f"t{self.count}"
        self.count += 1
        self.shapes[name] = tuple(shape)
        if owned:
            self.owned.add(name)
        return name

    def alias(self, x: str, shape: tuple[int, ...]) -> str:
        return self.fresh(shape, x in self.owned)

    def pick(self, test=lambda shape: True) -> str | None:
        names = [n for n, s in sorted(self.shapes.items()) if test(s) and n != "label"]
        if not names:
            return None
        if self.r.random() < 0.5:  # what is new leads to longer chains
            return names[-1 - min(int(self.r.expovariate(0.7)), len(names) - 1)]
        return self.r.choice(names)

    def pick_like(self, shape: tuple[int, ...]) -> str | None:
        return self.pick(lambda s: s == shape)

    # -- statements: each gives lines, or nothing where no tensor fits -----------------------------

    def quiet(self) -> list[str]:
        """A statement that neither reads a value nor writes anything."""
        table = {self.unary: 4, self.binary: 4, self.view: 3, self.reduce: 2, self.matmul: 2,
                 self.softmax: 1, self.layer: 1, self.join: 1, self.lookup: 1, self.other_size: 1}
        return weighted(self.r, table)() or self.unary()

    def statement(self) -> list[str]:
        """Any statement."""
        table = {self.quiet: 10, self.index: 2, self.write: 3, self.branch: 1, self.read: 1,
                 self.tracked_write: 2, self.other_dtype: 1, self.random: 1, self.host: 1,
                 self.no_grad: 1, self.refused: 1}
        return weighted(self.r, table)() or self.unary()

    def unary(self) -> list[str]:
        x = self.pick()
        form = self.r.choice([
            "{}.relu()", "{}.tanh()", "{}.sigmoid()", "{}.abs()", "{} * 2 + 1", "{}.sin()", "-{}",
            "{}.square() * 0.1", "{}.clamp(-1, 1)", "(1 + {}.abs()).log()", "{} * scale",
            "torch.where({0} > 0, {0}, {0} * 0.1)", "{}.exp().clamp(max=3)", "{} / (i + 1)",
            "{}.detach()", "torch.nn.functional.gelu({})", "{}.clone()", "{}.double().float()",
            "{}.add(1, alpha=scale)", "torch.nn.functional.softplus({})", "{}.cos()", "{}.erf()",
            "{}.atan()", "({}.abs() + 0.1).rsqrt()", "({}.abs() + 0.1).sqrt()", "{}.nan_to_num()",
            "torch.nn.functional.silu({})", "torch.nn.functional.elu({})",
            "torch.nn.functional.hardswish({})", "{}.abs().pow(1.5).clamp(max=4)",
            "{0}.masked_fill({0} < 0, 0.25)", "torch.addcmul({0}, {0}, {0}, value=0.1)",
            "torch.logaddexp({0}, -{0})", "{}.expm1().clamp(max=3)", "scale - {}",
            "1 / (2 + {}.abs())",
            "torch.addcdiv({0}, {0}, 1 + {0}.abs(), value=scale)", "{}.div(scale + 1)"])
        shape = self.shapes[x]
        if shape and self.r.random() < 0.1:
            form = self.r.choice(["torch.cumsum({}, -1)", "{}.roll(1, 0)", "{}.flip(0)",
                                  "{}.contiguous()", "{}.sort(-1)[0]", "torch.cummax({}, 0)[0]",
                                  "torch.logcumsumexp({}, 0)", "{0}.sub({0}.mean(-1, True))",
                                  "{0} / {0}.norm(dim=-1, keepdim=True).clamp_min(0.1)"])
        if len(shape) == 2 and self.r.random() < 0.05:
            form = self.r.choice(["{}.tril()", "{}.triu(1)", "{}.rot90(2)"])
        return [f"{self.fresh(shape, 'detach' not in form)} = {form.format(x)}"]

    def binary(self) -> list[str]:
        x = self.pick()
        want = self.shapes[x]

        def fits(shape):
            return all(a == b or 1 in (a, b)
                       for a, b in zip(shape[::-1], want[::-1], strict=False))

        y = self.pick(fits)
        form = self.r.choice(["{} + {}", "{} - {}", "{} * {}", "torch.maximum({}, {})",
                              "{} / (2 + {}.abs())", "torch.lerp({}, {}, 0.25)",
                              "torch.add({}, {}, alpha=0.5)", "torch.minimum({}, {})",
                              "torch.hypot({}, {} + 3)", "torch.logaddexp({}, {})",
                              "torch.where({0} > {1}, {0}, 0.5 * {1})", "torch.atan2({}, {} + 5)",
                              "({} - {}).abs()", "torch.sub({}, {}, alpha=scale)",
                              "torch.rsub({}, {})", "({} + 2).mul({})"])
        if "lerp" in form and want != self.shapes[y]:
            form = "{} + {}"
        shape = np.broadcast_shapes(want, self.shapes[y])
        return [f"{self.fresh(shape)} = {form.format(x, y)}"]

    def view(self) -> list[str]:
        x = self.pick(lambda s: len(s) >= 1)
        if x is None:
            return []
        shape, r = self.shapes[x], self.r
        n, d = len(shape), r.randrange(len(shape))
        kind = r.choice(["permute", "reshape", "slice", "unsqueeze", "expand", "narrow", "split",
                         "diagonal", "window"])
        if kind == "permute" and n >= 2:
            order = r.sample(range(n), n)
            return [f"{self.alias(x, [shape[k] for k in order])} = {x}.permute({order})"]
        if kind == "reshape":
            new = r.choice([(math.prod(shape),), (*shape, 1), (1, *shape)])
            return [f"{self.fresh(new, False)} = {x}.reshape({new})"]
        if kind == "slice" and shape[d] > 2:
            a, step = r.randrange(2), r.choice([1, 2])
            size = len(range(a, shape[d], step))
            where = ", ".join([":"] * d + [f"{a}::{step}"])
            return [f"{self.alias(x, (*shape[:d], size, *shape[d + 1:]))} = {x}[{where}]"]
        if kind == "unsqueeze" and n < 4:
            return [f"{self.alias(x, (*shape[:d], 1, *shape[d:]))} = {x}.unsqueeze({d})"]
        if kind == "expand" and n < 3:
            return [f"{self.fresh((3, *shape), False)} = {x}.expand(3, {'-1, ' * n})"]
        if kind == "narrow" and shape[d] > 1:
            new = self.alias(x, (*shape[:d], shape[d] - 1, *shape[d + 1:]))
            return [f"{new} = {x}.narrow({d}, i % 2, {shape[d] - 1})"]
        if kind == "window" and shape[d] > 1:
            size = r.randrange(1, shape[d])
            new = self.alias(x, (*shape[:d], size, *shape[d + 1:]))
            at = r.choice(["i", "i * 3", "i // 2"])
            where = f"{':, ' * d}{at} % {shape[d] - size + 1}:{at} % {shape[d] - size + 1} + {size}"
            return [f"{new} = {x}[{where}]"]
        if kind == "split" and shape[d] % 2 == 0:
            half = (*shape[:d], shape[d] // 2, *shape[d + 1:])
            a, b = self.alias(x, half), self.alias(x, half)
            return [f"{a}, {b} = {x}.chunk(2, {d})"]
        if kind == "diagonal" and n == 2:
            return [f"{self.fresh((min(shape),), False)} = {x}.diagonal()"]
        return []

    def index(self) -> list[str]:
        x = self.pick(lambda s: len(s) >= 1 and s[0] > 1)
        if x is None:
            return []
        shape = self.shapes[x]
        kind = self.r.choice(["int", "list", "mask", "select", "gather"])
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

    def lookup(self) -> list[str]:
        """Rows by the numbers of ``label``."""
        x = self.pick(lambda s: len(s) == 2 and s[0] == self.rows)
        if x is None or "label" not in self.shapes:
            return []
        form = self.r.choice(["{}[label]", "torch.nn.functional.embedding(label, {})",
                              "{}.index_select(0, label)"])
        return [f"{self.fresh(self.shapes[x])} = {form.format(x)}"]

    def other_size(self) -> list[str]:
        """A result with more or fewer elements."""
        x = self.pick(lambda s: len(s) >= 1 and min(s) > 1)
        if x is None:
            return []
        *lead, n = self.shapes[x]
        kind = self.r.choice(["pad", "windows", "diff", "twice", "best", "outer", "middle"])
        if kind == "pad" and n > 1:
            return [f"{self.fresh((*lead, n + 2))} = torch.nn.functional.pad({x}, (1, 1))"]
        if kind == "windows":
            return [f"{self.fresh((*lead, n - 1))} = {x}.unfold(-1, 2, 1).mean(-1)"]
        if kind == "diff":
            return [f"{self.fresh((*lead, n - 1))} = {x}.diff()"]
        if kind == "twice":
            return [f"{self.fresh((*lead, 2 * n))} = {x}.repeat_interleave(2, -1)"]
        if kind == "best":
            return [f"{self.fresh((*lead, 2))} = {x}.topk(2, -1)[0]"]
        if kind == "outer" and not lead:
            return [f"{self.fresh((n, n))} = torch.outer({x}, {x}) * 0.3"]
        return [f"{self.fresh(tuple(lead))} = {x}.median(-1)[0]"]

    def reduce(self) -> list[str]:
        x = self.pick(lambda s: len(s) >= 1)
        if x is None:
            return []
        shape = self.shapes[x]
        d = self.r.randrange(len(shape))
        form = self.r.choice(["sum({d}{k})", "mean({d}{k})", "amax({d}{k})", "std({d}{k})",
                              "sum()", "mean()", "norm()", "logsumexp({d}{k})", "var({d}{k})",
                              "max({d}{k})[0]", "prod({d}{k})"])
        if form[:3] in ("std", "var") and shape[d] < 2:
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
        right, m = (y, other[1]) if other[0] == k else (
            y + self.r.choice([".t()"] * 7 + [".T"]), other[0])
        form = self.r.choice(["({} @ {}) * 0.3", "({} @ {}) * 0.3", "torch.mm({}, {}).relu() * 0.3",
                              "torch.einsum('ij,jk->ik', {}, {}) * 0.3"])
        return [f"{self.fresh((n, m))} = {form.format(x, right)}"]

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
        y = self.pick_like(shape)
        if self.r.random() < 0.5:
            return [f"{self.fresh((2, *shape))} = torch.stack([{x}, {y}])"]
        return [f"{self.fresh((2 * shape[0], *shape[1:]))} = torch.cat([{x}, {y}])"]

    def write(self) -> list[str]:
        """An assignment in place, to memory that autograd does not need."""
        x = self.r.choice(sorted(self.owned | {"state"}))
        shape = self.shapes[x]
        copy = []
        if x != "state":
            base, x = x, self.fresh(shape)
            copy = [f"{x} = {base}.detach().clone()"]
        return [*copy, self.assignment(x, shape)]

    def assignment(self, x: str, shape: tuple[int, ...]) -> str:
        """A line that writes into ``x``."""
        forms = ["{x}.add_(1)", "{x} *= 0.5", "{x}.relu_()", "{x}.fill_(i)", "{x}.clamp_(-2, 2)",
                 "{x}.zero_()", "{x}.mul_(scale)"]
        y = self.pick_like(shape)
        if y is not None:
            forms += ["{x}.add_({y}.detach())", "{x}.copy_({y}.detach() * 0.1)",
                      "{x}.mul_({y}.detach()).clamp_(-3, 3)", "{x}[...] = {y}.detach()",
                      "{x}.lerp_({y}.detach(), 0.1)"]
        if shape and shape[0] > 1:
            forms += ["{x}[0] = i", "{x}[1:] += 1", "{x}[i % {n}] = {x}[0]", "{x}[{x} > 1] = 0",
                      "{x}.view_as({x})[..., 0] = 2", "{x}[1:] = {x}[:-1].clone()",
                      "{x}.index_fill_(0, torch.tensor([0]), 0.5)", "{x}[-1].mul_(0.5)"]
        if len(shape) == 2:
            forms += ["{x}.t()[0] = 0.25", "{x}[:, 0] *= 0.5", "{x}.diagonal().fill_(0.1)"]
        return self.r.choice(forms).replace("{n}", str(shape[0] if shape else 1)).replace(
            "{x}", x).replace("{y}", str(y))

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
        n = self.columns
        x = self.pick(lambda s: len(s) >= 1 and s[-1] == n)
        if x is None:
            return []
        form = self.r.choice([
            "model({})", f"torch.nn.functional.layer_norm({{}}, ({n},))",
            "torch.nn.functional.normalize({}, dim=-1)",
            "torch.nn.functional.linear({}, p0.T @ p0, p1)",
            "torch.nn.functional.leaky_relu({}, 0.2)",
            "torch.nn.functional.dropout({}, 0.4, training=False)"])
        return [f"{self.fresh(self.shapes[x])} = {form.format(x)}"]

    def other_dtype(self) -> list[str]:
        x = self.pick()
        form = self.r.choice(["(({} * 10).round().long() % 7).float()", "({} > 0).float()",
                              "{}.double().mul(2).float()", "{}.half().float()",
                              "({0} > 0).logical_or({0} < -1).int().float()",
                              "{}.to(torch.bfloat16).float()"])
        return [f"{self.fresh(self.shapes[x], False)} = {form.format(x)}"]

    def random(self) -> list[str]:
        shape = self.r.choice([self.matrix, (self.columns,), self.matrix[::-1]])
        return [f"{self.fresh(shape)} = torch.{self.r.choice(['rand', 'randn'])}{shape}"]

    def host(self) -> list[str]:
        """NumPy in the middle, sharing memory or not."""
        x = self.pick(lambda s: len(s) >= 1 and s[0] > 0)
        if x is None:
            return []
        new = self.fresh(self.shapes[x])
        return [f"{new} = torch.from_numpy({x}.detach().numpy().copy())",
                self.r.choice([f"{new}.numpy()[0] = i", f"{new}.add_(1)", f"kept.append({new})",
                               f"log.append(float({new}.numpy().sum()))"])]

    def no_grad(self) -> list[str]:
        x = self.pick_like(self.matrix)
        return block("with torch.no_grad():", [self.r.choice(
            [f"state.add_({x} * 0.1).clamp_(-5, 5)", f"state = state * 0.5 + {x} * 0.5",
             "p1.mul_(0.99)", f"state.lerp_({x}, 0.1)"])])

    def branch(self) -> list[str]:
        x = self.pick()
        test = self.r.choice(["i % 2", "i < 2", f"{x}.sum().item() > 0.37",
                              f"bool(({x} > 0.1).any())"])
        return [f"{self.fresh(self.shapes[x])} = {x} * 2 if {test} else {x} + 1"]

    def read(self) -> list[str]:
        """A look at a value or at what is known of a tensor."""
        x = self.pick()
        return [self.r.choice([
            f"log.append(float({x}.sum()))", f"log.append({x}.detach().mean())",
            f"log.append({x}.tolist())", f"log.append({x}.shape)", f"log.append({x}.stride())",
            f"log.append({x}.requires_grad)", f"log.append({x}.is_contiguous())",
            f"log.append({x}.storage_offset())", f"log.append({x}.grad_fn is None)",
            f"log.append({x}.is_leaf)", f"log.append({x}.detach().sum().item() > 0.25)"])]

    def refused(self) -> list[str]:
        """Something that raises an error, which the program catches."""
        x = self.pick_like(self.matrix)
        wrong = self.r.choice([
            f"{x} + torch.ones({self.rows + 7}, {self.columns + 9})", f"{x}[{self.rows}]",
            f"{x} @ torch.ones({self.columns + 2}, 2)", f"{x}.sum(3)", "p0.add_(1)",
            f"{x}.view(-1, {self.rows * self.columns + 1})", f"torch.cat([{x}, {x}.unsqueeze(0)])",
            f"{x}.item() if {x}.numel() > 1 else 1 / 0"])
        return [*block("try:", [wrong]),
                *block("except Exception as e:", ["log.append(type(e).__mro__[-3].__name__)"])]
