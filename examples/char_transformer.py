"""A small GPT that writes like Python's manual, letter by letter: an ordinary PyTorch program.

    python examples/char_transformer.py                      # runs on flambeau
    python examples/char_transformer.py --framework torch    # the same file on PyTorch

The text is the part of the manual that ships with Python (what ``help("for")`` shows).
"""

import argparse
import pydoc_data.topics
import time

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--framework", choices=("flambeau", "torch"), default="flambeau",
                    help="what `torch` is in this program (default: flambeau)")
parser.add_argument("--steps", type=int, default=800, help="training steps (default: 800)")
parser.add_argument("--batch", type=int, default=16, help="passages per step (default: 16)")
parser.add_argument("--context", type=int, default=64, help="letters it sees (default: 64)")
parser.add_argument("--width", type=int, default=96, help="size of its vectors (default: 96)")
parser.add_argument("--layers", type=int, default=2, help="blocks (default: 2)")
parser.add_argument("--lr", type=float, default=2e-3, help="highest learning rate (default: 0.002)")
parser.add_argument("--write", type=int, default=300, help="letters to write (default: 300)")
parser.add_argument("--prompt", default="The statement ", help="how the text begins")
parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
options = parser.parse_args()

if options.framework == "torch":
    import torch
    from torch import nn
    from torch.nn import functional as F
else:
    import flambeau as torch
    from flambeau import nn
    from flambeau.nn import functional as F

TEXT = " ".join(" ".join(t for _, t in sorted(pydoc_data.topics.topics.items())).split())[:200_000]
TEXT = "".join(c if " " <= c <= "~" else "?" for c in TEXT)
LETTERS = sorted(set(TEXT) | set(options.prompt))
NUMBER = {c: i for i, c in enumerate(LETTERS)}


class Block(nn.Module):
    """Attention to earlier letters, then a layer of its own for each letter."""

    def __init__(self, width, heads=4):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(),
                                 nn.Linear(4 * width, width))

    def forward(self, x):
        b, t, w = x.shape
        q, k, v = (m.view(b, t, self.heads, -1).transpose(1, 2)
                   for m in self.qkv(self.norm1(x)).chunk(3, dim=-1))
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(b, t, w))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    """Letters and places to vectors, blocks, and a guess of the next letter."""

    def __init__(self):
        super().__init__()
        self.letters = nn.Embedding(len(LETTERS), options.width)
        self.places = nn.Embedding(options.context, options.width)
        self.blocks = nn.Sequential(*(Block(options.width) for _ in range(options.layers)))
        self.norm = nn.LayerNorm(options.width)
        self.head = nn.Linear(options.width, len(LETTERS), bias=False)
        for p in (self.letters.weight, self.places.weight):
            nn.init.normal_(p, std=0.02)
        self.head.weight = self.letters.weight  # tied

    def forward(self, x):
        places = torch.arange(x.shape[1])
        return self.head(self.norm(self.blocks(self.letters(x) + self.places(places))))


@torch.no_grad()
def write(model, prompt, count, temperature=0.7):
    """Continue a text."""
    model.eval()
    x = torch.tensor([[NUMBER[c] for c in prompt]])
    for _ in range(count):
        logits = model(x[:, -options.context:])[:, -1] / temperature
        x = torch.cat([x, torch.multinomial(logits.softmax(-1), 1)], dim=1)
    return "".join(LETTERS[i] for i in x[0].tolist())


def main():
    """Train, then write."""
    torch.manual_seed(options.seed)
    text = torch.tensor([NUMBER[c] for c in TEXT])
    model = GPT()
    print(f"{len(TEXT)} letters of text, {sum(p.numel() for p in model.parameters())} parameters")
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.lr, options.steps)
    every, total, begin = max(1, options.steps // 8), 0.0, time.perf_counter()
    for step in range(1, options.steps + 1):
        starts = torch.randint(len(text) - options.context - 1, (options.batch, 1))
        passages = text[starts + torch.arange(options.context + 1)]
        logits = model(passages[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), passages[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += loss.item()
        if step % every == 0:
            print(f"step {step:5d}  loss {total / every:.4f}", flush=True)
            total = 0.0
    seconds = time.perf_counter() - begin
    print(f"{options.steps} steps in {seconds:.1f} s, "
          f"{1e3 * seconds / options.steps:.2f} ms per step")
    begin = time.perf_counter()
    print("\n" + write(model, options.prompt, options.write) + "\n")
    seconds = time.perf_counter() - begin
    print(f"{options.write} letters in {seconds:.1f} s, "
          f"{1e3 * seconds / options.write:.2f} ms each")


if __name__ == "__main__":
    main()
