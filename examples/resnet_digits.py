"""A residual network for handwritten digits: an ordinary PyTorch program.

    python examples/resnet_digits.py                      # runs on flambeau
    python examples/resnet_digits.py --framework torch    # the same file on PyTorch

Blocks as in He et al., 2015, on scikit-learn's 8 x 8 digits, shifted at random while training.
"""

import argparse
import time

from sklearn.datasets import load_digits

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--framework", choices=("flambeau", "torch"), default="flambeau",
                    help="what `torch` is in this program (default: flambeau)")
parser.add_argument("--epochs", type=int, default=8, help="passes over the data (default: 8)")
parser.add_argument("--batch", type=int, default=64, help="digits per step (default: 64)")
parser.add_argument("--width", type=int, default=16,
                    help="channels of the first stage (default: 16)")
parser.add_argument("--lr", type=float, default=0.1, help="highest learning rate (default: 0.1)")
parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
options = parser.parse_args()

if options.framework == "torch":
    import torch
    from torch import nn
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, TensorDataset
else:
    import flambeau as torch
    from flambeau import nn
    from flambeau.nn import functional as F
    from flambeau.utils.data import DataLoader, TensorDataset


class Block(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, inputs, outputs, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.around = nn.Identity() if stride == 1 and inputs == outputs else nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.around(x))


def resnet(width):
    """Three stages of two blocks, each stage half the size and twice the channels."""
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
        Block(width, width), Block(width, width),
        Block(width, 2 * width, 2), Block(2 * width, 2 * width),
        Block(2 * width, 4 * width, 2), Block(4 * width, 4 * width),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, 10))


def load_data():
    """Training and test digits: images (n, 1, 8, 8) in [0, 1] and labels."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(digits.target)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(3))
    train, test = order[:1437], order[1437:]
    return (images[train], labels[train]), (images[test], labels[test])


def shifted(images):
    """All images of a batch moved by up to one pixel."""
    across, down = torch.randint(0, 3, (2,)).tolist()
    return F.pad(images, (1, 1, 1, 1))[:, :, down:down + 8, across:across + 8]


def main():
    """Train, test, show what is mistaken for what."""
    torch.manual_seed(options.seed)
    data, (images, labels) = load_data()
    loader = DataLoader(TensorDataset(*data), options.batch, shuffle=True, drop_last=True)
    model = resnet(options.width)
    print(f"{sum(p.numel() for p in model.parameters())} parameters")
    optimizer = torch.optim.SGD(model.parameters(), lr=options.lr, momentum=0.9, nesterov=True,
                                weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.lr,
                                                   options.epochs * len(loader))
    steps, begin = 0, time.perf_counter()
    for epoch in range(options.epochs):
        model.train()
        total = 0.0
        for x, y in loader:
            loss = F.cross_entropy(model(shifted(x)), y, label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
            steps += 1
        model.eval()
        with torch.no_grad():
            found = model(images).argmax(1)
        print(f"epoch {epoch + 1:2d}  loss {total / len(loader):.4f}  "
              f"test accuracy {100 * (found == labels).float().mean().item():.2f} %", flush=True)
    seconds = time.perf_counter() - begin
    print(f"{steps} steps in {seconds:.1f} s, {1e3 * seconds / steps:.2f} ms per step")
    print("\nfound in columns, true in rows")
    table = torch.bincount(labels * 10 + found, minlength=100).view(10, 10)
    for digit, row in enumerate(table.tolist()):
        print(f"{digit} " + "".join(f"{n or '.':>4}" for n in row))


if __name__ == "__main__":
    main()
