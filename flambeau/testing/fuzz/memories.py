"""Memory that goes from step to step and is written in place: caches of keys and values, ring
buffers, hidden states, running statistics, outputs that are filled row by row.
"""

from __future__ import annotations

import random

from .writer import block

#: (batch, dimension, length) of what is remembered
SIZES = ((2, 4, 8), (2, 4, 8), (2, 4, 8), (1, 6, 12), (3, 8, 10), (2, 16, 16))

# -- caches of keys and values ---------------------------------------------------------------------

#: how a new row ``v`` (batch, 1, dimension) gets into MEM (batch, length, dimension) at ``t``
PUTS = ("MEM[:, t] = NEW[:, 0]", "MEM[:, t:t + 1] = NEW", "MEM[:, t:t + 1].copy_(NEW)",
        "MEM.narrow(1, t, 1).copy_(NEW)", "MEM.select(1, t).copy_(NEW[:, 0])",
        "MEM.index_copy_(1, torch.tensor([t]), NEW)", "MEM[:, torch.tensor([t])] = NEW",
        "MEM.transpose(0, 1)[t].copy_(NEW[:, 0])", "rows_MEM[t].copy_(NEW[:, 0])",
        "MEM.scatter_(1, torch.full_like(NEW, t, dtype=torch.long), NEW)",
        "MEM[:, t:t + NEW.shape[1]] = NEW", "MEM[:, t].zero_().add_(NEW[:, 0])",
        "MEM.index_put_((torch.arange(B), torch.tensor(t)), NEW[:, 0])",
        "MEM = torch.where(torch.arange(T)[:, None] == t, NEW, MEM)",
        "MEM[:, place] = NEW[:, 0]", "MEM.index_copy_(1, place[None], NEW)")
#: how what is there so far is read
GETS = ("MEM[:, :t + 1]", "MEM[:, :t + 1]", "MEM.narrow(1, 0, t + 1)",
        "MEM[:, max(0, t - 3):t + 1]", "MEM[:, :t + 1].contiguous()", "MEM", "MEM",
        "torch.cat(MEM_list, 1)", "MEM[:, torch.arange(t + 1)]", "MEM.unbind(1)[t][:, None]",
        "torch.stack(list(MEM.unbind(1))[:t + 1], 1)")
#: what follows a step, or a sequence
CACHE_EVENTS = (
    "keys.zero_()", "keys = torch.zeros(B, T, D)", "keys = keys.clone()",
    "keys, values = values, keys",
    "keys = keys[torch.arange(B).flip(0)]", "keys.copy_(keys.flip(0))", "values[:, :2] *= 0.5",
    "keys.copy_(keys.index_select(0, torch.tensor([0] * B)))", "kept.append(keys[:, :t + 1])",
    "kept.append(keys)", "kept.append(keys.clone())", "kept.append(values[:, t].detach())",
    "log.append(keys[:, :t + 1].sum().item())", "log.append(values.detach().clone())",
    "keys.numpy()[:, 0] = 0.5", "kept.append(keys.numpy())", "keys = torch.roll(keys, 1, 1)",
    "keys[:, :-1] = keys[:, 1:].clone()", "keys.masked_fill_(keys > 1, 1.0)",
    "values.data = keys.data",
    "keys.resize_(B, T, D)", "x = x.flip(0)", "x = x * 0.5", "x = torch.randn(B, 1, D)",
    "keys[0].copy_(keys[-1])", "values.t_() if values.dim() == 2 else None",
    "wk.data = wv.data", "wq = wq.clone()", "wk.mul_(0.9) if not wk.requires_grad else None",
    "rows_keys = keys.unbind(1)", "values = values.transpose(0, 1).contiguous().transpose(0, 1)",
    "place.fill_(0)", "torch.manual_seed(t)")


def cache(r: random.Random) -> list[str]:
    """Attention over keys and values of the steps so far."""
    weights = r.choice(["", "", ".requires_grad_()"])
    put, get = r.choice(PUTS), r.choice(GETS)
    if weights and "rows_" in put:  # PyTorch refuses gradients in one of several views
        put = PUTS[0]
    listed = "_list" in get
    score = "scores = (q @ k.transpose(1, 2)) * 0.3"
    lines = ["q, k, v = x @ wq, x @ wk, x @ wv"]
    for name, new in (("keys", "k"), ("values", "v")):
        lines.append(f"{name}_list.append({new})" if listed
                     else put.replace("MEM", name).replace("NEW", new))
    lines += [f"k, v = {get.replace('MEM', 'keys')}, {get.replace('MEM', 'values')}", score]
    if get == "MEM":
        lines.append(r.choice([
            "scores = scores.masked_fill(torch.arange(T) > t, float('-inf'))",
            "scores = scores + mask[t]", "scores = torch.where(mask[t] < 0, -1e9, scores)"]))
    lines.append(r.choice(["out = scores.softmax(-1) @ v"] * 2 + [
        "out = torch.bmm(scores.softmax(-1), v)", "out = torch.einsum('bqk,bkd->bqd', "
        "scores.softmax(-1), v)"]))
    lines.append(r.choice([
        "x = torch.nn.functional.normalize(x + out, dim=-1)", "x = (x + out).tanh()",
        "x = emb[(out @ emb.t()).argmax(-1)]", "x = steps[:, t:t + 1] + 0.1 * out",
        "x = out / (1 + out.abs().amax())"]))
    lines.append(r.choice(["log.append(out.sum().item())", "outs.append(out)", "outs.append(x)",
                           "log.append(out.detach().clone())", "log.append(x.argmax(-1).tolist())",
                           "filled[:, t] = out[:, 0].detach()", "place.add_(1).remainder_(T)"]))
    events = [line for _ in range(r.choice([0, 0, 1, 1, 2])) for line in block(
        f"if {r.choice(['t == 3', 'n == 1', 'n == 2 and t == 2', 't % 3 == 2', 'n > 1'])}:",
        [r.choice(CACHE_EVENTS)])]
    at = r.choice([0, len(lines)])
    lines[at:at] = events
    mode = r.choice(["with torch.no_grad():"] * 4 + ["with torch.inference_mode():", "if True:",
                                                     "with torch.set_grad_enabled(n % 2 == 1):"])
    begin = r.choice([["keys, values = torch.zeros(B, T, D), torch.zeros(B, T, D)"], [],
                      ["keys.zero_()", "values.zero_()"], ["keys, values = keys * 0, values * 0"],
                      ["keys.detach_()", "values.detach_()"]])
    if weights and "0" in "".join(begin):  # no history goes on: PyTorch walks that of what is zero
        begin = ["keys, values = torch.zeros(B, T, D), torch.zeros(B, T, D)"]
    inner = [*block(f"for t in range(T{r.choice(['', '', ' - n', ' if n < 3 else 3'])}):", lines)]
    sequence = [*begin, "rows_keys, rows_values = keys.unbind(1), values.unbind(1)",
                "keys_list, values_list, outs = [], [], []", "place.zero_()",
                f"x = {r.choice(['steps[:, :1]', 'torch.randn(B, 1, D)', 'emb[:B, None]'])}",
                *block(mode, inner)]
    if weights:
        sequence += ["if outs and outs[0].requires_grad:", "    torch.stack(outs).sum().backward()",
                     "    with torch.no_grad():", "        for w in (wq, wk, wv):",
                     "            w -= 0.01 * w.grad.clamp(-1, 1) if w.grad is not None else 0"]
    names = "keys, values, place, x, filled, wq, wk, wv, rows_keys, rows_values"
    body = block("try:", sequence) + block("except RuntimeError as e:", [
        "log.append('refused')", "keys, values = torch.zeros(B, T, D), torch.zeros(B, T, D)"])
    return [f"wq, wk, wv = [torch.randn(D, D){'.mul_(0.5)' if weights else ' * 0.5'}{weights} "
            "for _ in range(3)]",
            "keys, values = torch.zeros(B, T, D), torch.zeros(B, T, D)",
            "emb, steps = torch.randn(5, D), torch.randn(B, T, D)", "filled = torch.zeros(B, T, D)",
            "mask = torch.full((T, T), float('-inf')).triu(1)",
            "place = torch.zeros((), dtype=torch.long)",
            *block("def sequence(n):", [f"global {names}", *body]),
            *block(f"for n in range({r.choice([3, 4, 6])}):", ["sequence(n)"]),
            "log += [keys, values, filled, place, x, wq.detach(), wk.detach(), wq.grad]",
            "log += [k.detach() if hasattr(k, 'detach') else k.copy() for k in kept]"]


# -- ring buffers ----------------------------------------------------------------------------------

RING_PUTS = ("ring[i % T] = s", "ring[i % T].copy_(s)", "ring.select(0, i % T).copy_(s)",
             "slots[i % T].copy_(s)", "ring[torch.tensor(i % T)] = s", "ring[head] = s",
             "ring.index_copy_(0, torch.tensor([i % T]), s[None])", "ring[:-1] = ring[1:].clone(); "
             "ring[-1] = s", "ring = torch.cat([ring[1:], s[None]])", "ring = ring.roll(-1, 0); "
             "ring[-1] = s", "ring.t()[:, i % T] = s", "ring[i % T, :] = s; ring[i % T, 0] = 1",
             "ring[i % T].lerp_(s, 0.5)", "ring.view(-1)[i % T * D:i % T * D + D] = s",
             "ring.numpy()[i % T] = s.numpy()",
             "ring.index_add_(0, torch.tensor([i % T]), s[None])")
RING_GETS = ("ring[torch.randint(0, T, (5,))]", "ring[torch.randperm(T)[:4]]",
             "ring[:min(i + 1, T)]",
             "ring", "ring[-3:]", "ring.clone()", "ring[i % T:]", "ring.flip(0)", "ring[::2]",
             "ring.unfold(0, 3, 1).flatten(1)[:, :D]", "torch.stack(slots)",
             "ring[ring.sum(1) > 0]",
             "ring.index_select(0, torch.tensor([i % T, 0, 1]))", "ring * 1")
RING_EVENTS = ("ring.zero_()", "ring = ring.clone()", "slots = ring.unbind()", "kept.append(ring)",
               "kept.append(ring[0])", "kept.append(ring[-3:].clone())", "ring[0] = ring[1]",
               "ring = ring.t().contiguous().t()", "ring[::2] *= 0.5", "kept.append(ring.numpy())",
               "log.append(ring.clone())", "log.append(ring._version)", "torch.manual_seed(i)",
               "target.load_state_dict(net.state_dict())", "target = copy.deepcopy(net)",
               "ring, other = other, ring", "ring = other", "other.copy_(ring)", "head.fill_(0)",
               "for p, q in zip(target.parameters(), net.parameters()): p.data = q.data",
               "for p, q in zip(target.parameters(), net.parameters()): p.data = q.data.clone()")


def ring(r: random.Random) -> list[str]:
    """What was seen is kept in a ring, from which a network learns; another network follows."""
    learn = r.choice([
        ["with torch.no_grad():", "    y = 0.5 + 0.9 * target(z.roll(1, 0)).max(1)[0]",
         "loss = torch.nn.functional.smooth_l1_loss(net(z).max(1)[0], y)"],
        ["y = target(z).detach()", "loss = (net(z) - 0.9 * y).square().mean()"],
        ["loss = torch.nn.functional.cross_entropy(net(z), target(z).argmax(1))"],
        ["q = net(z).gather(1, (z[:, :1] > 0).long())", "loss = (q - z.sum(1, keepdim=True)"
         ".tanh()).square().mean()"]])
    update = r.choice([["opt.zero_grad()", "loss.backward()", "opt.step()"],
                       ["loss.backward()", "torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)",
                        "opt.step()", "opt.zero_grad()"]])
    follow = r.choice([
        ["with torch.no_grad():", "    for p, q in zip(target.parameters(), net.parameters()):",
         "        p.mul_(0.9).add_(q, alpha=0.1)"],
        ["if i % 4 == 3:", "    target.load_state_dict(net.state_dict())"], [],
        ["for p, q in zip(target.parameters(), net.parameters()):",
         "    p.data.copy_(0.9 * p.data + 0.1 * q.data)"]])
    source = r.choice(["seen[i % 7]", "torch.randn(D)", "s * 0.5 + seen[i % 7] * 0.5",
                       "(s + net(s[None]).detach().mean()).tanh()", "seen[i % 7].clone()"])
    body = ["global s, ring, other, slots, target, head", f"s = {source}",
            *r.choice(RING_PUTS).split("; "), f"z = {r.choice(RING_GETS)}"]
    train = [*learn, *update, *follow, r.choice(["log.append(loss.item())"] * 3 +
                                                ["losses.append(loss.detach())"])]
    body += train if r.random() < 0.6 else block(r.choice(["if i >= 4:", "if i % 2:", "if i % 3:"]),
                                                 train)
    body.append("head.add_(1).remainder_(T)")
    for _ in range(r.choice([0, 1, 1, 2])):
        at = r.choice([1, len(body)])
        body[at:at] = block(f"if {r.choice(['i == 7', 'i == 9', 'i % 5 == 4', 'i > 8'])}:",
                            [r.choice(RING_EVENTS)])
    opt = r.choice(["SGD(net.parameters(), lr=0.05)", "Adam(net.parameters(), lr=0.01)",
                    "RMSprop(net.parameters(), lr=0.01)", "AdamW(net.parameters(), lr=0.01)"])
    return ["net = torch.nn.Sequential(torch.nn.Linear(D, 5), torch.nn.Tanh(), "
            "torch.nn.Linear(5, 3))",
            "target = copy.deepcopy(net)", f"opt = torch.optim.{opt}", "seen = torch.randn(7, D)",
            f"ring, other = torch.{r.choice(['zeros', 'randn'])}(T, D), torch.randn(T, D)",
            "s, slots, head = torch.zeros(D), ring.unbind(), torch.zeros((), dtype=torch.long)",
            "losses = []", *block("def step(i):", body),
            *block(f"for i in range({r.choice([10, 14, 20])}):", ["step(i)"]),
            "log += [ring, other, s, head, *losses, *slots[:2]]",
            "log += [p.detach() for p in (*net.parameters(), *target.parameters())]",
            "log += [k if hasattr(k, 'detach') else k.copy() for k in kept]"]


# -- hidden states ---------------------------------------------------------------------------------

CELLS = {
    "torch.nn.GRUCell(D, D)": "h = cell(x, h)", "torch.nn.RNNCell(D, D)": "h = cell(x, h)",
    "torch.nn.LSTMCell(D, D)": "h, c = cell(x, (h, c))",
    "torch.nn.Linear(2 * D, D)": "h = cell(torch.cat([x, h], 1)).tanh()",
    "torch.nn.GRU(D, D)": "h = cell(x[None], h[None])[1][0]",
    "torch.nn.LSTM(D, D)": "_, (h, c) = cell(x[None], (h[None], c[None])); h, c = h[0], c[0]",
    "torch.nn.Linear(D, D)": "h = torch.lerp(h, (cell(x) + h).tanh(), 0.3)"}
CUTS = ("h = h.detach()", "h = h.detach()", "h.detach_()", "h = h.data", "h = h.detach().clone()",
        "h = h.detach() * (torch.arange(B)[:, None] != i % B)", "h = torch.zeros(B, D)",
        "buffer.copy_(h.detach()); h = buffer", "buffer[...] = h.detach(); h = buffer.clone()",
        "h = h.detach().requires_grad_()", "h = (h * 0.5).detach()")


def hidden(r: random.Random) -> list[str]:
    """A cell whose state goes from step to step, and gradients that go back some steps."""
    make, call = r.choice(list(CELLS.items()))
    span = r.choice([1, 1, 2, 3, 4])
    lines = ["x = inputs[i % 9]", *call.split("; "),
             "loss = loss + (head(h) - wanted[i % 9]).square().mean()"]
    if r.random() < 0.3:
        lines.insert(1, r.choice(["x = x + bias", "x = x * (i % 4 != 3)", "x = x.roll(i, 0)",
                                  "h = h + 0.1 * bias", "h = h * 1" ]))
    cut = r.choice(CUTS).split("; ")
    clip = r.choice([[], ["torch.nn.utils.clip_grad_norm_(params, 0.5)"],
                     ["torch.nn.utils.clip_grad_value_(params, 0.1)"]])
    learn = ["opt.zero_grad()", "loss.backward()", *clip, "opt.step()",
             r.choice(["log.append(loss.item())", "losses.append(loss.detach())"]), *cut,
             *(["c = c.detach()"]), "loss = 0.0"]
    lines += learn if span == 1 else block(f"if i % {span} == {span - 1}:", learn)
    event = r.choice(["params[0].requires_grad_(not params[0].requires_grad)",
                      "h = torch.zeros(B, D)",
                      "kept.append(h)", "kept.append(h.detach())", "buffer.zero_()",
                      "opt.param_groups[0]['lr'] *= 0.5", "log.append(h.detach().clone())",
                      "with torch.no_grad(): log.append(head(h).mean())", "bias.data.mul_(0.5)",
                      "cell = copy.deepcopy(cell)", "head.train(not head.training)",
                      "saved = [p.detach().clone() for p in params]", "inputs[i % 9] *= 0.5",
                      "h = h.detach().flip(0)", "opt.load_state_dict(opt.state_dict())",
                      "for p in params: p.data = p.data.clone()"])
    if r.random() < 0.6:
        lines[0:0] = block(f"if {r.choice(['i == 8', 'i == 9', 'i % 6 == 5', 'i > 9'])}:", [event])
    opt = r.choice(["SGD(params, lr=0.05)", "Adam(params, lr=0.01)", "SGD(params, lr=0.05, "
                    "momentum=0.9)", "AdamW(params, lr=0.01)", "Adagrad(params, lr=0.02)"])
    step = [*block("def step(i):", ["global h, c, loss, cell, buffer", *block("try:", lines),
                                    *block("except RuntimeError:", [
                                        "log.append('refused')", "h = h.detach()",
                                        "c, loss = c.detach(), 0.0"])]),
            *block(f"for i in range({r.choice([9, 12, 18])}):", ["step(i)"])]
    return [f"cell, head = {make}, torch.nn.Linear(D, 2)", "bias = torch.zeros(D).requires_grad_()",
            "params = [*cell.parameters(), *head.parameters(), bias]", f"opt = torch.optim.{opt}",
            "inputs, wanted = torch.randn(9, B, D), torch.randn(9, B, 2)", "losses, loss = [], 0.0",
            "h, c, buffer = torch.zeros(B, D), torch.zeros(B, D), torch.zeros(B, D)", *step,
            "log += [h.detach(), c.detach(), buffer.detach(), *losses]",
            "log += [p.detach() for p in params]", "log += [p.grad for p in params]",
            "log += [k.detach() for k in kept]"]


# -- statistics and tables -------------------------------------------------------------------------

#: lines that write what is kept: mean, table (T, D), count, base (2, T, D) and parts of base
NOTES = (
    "mean.lerp_(x.mean(0), 0.1)", "mean.mul_(0.9).add_(x.mean(0), alpha=0.1)",
    "mean += (x.mean(0) - mean) / (i + 1)", "count += 1", "count.add_(len(x))",
    "table[i % T] += x.sum(0)", "table[label] = x", "table.index_add_(0, label, x)",
    "table.scatter_add_(0, label[:, None].expand(-1, D), x)", "table[:, i % D] = i",
    "table.index_put_((label,), x, accumulate=True)", "table[i % T, i % D] += 1",
    "table[i % T] = table[(i + 1) % T] * 0.5", "table[1:] = table[:-1].clone()",
    "upper.copy_(lower)", "lower[i % T] = x[0]", "upper.add_(lower, alpha=0.1)",
    "base[0].mul_(0.9)",
    "base[i % 2, :len(x)] = x", "side.copy_(x.mean(0)[0] * torch.ones(T))", "side[i % T] = 1",
    "turned[:, i % T] = x[0]", "turned.mul_(0.99)", "corner.fill_(i)", "corner += x[:2, :2]",
    "base.view(-1)[i % 7] = 2", "flat[i::11] = 0.5", "flat[i % 9:i % 9 + 3].add_(0.1)",
    "upper, lower = lower, upper", "table = table * 0.9", "mean = mean.detach() * 0.9 + 0.1",
    "torch.add(table, 1, out=table)", "torch.mul(mean, 0.5, out=mean)", "table.clamp_(-3, 3)",
    "table.masked_fill_(table.abs() > 2, 0.0)", "table[table > 1] = 0.25", "base[1] = base[0]",
    "torch.where(table > 0, table, 0.1 * table, out=table)", "table.copy_(table.flip(0))",
    "np.copyto(base.numpy()[0], 0.5)", "base.numpy()[0, 0] += 1",
    "table.data = table.data + 0", "mean.data = x[0]", "mean.data = table[0]",
    "table.sub_(table[0])",
    "table[0].add_(table[1])", "table.diagonal().mul_(0.5)", "table.t()[0].add_(1)",
    "base.transpose(1, 2)[0, 0] = 0.3", "base.unfold(2, 2, 2)[0].mul_(0.9)",
    "base.as_strided((3,), (2,), 1).fill_(0.2)", "upper.chunk(2)[0].neg_()",
    "upper.sqrt_().nan_to_num_()",
    "table.addmm_(x.t()[:, :1].expand(D, T).t(), torch.eye(D), alpha=0.1)",
    "mean.addcmul_(x[0], x[-1], value=0.1)", "mean.addcdiv_(x[0], 1 + x[-1].abs(), value=0.1)")
LOOKS = ("log.append((table - mean).abs().sum().item())", "log.append(base.sum().item())",
         "log.append(float(upper[0].sum()))", "log.append(flat[:5].tolist())",
         "log.append(count.item())",
         "log.append(table.clone())", "kept.append(table)", "kept.append(base[0])",
         "log.append(turned)",
         "kept.append(mean.clone())",
         "log.append(((x - mean) / (1 + table[0].abs())).sum().item())",
         "kept.append(table.numpy())", "out = x @ table.t(); log.append(out.mean().item())",
         "log.append(corner.tolist())", "log.append(base._version)",
         "log.append(upper.storage_offset())",
         "log.append(x.std(0).mean().item())", "log.append(bool((table > 0.5).any()))")


def notes(r: random.Random) -> list[str]:
    """Statistics of what comes by, and writes through views that were made before."""
    each = [r.choice(NOTES) for _ in range(r.randint(1, 5))]
    lines = ["global mean, table, upper, lower, count, weight, corner, label",
             "x = " + r.choice(["xs[i % 6]"] * 3 + ["torch.randn(T, D)", "xs[i % 6] * 0.5",
                                                   "xs[:, i % T]", "xs[i % 2][:len(label)]"]),
             "label = labels[i % 6][:len(x)]", *each]
    if r.random() < 0.5:
        lines += ["loss = ((x - mean.detach()) * weight).square().mean()"
                  " + (table.detach() @ weight).mean()", "loss.backward()", "with torch.no_grad():",
                  "    weight -= 0.1 * weight.grad.clamp(-1, 1)", "weight.grad.zero_()"]
    lines += r.choice(LOOKS).split("; ")
    for _ in range(r.choice([0, 1, 1, 2, 3])):
        lines += block(f"if {r.choice(['i == 6', 'i == 8', 'i % 4 == 3', 'i > 7', 'i == 1'])}:",
                       r.choice(NOTES + LOOKS).split("; "))
    inside = r.choice(["with torch.no_grad():", "if True:", "with torch.enable_grad():"])
    body = lines[:1] + (block("if True:", lines[1:]) if "backward" in "".join(lines) else
                        block(inside, lines[1:]))
    return ["xs, labels = torch.randn(6, T, D), torch.randint(0, T, (6, T))",
            "mean, table, count = torch.zeros(D), torch.randn(T, D) * 0.1, torch.tensor(0)",
            "base = torch.randn(2, T, D)", "(upper, lower), turned = base.unbind(), base[1].t()",
            "side, corner, flat = base[0, :, 1], base[1, -2:, :2], base.view(-1)",
            "weight, label = torch.randn(D, requires_grad=True), labels[0]",
            *block("def step(i):", [body[0], *block("try:", body[1:]), *block(
                "except RuntimeError:", ["log.append('refused')"])]),
            *block(f"for i in range({r.choice([9, 12, 16])}):", ["step(i)"]),
            "log += [mean, table, count, base, upper, lower, turned, side, corner, flat]",
            "log += [weight.detach(), xs[:2]]",
            "log += [k if hasattr(k, 'detach') else k.copy() for k in kept]"]


# -- results that are filled -----------------------------------------------------------------------

FILLS = ("out[t] = cell(x[t])", "out[t] = cell(x[t] if t == 0 else out[t - 1].clone()).tanh()",
         "out[t].copy_(cell(x[t]))", "out = out.index_copy(0, torch.tensor([t]), cell(x[t])[None])",
         "out[:, t % B] = out[:, t % B] + cell(x[t])[t % B]", "out[t:] = cell(x[t:])",
         "out[t] += cell(x[t]) * gate", "out.select(0, t).add_(cell(x[t]).relu())",
         "out[t, :1], out[t, 1:] = cell(x[t])[:1], cell(x[t])[1:] * 2",
         "out[t][x[t] > 0] = gate[0]",
         "out[t].masked_scatter_(x[t] > 0, cell(x[t]))", "out[[t, 0]] = cell(x[[t, 0]])",
         "out = torch.where(torch.arange(T)[:, None, None] == t, cell(x), out)",
         "out[t].mul_(0.5).add_(cell(x[t]))", "out.transpose(0, 1)[:, t] = cell(x[t])")


def filled(r: random.Random) -> list[str]:
    """A result that gradients flow through is written part by part."""
    fill = [r.choice(FILLS) for _ in range(r.choice([1, 1, 2]))]
    begin = r.choice(["torch.zeros(T, B, D)", "torch.ones(T, B, D)", "x * 1", "start.clone()",
                      "torch.empty(T, B, D).zero_()", "x.detach().clone()", "start * gate"])
    loss = r.choice(["out.square().mean()", "(out * out.detach()).mean()", "out[-1].sum() + "
                     "out.mean()", "(out[1:] - out[:-1]).abs().mean()",
                     "out.amax(0).square().mean()",
                     "torch.nn.functional.mse_loss(out, x)", "out.flatten(1).norm(dim=1).mean()"])
    count = r.choice(["T", "T", "T - 1", "1 + i % 3", "T if i != 7 else 2"])
    body = ["x = xs[i % 4]", f"out = {begin}", *block(f"for t in range({count}):", fill)]
    if r.random() < 0.4:
        body.append(r.choice(["out = out.clone()", "out *= 2", "out[0].zero_()",
                              "out = out + start",
                              "out[:, 0] = gate", "out = out.flip(0)",
                              "mid = out * gate; out = mid",
                              "kept.append(out.detach())", "out[1:].mul_(gate)"]))
    body += [f"loss = {loss}", "opt.zero_grad()", "loss.backward()", "opt.step()",
             r.choice(["log.append(loss.item())"] * 3 + ["log.append(out.detach())",
                                                        "kept.append(out)"])]
    return ["cell, gate = torch.nn.Linear(D, D), torch.ones(D).requires_grad_()",
            "start = torch.randn(T, B, D)", "xs = torch.randn(4, T, B, D)",
            "opt = torch.optim." + r.choice(["SGD([gate, *cell.parameters()], lr=0.05)",
                                            "Adam([gate, *cell.parameters()], lr=0.01)"]),
            *block("def step(i):", [line for one in body for line in one.split("; ")]),
            *block(f"for i in range({r.choice([8, 10])}):", block("try:", ["step(i)"]) + block(
                "except RuntimeError:", ["log.append('refused')"])),
            "log += [p.detach() for p in (gate, *cell.parameters())]", "log += [gate.grad, start]",
            "log += [k.detach() for k in kept]"]


def write(r: random.Random) -> list[str]:
    """The lines of one program."""
    b, d, length = r.choice(SIZES)
    form = r.choices([cache, ring, hidden, notes, filled], [4, 3, 3, 4, 3])[0]
    if form is filled:
        length = min(length, 5)
    return ["import torch", "import copy", "import numpy as np",
            f"torch.manual_seed({r.randrange(1000)})",
            f"B, D, T = {b}, {d}, {length}", "kept, log = [], []", *form(r)]
