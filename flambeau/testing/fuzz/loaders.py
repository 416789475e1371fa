"""Data sets and loaders: what batches there are, in which order, of which kind."""

from __future__ import annotations

import random

from .writer import block

ITERABLE = [
    "class Stream(torch.utils.data.IterableDataset):", "    def __init__(self, n):",
    "        self.n = n", "    def __iter__(self):", "        for k in range(self.n):",
    "            yield X[k], Y[k]"]
MAP = [
    "class Items(torch.utils.data.Dataset):", "    def __len__(self):", "        return N",
    "    def __getitem__(self, k):", "        return FORM"]
FORMS = ("X[k], Y[k]", "X[k] * 2, int(Y[k])", "{'x': X[k], 'y': Y[k]}", "X[k].numpy(), k",
         "(X[k], {'label': Y[k], 'name': str(k)})", "[X[k], 0.5 * k]", "X[k]", "k", "float(k)")


def dataset(r: random.Random, n: int, pairs: bool = False) -> tuple[list[str], str, int]:
    """(lines, expression, length) of a data set over X and Y; ``pairs``: its items are (x, y)."""
    form = r.choice(["tensors", "tensors", "subset", "concat", "items", "stream", "split"])
    whole = "torch.utils.data.TensorDataset(X, Y)"
    if form == "subset":
        rows = r.sample(range(n), n // 2 + 1)
        return [], f"torch.utils.data.Subset({whole}, {rows})", len(rows)
    if form == "concat":
        return [], f"torch.utils.data.ConcatDataset([{whole}, torch.utils.data.TensorDataset(" \
                   f"X[:3].flip(0), Y[:3])])", n + 3
    if form == "items":
        item = FORMS[0] if pairs else r.choice(FORMS)
        text = "\n".join(MAP).replace("FORM", item).replace("return N", f"return {n}")
        return text.split("\n"), "Items()", n
    if form == "stream":
        return ITERABLE, f"Stream({n})", n
    if form == "split":
        part = n // 3
        generator = r.choice(["", ", generator=torch.Generator().manual_seed(3)"])
        return [], f"torch.utils.data.random_split({whole}, [{part}, {n - part}]{generator})[1]", \
            n - part
    return [], whole, n


COLLATE = [
    "def collate(items):", "    return [torch.as_tensor(i[0]) if isinstance(i, (tuple, list)) else "
    "i for i in items]"]


def loader(r: random.Random, data: str, length: int, pairs: bool = False) -> tuple[list[str], str]:
    """(lines, expression) of a loader of a data set."""
    size, stream = r.choice([2, 3, 4] if pairs else [1, 2, 3, 4, 8]), data.startswith("Stream")
    if r.random() < 0.1 and not stream and not pairs:
        return [], f"torch.utils.data.DataLoader({data}, batch_size=None)"
    options, lines = [f"batch_size={size}"], []
    kind = "none" if stream else r.choice(["none", "shuffle", "shuffle", "sampler", "batches"])
    if kind == "shuffle":
        options.append("shuffle=True")
    elif kind == "sampler":
        weights = [round(0.1 + r.random(), 2) for _ in range(length)]
        options.append("sampler=" + r.choice([
            f"torch.utils.data.SequentialSampler(range({length}))",
            f"torch.utils.data.RandomSampler(range({length}), replacement=True, num_samples=7)",
            f"torch.utils.data.RandomSampler(range({length}))",
            f"torch.utils.data.WeightedRandomSampler({weights}, 9)",
            f"torch.utils.data.SubsetRandomSampler({r.sample(range(length), length // 2 + 1)})",
            f"list(range({length}))[::-1]"]))
    elif kind == "batches":
        options = [f"batch_sampler=torch.utils.data.BatchSampler(torch.utils.data.RandomSampler("
                   f"range({length})), {size}, {r.random() < 0.5})"]
    if kind != "batches" and r.random() < 0.4:
        options.append("drop_last=True")
    if r.random() < 0.3:
        options.append("generator=torch.Generator().manual_seed(5)")
    if not pairs and r.random() < 0.15:
        lines += COLLATE
        options.append("collate_fn=collate")
    if r.random() < 0.004:  # forking takes long
        options.append("num_workers=2")
    return lines, f"torch.utils.data.DataLoader({data}, {', '.join(options)})"


def write(r: random.Random) -> list[str]:
    """The lines of one program."""
    n = r.choice([5, 8, 13])
    lines, data, length = dataset(r, n)
    more, load = loader(r, "dataset" if not data.startswith("Stream") else data, length)
    use = r.choice([
        ["log.append(batch)"], ["log.append(batch)", "torch.rand(2)"], ["log.append(batch)"],
        ["x = batch[0] if isinstance(batch, (list, tuple)) else batch",
         "x = x['x'] if isinstance(x, dict) else x",
         "total = total + torch.as_tensor(x).float().sum()", "log.append(total.item())"]])
    if r.random() < 0.2:
        use += block("if i == 1:", [r.choice(["break", "torch.manual_seed(1)", "X.mul_(0.5)",
                                              "X = X + 1", "X.numpy()[0] = 9"])])
    return ["import torch", f"torch.manual_seed({r.randrange(100)})",
            f"X, Y = torch.randn({n}, 3), torch.randint(0, 4, ({n},))", "total = 0.0", "log = []",
            *lines, f"dataset = {data}", *more, f"loader = {load}",
            *block("try:", [f"log.append({r.choice(['len(loader)', 'len(dataset)'])})"]),
            *block("except TypeError:", ["log.append('no length')"]),
            *block(f"for epoch in range({r.choice([1, 2, 3])}):",
                   block("for i, batch in enumerate(loader):", use)), "log.append(torch.rand(1))"]
