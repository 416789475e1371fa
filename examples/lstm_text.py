"""What kind of text is it? An LSTM reads snippets, as an ordinary PyTorch program.

    python examples/lstm_text.py                      # runs on flambeau
    python examples/lstm_text.py --framework torch    # the same file on PyTorch

The texts ship with Python: English prose (its manual), the same prose in rot13, the same prose with
the letters of each word shuffled, and Python code. Snippets have different lengths, so that the
batches are packed.
"""

import argparse
import codecs
import inspect
import pydoc_data.topics
import random
import re
import time

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--framework", choices=("flambeau", "torch"), default="flambeau",
                    help="what `torch` is in this program (default: flambeau)")
parser.add_argument("--epochs", type=int, default=6, help="passes over the data (default: 6)")
parser.add_argument("--snippets", type=int, default=2000, help="to learn from (default: 2000)")
parser.add_argument("--batch", type=int, default=32, help="snippets per step (default: 32)")
parser.add_argument("--hidden", type=int, default=64, help="size of the LSTM (default: 64)")
parser.add_argument("--lr", type=float, default=5e-3, help="Adam's learning rate (default: 0.005)")
parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
options = parser.parse_args()

if options.framework == "torch":
    import torch
    from torch import nn
    from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
    from torch.utils.data import DataLoader
else:
    import flambeau as torch
    from flambeau import nn
    from flambeau.nn.utils.rnn import pack_padded_sequence, pad_sequence
    from flambeau.utils.data import DataLoader

KINDS = ("English", "rot13", "shuffled", "Python")
LETTERS = "\0abcdefghijklmnopqrstuvwxyz .,()_=:"


def snippets(count):
    """(text, number of its kind), as many of each kind."""
    rng = random.Random(options.seed)
    prose = [t for _, t in sorted(pydoc_data.topics.topics.items())]
    words = re.sub(r"[^a-z ]+", " ", " ".join(prose).lower()).split()
    code = re.sub(r"\s+", " ", inspect.getsource(argparse).lower())
    found = []
    for i in range(count):
        kind, length = i % len(KINDS), rng.randint(20, 48)
        if KINDS[kind] == "Python":
            start = rng.randrange(len(code) - length)
            text = code[start:start + length]
        else:
            start = rng.randrange(len(words) - length)
            chosen = words[start:start + length]
            if KINDS[kind] == "shuffled":
                chosen = ["".join(rng.sample(w, len(w))) for w in chosen]
            text = " ".join(chosen)[:length]
            if KINDS[kind] == "rot13":
                text = codecs.encode(text, "rot13")
        found.append((text, kind))
    rng.shuffle(found)
    return found


def numbers(text):
    """A text as numbers of letters."""
    return torch.tensor([max(LETTERS.find(c), 0) for c in text])


def batch_of(pairs):
    """Padded letters (time, batch), lengths and kinds; longest first."""
    pairs = sorted(pairs, key=lambda p: -len(p[0]))
    letters = [numbers(text) for text, _ in pairs]
    return (pad_sequence(letters), torch.tensor([len(t) for t in letters]),
            torch.tensor([kind for _, kind in pairs]))


class Reader(nn.Module):
    """Letters to vectors, an LSTM, its last state to kinds."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(len(LETTERS), 24)
        self.lstm = nn.LSTM(24, options.hidden)
        self.out = nn.Linear(options.hidden, len(KINDS))

    def forward(self, letters, lengths):
        _, (last, _) = self.lstm(pack_padded_sequence(self.embedding(letters), lengths))
        return self.out(last[-1])


def main():
    """Train, test, and show some snippets with what the network says."""
    torch.manual_seed(options.seed)
    data = snippets(options.snippets + 400)
    loader = DataLoader(data[400:], options.batch, shuffle=True, collate_fn=batch_of)
    model = Reader()
    optimizer = torch.optim.Adam(model.parameters(), lr=options.lr)
    steps, begin = 0, time.perf_counter()
    for epoch in range(options.epochs):
        total = 0.0
        for letters, lengths, kinds in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(letters, lengths), kinds)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total += loss.item()
            steps += 1
        print(f"epoch {epoch + 1:2d}  loss {total / len(loader):.4f}", flush=True)
    seconds = time.perf_counter() - begin
    print(f"{steps} steps in {seconds:.1f} s, {1e3 * seconds / steps:.2f} ms per step")

    model.eval()
    with torch.no_grad():
        found = [model(*batch_of([pair])[:2]).argmax(1).item() for pair in data[:12]]
        letters, lengths, kinds = batch_of(data[:400])
        accuracy = (model(letters, lengths).argmax(1) == kinds).float().mean().item()
    print(f"test accuracy {100 * accuracy:.2f} %")
    for (text, kind), guess in zip(data, found, strict=False):
        print(f"  {text:50}{KINDS[guess]:10}{'' if guess == kind else 'wrong: ' + KINDS[kind]}")


if __name__ == "__main__":
    main()
