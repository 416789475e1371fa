"""Fine-tuning in two stages: freeze, then unfreeze with two learning rates.

    python examples/finetune.py                      # runs on flambeau
    python examples/finetune.py --framework torch    # the same file on PyTorch

A network learns the digits 0 to 4. Its features then serve for 5 to 9, of which only a few are
given: first only a new last layer is trained, then everything, the features carefully. The same few
digits from scratch are the comparison.
"""

import argparse
import tempfile
import time
from pathlib import Path

from sklearn.datasets import load_digits

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--framework", choices=("flambeau", "torch"), default="flambeau",
                    help="what `torch` is in this program (default: flambeau)")
parser.add_argument("--epochs", type=int, default=20, help="of the first training (default: 20)")
parser.add_argument("--few", type=int, default=50, help="digits to fine-tune with (default: 50)")
parser.add_argument("--lr", type=float, default=1e-3, help="Adam's learning rate (default: 0.001)")
parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
options = parser.parse_args()

if options.framework == "torch":
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset
else:
    import flambeau as torch
    from flambeau import nn
    from flambeau.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    """Features and a head of five classes."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 16, 64), nn.ReLU())
        self.head = nn.Linear(64, 5)

    def forward(self, x):
        return self.head(self.features(x))


def load_data():
    """((images, labels) of 0 to 4, (images, labels - 5) of 5 to 9), shuffled."""
    digits = load_digits()
    order = torch.randperm(len(digits.target), generator=torch.Generator().manual_seed(3))
    images = (torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16)[order]
    labels = torch.tensor(digits.target)[order]
    low = labels < 5
    return (images[low], labels[low]), (images[~low], labels[~low] - 5)


class Counter:
    """Steps and seconds of all trainings."""

    steps, seconds = 0, 0.0


def train(name, model, data, optimizer, epochs):
    """Train and print some losses."""
    loader = DataLoader(TensorDataset(*data), batch_size=32, shuffle=True)
    begin = time.perf_counter()
    for epoch in range(epochs):
        total = 0.0
        for images, labels in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.item()
            Counter.steps += 1
        if epoch in (0, epochs - 1) or (epoch + 1) % 10 == 0:
            print(f"{name:12} epoch {epoch + 1:3d}  loss {total / len(loader):.4f}", flush=True)
    Counter.seconds += time.perf_counter() - begin


@torch.no_grad()
def accuracy(model, data):
    """Percent of right answers."""
    return 100 * (model(data[0]).argmax(1) == data[1]).float().mean().item()


def main():
    """Train, save, load, freeze, unfreeze, compare."""
    torch.manual_seed(options.seed)
    low, high = load_data()
    few = tuple(t[:options.few] for t in high)
    test = tuple(t[options.few:] for t in high)

    first = Net()
    train("0 to 4", first, low, torch.optim.Adam(first.parameters(), lr=options.lr), options.epochs)
    with tempfile.TemporaryDirectory() as folder:
        torch.save(first.state_dict(), Path(folder, "first.pt"))
        weights = torch.load(Path(folder, "first.pt"))

    model = Net()
    kept = {k: v for k, v in weights.items() if k.startswith("features.")}
    print("loaded features;", model.load_state_dict(kept, strict=False))
    model.features.requires_grad_(False)
    train("head only", model, few, torch.optim.Adam(model.head.parameters(), lr=1e-2), 40)
    head_only = accuracy(model, test)
    assert all(torch.equal(model.state_dict()[k], v) for k, v in kept.items())

    model.features.requires_grad_(True)
    groups = [{"params": model.features.parameters(), "lr": 3e-4},
              {"params": model.head.parameters(), "lr": 3e-3}]
    train("everything", model, few, torch.optim.AdamW(groups, weight_decay=0.01), 40)

    fresh = Net()
    train("from scratch", fresh, few, torch.optim.Adam(fresh.parameters(), lr=options.lr), 80)
    print(f"{Counter.steps} steps in {Counter.seconds:.1f} s, "
          f"{1e3 * Counter.seconds / Counter.steps:.2f} ms per step")
    print(f"\n5 to 9 from {options.few} digits, tested on {len(test[1])}:")
    for name, value in (("head only", head_only), ("then everything", accuracy(model, test)),
                        ("from scratch", accuracy(fresh, test))):
        print(f"  {name:16}{value:6.2f} %  {'#' * round(value / 2)}")


if __name__ == "__main__":
    main()
