"""A line search for the strong Wolfe conditions (Nocedal and Wright, algorithms 3.5 and 3.6).

Trial points come from cubic interpolation with the safeguards of minFunc, which PyTorch follows
too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..tensor import Tensor


@dataclass
class Point:
    """A place on the line: step length, value, gradient there, and slope along the line."""

    t: float
    value: float
    grad: Tensor
    slope: float


def cubic_minimum(a: Point, b: Point, low: float, high: float) -> float:
    """Where the cubic through two points with their slopes is least, kept within [low, high]."""
    if a.t > b.t:
        a, b = b, a
    with np.errstate(all="ignore"):  # a straight line: infinity, which is limited
        d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.t - b.t)
        square = d1 * d1 - a.slope * b.slope
        if not square >= 0:
            return (low + high) / 2.0
        d2 = np.sqrt(square)
        t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
    return min(max(t, low), high)


def strong_wolfe(evaluate: Callable[[float], Point], start: Point, t: float, direction_size: float,
                 *, c1: float = 1e-4, c2: float = 0.9, tolerance: float = 1e-9,
                 max_steps: int = 25) -> tuple[Point, int]:
    """A point with enough descent and a small enough slope.

    Args:
        evaluate: value, gradient and slope at a step length.
        start: the point at step length 0.
        t: the first step length to try.
        direction_size: largest component of the direction; brackets shorter than
            ``tolerance / direction_size`` are not divided further.
        max_steps: evaluations after the first.

    Returns:
        The point and the number of evaluations.
    """
    def too_high(p: Point) -> bool:
        return p.value > start.value + c1 * p.t * start.slope

    def flat(p: Point) -> bool:
        return abs(p.slope) <= -c2 * start.slope

    before, now = start, evaluate(t)
    evaluations, steps = 1, 0
    bracket = None
    while steps < max_steps:
        if too_high(now) or (steps > 1 and now.value >= before.value):
            bracket = [before, now]
            break
        if flat(now):
            return now, evaluations
        if now.slope >= 0:
            bracket = [before, now]
            break
        t = cubic_minimum(before, now, now.t + 0.01 * (now.t - before.t), now.t * 10)
        before, now = now, evaluate(t)
        evaluations += 1
        steps += 1
    if bracket is None:
        bracket = [start, now]
    return _zoom(evaluate, bracket, too_high, flat, direction_size, tolerance, evaluations,
                 max_steps - steps)


def _zoom(evaluate, bracket, too_high, flat, direction_size, tolerance, evaluations, steps):
    """Shrink a bracket around an acceptable point until one is found."""
    slow = False  # the last trial point lay close to an end
    low = 0 if bracket[0].value <= bracket[1].value else 1
    for _ in range(steps):
        left, right = sorted(p.t for p in bracket)
        if (right - left) * direction_size < tolerance:
            break
        t = cubic_minimum(bracket[0], bracket[1], left, right)
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            if slow or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                slow = False
            else:
                slow = True
        else:
            slow = False
        now = evaluate(t)
        evaluations += 1
        if too_high(now) or now.value >= bracket[low].value:
            bracket[1 - low] = now
            low = 0 if bracket[0].value <= bracket[1].value else 1
            continue
        if flat(now):
            bracket[low] = now
            break
        if now.slope * (bracket[1 - low].t - bracket[low].t) >= 0:
            bracket[1 - low] = bracket[low]
        bracket[low] = now
    return bracket[low], evaluations
