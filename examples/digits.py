"""Handwritten digits: an MLP, then a small CNN, as an ordinary PyTorch program.

    python examples/digits.py                      # runs on flambeau
    python examples/digits.py --framework torch    # the same file on PyTorch

Each network is trained on scikit-learn's 8 x 8 digits, tested, saved, and loaded again by a fresh
process that predicts the test set. Both frameworks print the same losses for the same seed.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from sklearn.datasets import load_digits

try:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
except ImportError:  # plain text then
    Console = None

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--framework", choices=("flambeau", "torch"), default="flambeau",
                    help="what `torch` is in this program (default: flambeau)")
parser.add_argument("--model", choices=("mlp", "cnn", "both"), default="both",
                    help="which network to train (default: both, one after the other)")
parser.add_argument("--epochs", type=int, default=30, help="passes over the data (default: 30)")
parser.add_argument("--batch", type=int, default=32, help="digits per step (default: 32)")
parser.add_argument("--lr", type=float, default=1e-3, help="Adam's learning rate (default: 0.001)")
parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
parser.add_argument("--folder", type=Path, default=Path("."),
                    help="where checkpoints are written (default: here)")
parser.add_argument("--predict", type=Path, metavar="CHECKPOINT",
                    help="only load this checkpoint and predict the test digits")
options = parser.parse_args()

if options.framework == "torch":
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset
else:
    import flambeau as torch
    from flambeau import nn
    from flambeau.utils.data import DataLoader, TensorDataset


class MLP(nn.Module):
    """64 pixels, two hidden layers, 10 classes."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(),
                                    nn.Linear(128, 10))

    def forward(self, x):
        return self.layers(x.flatten(1))


class CNN(nn.Module):
    """Two convolutions, a pooling and a classifier."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.classifier = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(32 * 4 * 4, 10))

    def forward(self, x):
        return self.classifier(self.features(x))


MODELS = {"mlp": MLP, "cnn": CNN}


def load_data():
    """Training and test digits: images (n, 1, 8, 8) in [0, 1] and labels."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(digits.target)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(3))
    train, test = order[:1437], order[1437:]
    return (images[train], labels[train]), (images[test], labels[test])


def predict(model, images):
    """The most likely digit of each image."""
    model.eval()
    with torch.no_grad():
        return model(images).argmax(1)


def epochs_of(name):
    """The epochs to run, and a function that reports one: a bar with rich, else lines of text."""
    if Console is None or not sys.stdout.isatty():
        def say(epoch, text):
            if epoch % 5 == 0 or epoch in (0, options.epochs - 1):
                print(f"{name} epoch {epoch + 1:3d}  {text}", flush=True)

        yield from ((epoch, say) for epoch in range(options.epochs))
        return
    with Progress(TextColumn(name), BarColumn(), TextColumn("{task.completed}/{task.total}"),
                  TextColumn("{task.description}")) as progress:
        task = progress.add_task("", total=options.epochs)
        for epoch in range(options.epochs):
            yield epoch, lambda epoch, text: progress.update(task, advance=1, description=text)


def train(name, data):
    """Train a network from scratch; print the losses and the time per step."""
    torch.manual_seed(options.seed)
    model = MODELS[name]()
    loader = DataLoader(TensorDataset(*data), batch_size=options.batch, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=options.lr)
    criterion = nn.CrossEntropyLoss()
    steps, begin = 0, time.perf_counter()
    for epoch, report in epochs_of(name):
        model.train()
        total = 0.0
        for images, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.item()
            steps += 1
        report(epoch, f"loss {total / len(loader):.4f}")
    seconds = time.perf_counter() - begin
    print(f"{name}: {steps} steps in {seconds:.1f} s, {1e3 * seconds / steps:.2f} ms per step")
    return model


def save(name, model, accuracy):
    """Write a checkpoint; returns its path."""
    path = options.folder / f"digits-{name}.pt"
    torch.save({"model": name, "state": model.state_dict(), "accuracy": accuracy}, path)
    return path


def restored(path):
    """What a fresh process does: rebuild the network from the checkpoint and predict."""
    checkpoint = torch.load(path)
    model = MODELS[checkpoint["model"]]()
    model.load_state_dict(checkpoint["state"])
    _, (images, labels) = load_data()
    found = predict(model, images)
    accuracy = (found == labels).float().mean().item()
    print(f"{checkpoint['model']} from {path.name}: test accuracy {100 * accuracy:.2f} % "
          f"(was {100 * checkpoint['accuracy']:.2f} %)")
    print("  first digits", *labels[:12].tolist())
    print("  predicted   ", *found[:12].tolist())
    return accuracy == checkpoint["accuracy"]


def main():
    """Train, test, save, predict in a fresh process; then show what was compiled."""
    if options.predict:
        sys.exit(0 if restored(options.predict) else "the loaded network predicts differently")
    data, (images, labels) = load_data()
    for name in MODELS if options.model == "both" else [options.model]:
        model = train(name, data)
        accuracy = (predict(model, images) == labels).float().mean().item()
        print(f"{name}: test accuracy {100 * accuracy:.2f} %")
        path = save(name, model, accuracy)
        subprocess.run([sys.executable, __file__, "--framework", options.framework,
                        "--predict", path], check=True)
    if options.framework == "flambeau":
        print("\nWhat flambeau compiled (see docs/debugging.md):", flush=True)
        print(torch.debug.compiled())


if __name__ == "__main__":
    main()
