"""Derive the polynomial coefficients of the vector mathematics (flambeau/codegen/coefficients.py).

Run ``python tools/fit_coefficients.py`` to rewrite that file; needs mpmath (development only).

Each polynomial is a weighted minimax fit (Remez's exchange on a dense grid, 50 digits); the degree
is the smallest whose error is below the target. The forms keep the leading term exact
(``r + r^2 p``), so that rounding the coefficients is not felt.
"""

from __future__ import annotations

import math
import pathlib
from dataclasses import dataclass
from itertools import pairwise

import mpmath as mp
import numpy as np

mp.mp.dps = 50
#: the first fifteen bits of ln 2
LN2 = 0.693145751953125
OUT = pathlib.Path(__file__).parent.parent / "flambeau" / "codegen" / "coefficients.py"


@dataclass
class Fit:
    """What to fit: ``sum c[k] z**k ~ f(z)`` on [lo, hi]; the error counts ``weight(z) * err``."""

    name: str
    note: str
    f: object
    weight: object
    lo: object
    hi: object
    bits: int
    target: float
    start: int = 3


def remez(values, weights, grid, n):
    """The n coefficients that minimise max |w (f - p)| over the grid, and that error."""
    at = [(len(grid) - 1) * k // n for k in range(n + 1)]  # the grid is dense at its ends
    best = None
    table = [[z ** p for p in range(n)] for z in grid]
    for _ in range(40):
        a = mp.matrix(n + 1, n + 1)
        y = mp.matrix(n + 1, 1)
        for row, i in enumerate(at):
            for col in range(n):
                a[row, col] = table[i][col] * weights[i]
            a[row, n] = (-1) ** row
            y[row] = values[i] * weights[i]
        solution = mp.lu_solve(a, y)
        c = [solution[k] for k in range(n)]
        err = [w * (r - mp.fdot(c, t)) for w, r, t in zip(weights, values, table, strict=True)]
        size = max(abs(e) for e in err)
        if best is None or size < best[1]:
            best = (c, size)
        if size <= abs(solution[n]) * mp.mpf("1.002"):
            break
        at = extrema(err, n + 1)
    return best


def extrema(err, count):
    """Grid numbers of ``count`` alternating extremes of the error, the largest ones."""
    runs: list[int] = []
    for i, e in enumerate(err):
        if runs and (e > 0) == (err[runs[-1]] > 0):
            if abs(e) > abs(err[runs[-1]]):
                runs[-1] = i
        else:
            runs.append(i)
    while len(runs) > count:
        if abs(err[runs[0]]) < abs(err[runs[-1]]):
            runs.pop(0)
        else:
            runs.pop()
    while len(runs) < count:  # too few sign changes: spread the missing ones
        gaps = [(b - a, k) for k, (a, b) in enumerate(pairwise(runs))]
        width, k = max(gaps)
        runs.insert(k + 1, runs[k] + width // 2)
    return runs


def rounded(x, bits):
    """``x`` to the nearest float32 (24) or float64 (53)."""
    return mp.mpf(float(np.float32(float(x)))) if bits == 24 else mp.mpf(float(x))


def solve(fit: Fit) -> tuple[list, float]:
    """The rounded coefficients of a fit and its weighted error."""
    size = 400
    middle, half = (fit.lo + fit.hi) / 2, (fit.hi - fit.lo) / 2
    grid = [middle - half * mp.cos(mp.pi * (k + mp.mpf(1) / 2) / size) for k in range(size)]
    values = [fit.f(z) for z in grid]
    weights = [abs(fit.weight(z)) for z in grid]
    degree = fit.start
    while True:
        c, err = remez(values, weights, grid, degree + 1)
        if err < fit.target:
            break
        degree += 1
    return [rounded(x, fit.bits) for x in c], float(err)


def fits() -> list[Fit]:
    """All polynomials: float32 ones to about 2**-27, float64 ones to about 2**-57."""
    one, half = mp.mpf(1), mp.mpf(1) / 2
    r = mp.log(2) / 2 * mp.mpf("1.02")
    quarter = (mp.pi / 4 * mp.mpf("1.01")) ** 2
    s = (mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)
    sq = mp.sqrt
    f32, f64 = 2.0 ** -28, 2.0 ** -57.5

    def even(g):
        return lambda z: g(sq(z))

    out = []
    for bits, goal in ((24, f32), (53, f64)):
        out += [
            Fit(f"EXP{'32' if bits == 24 else '64'}", "expm1(r) = r + r^2 p(r), |r| <= ln(2)/2",
                lambda t: (mp.expm1(t) - t) / t ** 2, lambda t: t, -r, r, bits, goal * 4),
            Fit(f"SIN{'32' if bits == 24 else '64'}", "sin(t) = t + t z p(z), z = t^2, |t| <= pi/4",
                even(lambda t: (mp.sin(t) - t) / t ** 3), even(lambda t: t ** 3 / mp.sin(t)),
                mp.mpf(0), quarter, bits, goal),
            Fit(f"COS{'32' if bits == 24 else '64'}", "cos(t) = 1 - z/2 + z^2 p(z), z = t^2",
                even(lambda t: (mp.cos(t) - 1 + t * t / 2) / t ** 4), even(lambda t: t ** 4),
                mp.mpf(0), quarter, bits, goal),
            Fit(f"ERF{'32' if bits == 24 else '64'}", "erf(x) = x + x p(z), z = x^2, |x| <= 1",
                even(lambda t: mp.erf(t) / t - 1), even(lambda t: t / mp.erf(t)),
                mp.mpf(0), one, bits, goal),
        ]
    out += [
        Fit("EXP_SHORT32", "expm1(r) = r + r^2 p(r), |r| <= ln(2)/32",
            lambda t: (mp.expm1(t) - t) / t ** 2, lambda t: t ** 2, -r / 16, r / 16, 24,
            f32 / 2, 1),
        Fit("LOG32", "log(1+f) = f - f^2/2 + f^3 p(f), f in [sqrt(1/2)-1, sqrt(2)-1]",
            lambda t: (mp.log1p(t) - t + t * t / 2) / t ** 3, lambda t: t ** 3 / mp.log1p(t),
            (sq(half) - 1) * mp.mpf("1.01"), (sq(2) - 1) * mp.mpf("1.01"), 24, f32),
        Fit("LOGERFC32", "erfc(x) = exp(p(x)), 1 <= x <= 4, absolute error",
            lambda t: mp.log(mp.erfc(t)), mp.erfc, mp.mpf("0.98"), mp.mpf(4), 24, f32 * 2),
        Fit("LOG64", "log(1+f) = 2 s + s z p(z), s = f/(2+f), z = s^2",
            even(lambda t: (mp.log((1 + t) / (1 - t)) / t - 2) / t ** 2), lambda z: z / 2,
            mp.mpf(0), s * s * mp.mpf("1.01"), 53, f64),
        Fit("POWLOG64", "atanh(s)/s = 1 + z/3 + z^2 p(z), z = s^2",
            even(lambda t: (mp.log((1 + t) / (1 - t)) / (2 * t) - 1 - t * t / 3) / t ** 4),
            lambda z: z * z, mp.mpf(0), s * s * mp.mpf("1.01"), 53, 2.0 ** -69),
        Fit("ATAN64", "atan(t) = t + t z p(z), z = t^2, |t| <= tan(pi/8)",
            even(lambda t: (mp.atan(t) / t - 1) / t ** 2), lambda z: z,
            mp.mpf(0), (sq(2) - 1) ** 2 * mp.mpf("1.01"), 53, f64),
        Fit("ASIN64", "asin(t) = t + t z p(z), z = t^2, |t| <= 1/2",
            even(lambda t: (mp.asin(t) / t - 1) / t ** 2), lambda z: z,
            mp.mpf(0), mp.mpf("0.2525"), 53, f64),
        Fit("ERFCX64", "erfc(a) = exp(-a^2) p(q) / (1 + 2a), q = (a - 3)/(a + 3), a in [0.4, 27.5]",
            erfcx_of, lambda q: one, (mp.mpf("0.4") - 3) / mp.mpf("3.4"),
            mp.mpf("24.5") / mp.mpf("30.5"), 53, f64 * 2, 16),
    ]
    return out


def erfcx_of(q):
    """(1 + 2a) exp(a^2) erfc(a) with a = 3 (1+q)/(1-q)."""
    a = 3 * (1 + q) / (1 - q)
    return (1 + 2 * a) * mp.exp(a * a) * mp.erfc(a)


def pieces(f, width, count: int, relative: bool, degree: int = 3) -> tuple[list[list], float]:
    """f(c + t) = f(c) + t p(t), |t| <= width/2, around the centres c = k width, k below ``count``.

    Rows of 32 columns: f(c), then p's coefficients, lowest first. From ``count`` on f is constant,
    so that whatever lies beyond may be put there; zeros have f's sign.
    """
    columns, worst, half = [], 0.0, width / 2 * mp.mpf("1.001")
    for k in range(count):
        centre = k * width
        start = f(centre)

        def slope(t, c=centre, start=start):
            return (f(c + t) - start) / t

        def weight(t, c=centre):
            return t / f(c + t) if relative else t
        p, err = solve(Fit("", "", slope, weight, -half if k else mp.mpf(0), half, 24, 1, degree))
        columns.append([rounded(start, 24), *p])
        worst = max(worst, err)
    far = np.float32(float(f(mp.mpf(40))))
    columns += [[far] + [np.copysign(0.0, far)] * (degree + 1)] * (32 - count)
    return [list(row) for row in zip(*columns, strict=True)], worst


def table_lines(numbers, indent: str) -> list[str]:
    """Numbers as text, five a line."""
    text = [f"{float(x):.9g}" for x in numbers]
    text = ["-0.0" if x == "-0" else x for x in text]
    return [indent + ", ".join(text[k:k + 5]) + "," for k in range(0, len(text), 5)]


def main() -> None:
    """Write the coefficients file."""
    lines = ['"""Polynomial coefficients, lowest power first; written by '
             "tools/fit_coefficients.py.", "",
             "The note says what is approximated; ``err`` is the largest weighted error of the "
             "fit.", '"""', "", "from __future__ import annotations"]
    for fit in fits():
        c, err = solve(fit)
        print(fit.name, len(c), f"2^{float(mp.log(err, 2)):.1f}", flush=True)
        text = [repr(float(x)) for x in c] if fit.bits == 53 else [f"{float(x):.9g}" for x in c]
        lines += ["", f"#: {fit.note}; err 2^{float(mp.log(err, 2)):.1f}", f"{fit.name} = ("]
        lines += [f"    {x}," for x in text] + [")"]
    eighth = mp.mpf(1) / 8
    for name, note, f, width, count, relative, degree in (
            ("ERF_TABLE32", "erf(a), a < 3.9375, centres k/8", mp.erf, eighth, 31, True, 3),
            ("TANH_TABLE32", "tanh(8 a / 7), a < 7.875, centres k/4",
             lambda a: mp.tanh(8 * a / 7), 2 * eighth, 31, True, 4),
            ("GELU_TABLE32", "-erfc(a / sqrt(2)) / 2, a < 7.875, centres k/4",
             lambda a: -mp.erfc(a / mp.sqrt(2)) / 2, 2 * eighth, 31, False, 3)):
        rows, err = pieces(f, width, count, relative, degree)
        bits = f"2^{float(mp.log(err, 2)):.1f}"
        print(name, len(rows), bits)
        lines += ["", f"#: {note}; column k is the polynomial of a less its",
                  f"#: centre, lowest power first; err {bits}", f"{name} = ("]
        for row in rows:
            lines += ["    (", *table_lines(row, " " * 8), "    ),"]
        lines += [")"]
    powers = [mp.mpf(2) ** (mp.mpf(j) / 16) for j in range(16)]
    near = [rounded(x, 24) for x in powers]
    lost = [x / y - 1 for x, y in zip(powers, near, strict=True)]
    lines += ["", "#: 2**(j/16)", "POWERS_OF_TWO32 = (", *table_lines(near, " " * 4), ")",
              "", "#: what rounding took from them, in proportion", "POWERS_LOST32 = (",
              *table_lines(lost, " " * 4), ")",
              "", "#: ln 2 in two parts; whole multiples of the first by any exponent are exact",
              f"LN2_32 = ({LN2!r}, {math.log(2) - LN2!r})"]
    OUT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
