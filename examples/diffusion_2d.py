"""Diffusion in the plane: noise turns into two moons, as an ordinary PyTorch program.

    python examples/diffusion_2d.py --plot moons.png         # runs on flambeau
    python examples/diffusion_2d.py --framework torch        # the same file on PyTorch

A small network learns to say which noise was added to a point (Ho et al., 2020, "Denoising
Diffusion Probabilistic Models"); going backwards from pure noise then draws new points. The figure
needs matplotlib; a picture made of letters is printed always.
"""

import argparse
import copy
import math
import time

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--framework", choices=("flambeau", "torch"), default="flambeau",
                    help="what `torch` is in this program (default: flambeau)")
parser.add_argument("--steps", type=int, default=3000, help="training steps (default: 3000)")
parser.add_argument("--batch", type=int, default=256, help="points per step (default: 256)")
parser.add_argument("--width", type=int, default=64, help="size of the network (default: 64)")
parser.add_argument("--levels", type=int, default=60, help="levels of noise (default: 60)")
parser.add_argument("--lr", type=float, default=3e-3, help="Adam's learning rate (default: 0.003)")
parser.add_argument("--samples", type=int, default=2000, help="points to draw (default: 2000)")
parser.add_argument("--plot", metavar="FILE", help="write a figure, with matplotlib")
parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
options = parser.parse_args()

if options.framework == "torch":
    import torch
    from torch import nn
else:
    import flambeau as torch
    from flambeau import nn


def moons(count):
    """Points (count, 2) on two half circles that reach into each other."""
    angle = math.pi * torch.rand(count)
    upper = (torch.rand(count) < 0.5).float()
    x = torch.cos(angle) * (2 * upper - 1) + (1 - upper) - 0.5
    y = torch.sin(angle) * (2 * upper - 1) + 0.5 * (1 - upper) - 0.25
    return torch.stack([x, y], 1) + 0.05 * torch.randn(count, 2)


class Denoiser(nn.Module):
    """(points, level) to the noise in the points."""

    def __init__(self, width):
        super().__init__()
        self.register_buffer("rates", torch.exp(torch.linspace(0, math.log(30.0), 8)))
        self.net = nn.Sequential(nn.Linear(18, width), nn.SiLU(),
                                 nn.Linear(width, width), nn.SiLU(),
                                 nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2))

    def forward(self, points, level):
        angles = (level / options.levels)[:, None] * self.rates
        return self.net(torch.cat([points, angles.sin(), angles.cos()], 1))


BETA = torch.linspace(1e-3, 0.2, options.levels)
KEPT = torch.cumprod(1 - BETA, 0)


@torch.no_grad()
def draw(model, count):
    """Points (count, 2) from noise, level by level."""
    points = torch.randn(count, 2)
    for level in reversed(range(options.levels)):
        noise = model(points, torch.full((count,), float(level)))
        points = points - BETA[level] / (1 - KEPT[level]).sqrt() * noise
        points = points / (1 - BETA[level]).sqrt()
        if level:
            points = points + BETA[level].sqrt() * torch.randn(count, 2)
    return points


def picture(points, rows=18, columns=64):
    """How many points are where, in letters."""
    column = ((points[:, 0] + 2) / 4 * columns).long().clamp(0, columns - 1)
    row = ((1.2 - points[:, 1]) / 2.4 * rows).long().clamp(0, rows - 1)
    counts = torch.bincount(row * columns + column, minlength=rows * columns).view(rows, columns)
    return "\n".join("".join(" .:+*#@"[min(6, -(-n // 2))] for n in r) for r in counts.tolist())


def distance(a, b):
    """Energy distance of two sets of points: 0 when they are spread alike."""
    return (2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean()
            - torch.cdist(b, b).mean()).item()


def main():
    """Train, draw, show."""
    torch.manual_seed(options.seed)
    model = Denoiser(options.width)
    average = copy.deepcopy(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=options.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, options.steps)
    every, total, begin = max(1, options.steps // 8), 0.0, time.perf_counter()
    for step in range(1, options.steps + 1):
        points = moons(options.batch)
        level = torch.randint(options.levels, (options.batch,))
        noise = torch.randn(options.batch, 2)
        kept = KEPT[level][:, None]
        found = model(kept.sqrt() * points + (1 - kept).sqrt() * noise, level.float())
        loss = nn.functional.mse_loss(found, noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            for a, p in zip(average.parameters(), model.parameters(), strict=True):
                a.lerp_(p, 0.01)
        total += loss.item()
        if step % every == 0:
            print(f"step {step:5d}  loss {total / every:.4f}", flush=True)
            total = 0.0
    seconds = time.perf_counter() - begin
    print(f"{options.steps} steps in {seconds:.1f} s, "
          f"{1e3 * seconds / options.steps:.2f} ms per step")
    points, real = draw(average, options.samples), moons(options.samples)
    print(picture(points))
    print(f"distance to real moons {distance(points, real):.4f} "
          f"(noise: {distance(torch.randn(options.samples, 2), real):.4f})")
    if options.plot:
        from matplotlib import pyplot as plt

        figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharex=True, sharey=True)
        for axis, name, xy in zip(axes, ("real", "drawn"), (real, points), strict=True):
            axis.scatter(xy[:, 0].numpy(), xy[:, 1].numpy(), s=3)
            axis.set_title(name)
        figure.savefig(options.plot)
        print(f"wrote {options.plot}")


if __name__ == "__main__":
    main()
