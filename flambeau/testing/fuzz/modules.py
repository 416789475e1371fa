"""Stacks of modules: layers that fit the shape so far, hooks, modes, state dictionaries."""

from __future__ import annotations

import random
from collections.abc import Callable

from .writer import block, weighted

ACTIVATIONS = ("ReLU()", "Tanh()", "GELU()", "Sigmoid()", "SiLU()", "LeakyReLU(0.1)", "ELU()",
               "Softplus()", "Hardtanh()", "PReLU()", "Mish()", "Softmax(-1)",
               "LogSigmoid()",
               "GELU(approximate='tanh')", "Hardswish()", "ReLU6()", "Softsign()", "CELU()")


class Net:
    """Writes a module; ``shape`` is that of its value at the line written last.

    Attributes:
        kind: "flat" (batch, features), "image" (batch, channels, height, width), "line" (batch,
            channels, length), "sequence" (batch, time, features) or "tokens" (batch, time).
        made, forward: lines of ``__init__`` and of ``forward``.
        attends: whether there is attention.
    """

    def __init__(self, r: random.Random, kind: str | None = None, batch: int | None = None):
        self.r = r
        self.kind = kind or r.choice(["flat", "flat", "image", "line", "sequence", "tokens"])
        n = batch or r.choice([2, 3, 4, 4, 8])
        self.input = self.shape = {
            "flat": (n, r.choice([4, 6, 12])),
            "image": (n, r.choice([1, 2, 3]), 6, r.choice([6, 5])),
            "line": (n, r.choice([1, 3]), r.choice([7, 8])), "tokens": (n, r.choice([3, 5])),
            "sequence": (n, r.choice([3, 5]), r.choice([4, 8]))}[self.kind]
        self.start = self.kind
        self.made: list[str] = []
        self.forward: list[str] = []
        self.attends = False

    # -- pieces ----------------------------------------------------------------------------------

    def add(self, module: str, shape: tuple[int, ...] | None = None, call: str = "{}(x)",
            kind: str | None = None) -> None:
        """A module and the line that calls it."""
        name = f"self.m{len(self.made)}"
        self.made.append(f"{name} = torch.nn.{module}")
        self.forward.append("x = " + call.format(name))
        self.shape, self.kind = shape or self.shape, kind or self.kind

    def line(self, text: str, shape: tuple[int, ...] | None = None,
             kind: str | None = None) -> None:
        self.forward.append("x = " + text)
        self.shape, self.kind = shape or self.shape, kind or self.kind

    def linear(self) -> None:
        out = self.r.choice([1, 3, 5, 8, 16])
        bias = self.r.choice(["", "", ", bias=False"])
        self.add(f"Linear({self.shape[-1]}, {out}{bias})", (*self.shape[:-1], out))

    def activation(self) -> None:
        self.add(self.r.choice(ACTIVATIONS))

    def dropout(self) -> None:
        p = self.r.choice(["0.0", "0.2", "0.5"])
        kind = "Dropout" if self.kind != "image" else self.r.choice(["Dropout", "Dropout2d"])
        self.add(f"{kind}({p})")

    def residual(self) -> None:
        n = self.shape[-1]
        self.add(f"Linear({n}, {n})", call=self.r.choice(["x + {}(x)", "x * torch.sigmoid({}(x))",
                                                           "x + 0.5 * {}(x).relu()"]))

    def functional(self) -> None:
        self.line(self.r.choice([
            "torch.nn.functional.normalize(x, dim=-1)", "x.clamp(-3, 3)", "x - x.mean()",
            "x * (x.detach() > 0)", "x.contiguous()", "torch.nn.functional.relu(x)", "x.flip(0)",
            "torch.where(x > 0, x, 0.1 * x)", "x / (1 + x.abs().amax())",
            "torch.nn.functional.layer_norm(x, x.shape[-1:])"]))

    def norm(self) -> None:
        n, r = self.shape[1], self.r
        if self.kind == "flat":
            self.add(r.choice([f"BatchNorm1d({n})", f"LayerNorm({n})", f"RMSNorm({n})",
                               f"BatchNorm1d({n}, momentum=0.3, affine=False)",
                               f"BatchNorm1d({n}, track_running_stats=False)",
                               f"BatchNorm1d({n}, momentum=None)"]))
        elif self.kind == "sequence":
            n = self.shape[-1]
            self.add(r.choice([
                f"LayerNorm({n})", f"RMSNorm({n})", f"LayerNorm(({self.shape[1]}, {n}))",
                f"LayerNorm({n}, elementwise_affine=False)"]))
        else:
            d = "2d" if self.kind == "image" else "1d"
            self.add(r.choice([
                f"BatchNorm{d}({n})", f"GroupNorm(1, {n})", f"GroupNorm({n}, {n})",
                f"InstanceNorm{d}({n}, affine=True)", f"BatchNorm{d}({n}, eps=1e-2)"]))

    def convolution(self) -> None:
        r, (n, c, *size) = self.r, self.shape
        k, out = r.choice([1, 2, 3, 3]), r.choice([1, 2, 4, 8])
        stride, padding, dilation = r.choice([1, 1, 2]), r.choice([0, 1, k // 2]), 1
        groups = c if r.random() < 0.2 else 1
        out = out * c if groups > 1 else out
        if min(size) + 2 * padding < k:
            padding = k
        if k == 2 and min(size) > 3 and r.random() < 0.3:
            dilation = 2
        new = [(s + 2 * padding - dilation * (k - 1) - 1) // stride + 1 for s in size]
        extra = r.choice(["", "", ", bias=False"]) + (
            ", padding_mode='reflect'" if 0 < padding < min(size) and r.random() < 0.1 else "")
        self.add(f"Conv{len(size)}d({c}, {out}, {k}, stride={stride}, padding={padding}, "
                 f"dilation={dilation}, groups={groups}{extra})", (n, out, *new))

    def transposed(self) -> None:
        n, c, *size = self.shape
        if max(size) > 8:
            return self.activation()
        self.add(f"ConvTranspose{len(size)}d({c}, 2, 2, stride=2)", (n, 2, *(2 * s for s in size)))
        return None

    def pool(self) -> None:
        n, c, *size = self.shape
        d = len(size)
        if min(size) < 2:
            return self.activation()
        half = (n, c, *((s - 2) // 2 + 1 for s in size))
        form, shape = self.r.choice([
            (f"MaxPool{d}d(2)", half), (f"AvgPool{d}d(2)", half),
            (f"MaxPool{d}d(2, stride=1)", (n, c, *(s - 1 for s in size))),
            (f"AdaptiveAvgPool{d}d(2)", (n, c, *[2] * d)),
            (f"AdaptiveMaxPool{d}d(1)", (n, c, *[1] * d)),
            ("Upsample(scale_factor=2)", (n, c, *(2 * s for s in size)))])
        self.add(form, shape)
        return None

    def flatten(self) -> None:
        n, *rest = self.shape
        width = 1
        for s in rest:
            width *= s
        form = self.r.choice(["module", "x.flatten(1)", "x.reshape(x.shape[0], -1)", "mean"])
        if form == "mean" and len(rest) > 1:
            dims = tuple(range(2, len(self.shape)))
            self.line(f"x.mean({dims})", (n, rest[0]), "flat")
        elif form == "module":
            self.add("Flatten()", (n, width), kind="flat")
        else:
            self.line("x.flatten(1)" if form == "mean" else form, (n, width), "flat")

    def embedding(self) -> None:
        d = self.r.choice([4, 8])
        form = self.r.choice([
            f"Embedding(7, {d})", f"Embedding(7, {d})", f"Embedding(7, {d}, padding_idx=0)",
            f"Embedding(7, {d}, max_norm=1.0)"])
        self.add(form, (*self.shape, d), kind="sequence")

    def bag(self) -> None:
        self.add(f"EmbeddingBag(7, 6, mode='{self.r.choice(['mean', 'sum'])}')", (self.shape[0], 6),
                 kind="flat")

    def recurrent(self) -> None:
        n, t, d = self.shape
        r = self.r
        cell, h = r.choice(["RNN", "GRU", "LSTM"]), r.choice([4, 5])
        both = r.random() < 0.3
        extra = f", num_layers={r.choice([1, 1, 2])}" + (", bidirectional=True" if both else "")
        new = (n, t, h * (1 + both))
        self.add(f"{cell}({d}, {h}, batch_first=True{extra})", new, "{}(x)[0]")

    def last(self) -> None:
        n, t, d = self.shape
        self.line(self.r.choice(["x[:, -1]", "x.mean(1)", "x.amax(1)", "x[:, 0] + x[:, -1]"]),
                  (n, d), "flat")

    def attention(self) -> None:
        n, t, d = self.shape
        r = self.r
        self.attends, drop = True, r.choice(["", "", ", dropout=0.2"])
        heads = r.choice([1, 2]) if d % 2 == 0 else 1
        form = r.choice(["module", "module", "function", "encoder"])
        if form == "module":
            call = r.choice(["{}(x, x, x)[0]", "x + {}(x, x, x, need_weights=False)[0]",
                             f"{{}}(x, x, x, attn_mask=torch.ones({t}, {t}).triu(1).bool())[0]"])
            self.add(f"MultiheadAttention({d}, {heads}, batch_first=True{drop})", call=call)
        elif form == "function":
            causal = r.choice(["", ", is_causal=True"])
            self.line(f"torch.nn.functional.scaled_dot_product_attention(x, x, x{causal})")
        else:
            drop = drop or ", dropout=0.0"
            self.add(f"TransformerEncoderLayer({d}, {heads}, 8{drop}, batch_first=True, "
                     f"norm_first={r.random() < 0.5})")

    def swap(self) -> None:
        """A sequence becomes a line of channels, or the other way round."""
        n, a, b = self.shape
        self.line("x.transpose(1, 2)", (n, b, a), "line" if self.kind == "sequence" else "sequence")

    # -- the whole -------------------------------------------------------------------------------

    def grow(self) -> None:
        """One more piece."""
        common: dict[Callable, int] = {self.activation: 3, self.functional: 2, self.dropout: 1}
        own: dict[str, dict[Callable, int]] = {
            "flat": {self.linear: 5, self.norm: 3, self.residual: 2},
            "image": {self.convolution: 5, self.norm: 3, self.pool: 2, self.flatten: 1,
                      self.transposed: 1},
            "line": {self.convolution: 5, self.norm: 3, self.pool: 1, self.flatten: 1,
                     self.swap: 1},
            "sequence": {self.recurrent: 3, self.attention: 3, self.norm: 2, self.linear: 2,
                         self.residual: 1, self.last: 1, self.swap: 1},
            "tokens": {self.embedding: 4, self.bag: 1}}
        table = own[self.kind] if self.kind == "tokens" else {**common, **own[self.kind]}
        weighted(self.r, table)()

    def text(self, name: str, pieces: int, features: int | None = None) -> list[str]:
        """The class; with ``features`` its output is (batch, features)."""
        for _ in range(pieces):
            self.grow()
        if self.kind == "tokens":
            self.embedding()
        if features is not None:
            if self.kind == "sequence":
                self.last()
            elif self.kind != "flat":
                self.flatten()
            self.add(f"Linear({self.shape[-1]}, {features})", (self.shape[0], features))
        elif not self.made:
            self.activation()
        return block(f"class {name}(torch.nn.Module):", [
            *block("def __init__(self):", ["super().__init__()", *self.made]),
            *block("def forward(self, x):", [*self.forward, "return x"])])

    def data(self, count: int) -> str:
        """An expression for ``count`` inputs."""
        shape = ", ".join(map(str, (count, *self.input)))
        return f"torch.randint(0, 7, ({shape}))" if self.start == "tokens" else \
            f"torch.randn({shape})"


HOOKS = ("for m in net.children(): m.register_forward_hook("
         "lambda m, a, out: log.append(out.shape) if hasattr(out, 'shape') else None)",
         "net.register_forward_pre_hook(lambda m, a: (a[0] * 1,))",
         "net.register_forward_hook(lambda m, a, out: out * 0.5)",
         "net.register_full_backward_hook(lambda m, gi, go: log.append(go[0]))",
         "for p in net.parameters(): p.register_hook(lambda g: g * 0.5)",
         "hook = net.register_forward_hook(lambda m, a, out: log.append(out.detach().mean()))",
         "for p in net.parameters(): p.register_post_accumulate_grad_hook("
         "lambda p: log.append(p.grad is None))")

#: between the rounds
EVENTS = ("net.eval()", "net.train()", "net.train(i % 2 == 0)", "net = copy.deepcopy(net)",
          "net.load_state_dict({k: v * 0.9 if v.is_floating_point() else v "
          "for k, v in net.state_dict().items()})",
          "log += [v.clone() for v in net.state_dict().values()]", "net.requires_grad_(i % 2 == 0)",
          "net.zero_grad()", "net.zero_grad(set_to_none=False)", "log += list(net.buffers())",
          "log.append([n for n, p in net.named_parameters()])",
          "log.append(torch.nn.utils.parameters_to_vector(net.parameters()))",
          "net.apply(lambda m: m.reset_parameters() if hasattr(m, 'reset_parameters') else None)",
          "log.append(net.training)", "torch.manual_seed(i)", "hook.remove() if hook else None",
          "for p in net.parameters(): p.data.mul_(0.9)", "log.append(sum(p.numel() for p in "
          "net.parameters()))", "log.append(repr(net))",
          "with torch.no_grad(): log.append(net(data[0]).mean())",
          "if any(p.grad is not None for p in net.parameters()): "
          "torch.nn.utils.clip_grad_value_(net.parameters(), 0.1)",
          "log.append(torch.nn.utils.clip_grad_norm_(net.parameters(), 0.5))")

#: by hand, without diverging
UPDATE = ["with torch.no_grad():", "    for p in net.parameters():",
          "        if p.grad is not None:", "            p -= 0.05 * p.grad.clamp(-1, 1)"]


def write(r: random.Random) -> list[str]:
    """The lines of one program."""
    net = Net(r)
    hooks = [r.choice(HOOKS)] if r.random() < 0.25 else []
    text = net.text("Net", r.randint(1, 6))
    rounds = r.choice([2, 5, 8, 8, 9])
    lines = ["import torch", "import copy", f"torch.manual_seed({r.randrange(100)})", *text,
             "net = Net()", f"data = {net.data(4)}", "hook = None", "log = []",
             *hooks,
             *(["net.eval()"] if r.random() < 0.2 else []),
             *(["net.double()", "data = data.double()"] if net.start != "tokens"
               and r.random() < 0.05 else [])]
    body = ["global net, data, log", "x = data[i % 4]"]
    if net.start != "tokens" and r.random() < 0.2:
        body.append("x = x.clone().requires_grad_()")
    elif r.random() < 0.1:
        body += block("if i == 5:", [r.choice(["x = x[:-1]", "x = torch.cat([x, x])",
                                               "x = data[0] * 1", "x = x.flip(0)"])])
    body.append("out = net(x)")
    body.append("loss = " + r.choice(["out.square().mean()", "(out * out.detach()).sum() * 0.1",
                                      "out.tanh().mean()", "(out - 0.5).abs().sum()"]))
    gradients = ["net.zero_grad()", *r.choice([
        *[["loss.backward()", *UPDATE]] * 4, ["loss.backward()"],
        ["if loss.requires_grad:", "    loss.backward()", *UPDATE],
        ["grads = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)",
         "log += [g for g in grads if g is not None]"]])]
    body += block("try:", gradients) + block("except RuntimeError as e:", ["log.append('refused')"])
    body.append(r.choice(["log.append(loss.item())"] * 5 + [
        "log.append(out.detach())", "log.append(x.grad)", "log.append(out.shape)"]))
    for _ in range(r.choice([0, 0, 1, 1, 2])):
        event = r.choice(EVENTS)
        at = r.choice([2, len(body)])
        body[at:at] = block(f"if {r.choice(['i == 5', 'i > 4', 'i % 3 == 2', 'i == 1'])}:", [event])
    end = ["log += [p.grad for p in net.parameters()]", "log += list(net.state_dict().values())"]
    return [*lines, *block("def step(i):", body), *block(f"for i in range({rounds}):", ["step(i)"]),
            *end]
