"""Accuracy and special values of the vector mathematics, for every vector kind of this machine."""

from __future__ import annotations

import functools

import mpmath as mp
import numpy as np
import pytest
from scalar_kit import FLOATS, Kernels

from flambeau.codegen import host

KINDS = host.available_kinds()
SAMPLES, DENSE = 1200, 60_000
TYPES = {"f32": np.float32, "f64": np.float64}

# name: (mpmath reference, NumPy reference or None, ranges); "log a b" is exp(uniform(a, b))
_WIDE = [(-10, 10), "log -30 60"]
_POSITIVE = [(0.3, 3), "+log -80 80"]
CASES = {
    "exp": (mp.exp, np.exp, [(-87, 88), "log -30 4"]),
    "exp_nonpositive": (mp.exp, np.exp, [(-87, 0)]),
    "exp2": (lambda x: mp.mpf(2) ** x, np.exp2, [(-125, 127), "log -30 4"]),
    "expm1": (mp.expm1, np.expm1, [(-30, 88), (-1, 1), "log -30 4"]),
    "log": (mp.log, np.log, _POSITIVE),
    "log2": (lambda x: mp.log(x, 2), np.log2, _POSITIVE),
    "log10": (mp.log10, np.log10, _POSITIVE),
    "log1p": (mp.log1p, np.log1p, [(-0.99, 3), "+log -30 80"]),
    "tanh": (mp.tanh, np.tanh, [(-12, 12), "log -30 3"]),
    "sigmoid": (lambda x: 1 / (1 + mp.exp(-x)), None, [(-87, 40), (-1, 1)]),
    "erf": (mp.erf, None, [(-5, 5), (0.9, 1.1), "log -30 2"]),
    "erfc": (mp.erfc, None, [(-5, 9), (0.3, 0.6)]),
    "gelu": (lambda x: x * mp.erfc(-x / mp.sqrt(2)) / 2, None, [(0, 9), "+log -30 2"]),
    "sin": (mp.sin, np.sin, [(-10, 10), (-1e5, 1e5), "log -30 80"]),
    "cos": (mp.cos, np.cos, [(-10, 10), (-1e5, 1e5), "log -30 80"]),
    "tan": (mp.tan, np.tan, [(-10, 10), (-1e5, 1e5), "log -30 80"]),
    "asin": (mp.asin, np.arcsin, [(-1, 1), "log -30 0"]),
    "acos": (mp.acos, np.arccos, [(-1, 1)]),
    "atan": (mp.atan, np.arctan, _WIDE),
    "sinh": (mp.sinh, np.sinh, [(-87, 87), (-2, 2), "log -30 3"]),
    "cosh": (mp.cosh, np.cosh, [(-87, 87)]),
    "asinh": (mp.asinh, np.arcsinh, _WIDE),
    "acosh": (mp.acosh, np.arccosh, [(1, 3), "+log 0 80"]),
    "atanh": (mp.atanh, np.arctanh, [(-1, 1), "log -30 0"]),
    "rsqrt": (lambda x: 1 / mp.sqrt(x), None, _POSITIVE),
    "reciprocal": (lambda x: 1 / x, None, _POSITIVE),
    "sqrt": (mp.sqrt, np.sqrt, _POSITIVE),
}
TWO = {
    "pow": (lambda x, y: x ** y, np.power),
    "atan2": (mp.atan2, np.arctan2),
    "fmod": (None, np.fmod),
}
LANES = (1, 2, 3, 4, 8, 16)
LIMIT = {"f32": 2.5, "f64": 4.0}
SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 1, -1, 2, -2, 0.5, -200,
                    1e30, -1e30, 100, 3.4e38, 710, -745.2, -90])


@functools.cache
def kernels(kind: str) -> Kernels:
    batch = Kernels(host.target(kind))
    for d, dtype in FLOATS.items():
        lanes = batch.target.lanes(4 if d != "f64" else 8)
        for name in [*CASES, "floor", "ceil", "round", "trunc"]:
            batch.add(name + d, lambda b, x, name=name: getattr(b, name)(x), (dtype,), lanes)
        for name in TWO:
            batch.add(name + d, lambda b, x, y, name=name: getattr(b, name)(x, y),
                      (dtype, dtype), lanes)
    batch.compile()
    return batch


def draw(ranges, count: int, seed: int) -> np.ndarray:
    """Arguments from the ranges, as many from each."""
    rng = np.random.default_rng(seed)
    parts = []
    for r in ranges:
        n = count // len(ranges)
        if isinstance(r, tuple):
            parts.append(rng.uniform(*r, n))
        else:
            a, b = map(float, r.split()[1:])
            sign = 1 if r[0] == "+" else rng.choice([-1, 1], n)
            parts.append(np.exp(rng.uniform(a, b, n)) * sign)
    return np.concatenate(parts)


@functools.cache
def exact(name: str, d: str):
    """Sample arguments and results to 30 digits."""
    with mp.workdps(60):
        reference = CASES[name][0]
        x = draw(CASES[name][2], SAMPLES, 1).astype(TYPES[d])
        if name in ("sin", "cos", "tan"):  # near multiples of pi/2, where the reduction cancels
            x = np.concatenate([x, (np.arange(1, 200) * 311 * np.pi / 2).astype(TYPES[d])])
        return x, [reference(mp.mpf(float(v))) for v in x]


def ulp(got: np.ndarray, want: list) -> np.ndarray:
    """Distance to the exact values in units of the last place of the result type."""
    t = got.dtype.type
    out = []
    for g, w in zip(got, want, strict=True):
        near = t(float(w))
        if np.isinf(near):
            out.append(0.0 if g == near else np.inf)
        else:
            out.append(float(abs(mp.mpf(float(g)) - w) / mp.mpf(float(np.spacing(abs(near))))))
    return np.array(out)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", TYPES)
@pytest.mark.parametrize("name", CASES)
def test_accuracy(name, d, kind):
    x, want = exact(name, d)
    error = ulp(kernels(kind).run(name + d, x), want)
    worst = int(error.argmax())
    limit = 4.0 if name in ("sin", "cos") else LIMIT[d]
    assert error[worst] <= limit, f"{name}({x[worst]!r}) is off by {error[worst]:.2f} ulp"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [n for n in CASES if CASES[n][1]])
def test_dense(name, kind):
    """Many float32 arguments against NumPy's float64; float64 loosely against longdouble."""
    for d, wide, limit in (("f32", np.float64, 2.5), ("f64", np.longdouble, 4.0)):
        x = draw(CASES[name][2], DENSE, 2).astype(TYPES[d])
        got = kernels(kind).run(name + d, x)
        with np.errstate(all="ignore"):
            want = CASES[name][1](x.astype(wide))
            unit = np.spacing(np.abs(want.astype(TYPES[d]))).astype(wide)
        error = np.abs(got.astype(wide) - want) / unit
        assert np.nanmax(error) <= limit, (name, d, x[np.nanargmax(error)])


def same(got: np.ndarray, want: np.ndarray, units: int = 2) -> np.ndarray:
    """Equal to a few units, signs of zeros and NaN included."""
    with np.errstate(all="ignore"):
        near = np.abs(got - want) <= units * np.spacing(np.abs(want))
        return (np.isnan(got) & np.isnan(want)) | (
            (np.signbit(got) == np.signbit(want)) & ((got == want) | near))


def numpy_of(name: str):
    if name == "sigmoid":
        return lambda x: np.where(x < 0, np.exp(x) / (1 + np.exp(x)), 1 / (1 + np.exp(-x)))
    if name in ("erf", "erfc"):
        return np.vectorize({"erf": mp.erf, "erfc": mp.erfc}[name], otypes=[float])
    if name == "gelu":
        return np.vectorize(lambda x: x * 0.5 * float(1 + mp.erf(x * 0.5**0.5)), otypes=[float])
    return {"rsqrt": lambda x: 1 / np.sqrt(x), "reciprocal": lambda x: 1 / x, "round": np.rint,
            "exp_nonpositive": np.exp}.get(name) or CASES.get(name, (0, getattr(np, name, None)))[1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [*CASES, "floor", "ceil", "round", "trunc"])
def test_special_values(name, kind):
    for d, t in TYPES.items():
        with np.errstate(all="ignore"):
            x = SPECIAL.astype(t)
            if name == "exp_nonpositive":
                x = x[~(x > 0)]
            if name in ("erf", "erfc"):  # mpmath has one zero
                x = x[x != 0]
            if name == "gelu":  # 1 + erf cancels; at inf PyTorch has NaN
                x = x[~(x < 0) & ~(x == np.inf)]
            want = numpy_of(name)(x.astype(np.float64)).astype(t)
        got = kernels(kind).run(name + d, x)
        good = same(got, want)
        assert good.all(), (name, d, x[~good], got[~good], want[~good])


@pytest.mark.parametrize("kind", KINDS)
def test_erf_between_pieces(kind):
    """Arguments halfway between two centres of the table, and their neighbours."""
    x = np.arange(0, 40, dtype=np.float32) / 8
    x = np.concatenate([np.nextafter(x, np.float32(s)) for s in (-9, 9)] + [x])
    want = [mp.erf(mp.mpf(float(v))) for v in x]
    assert ulp(kernels(kind).run("erff32", x), want).max() <= 2.5


@pytest.mark.parametrize("kind", KINDS)
def test_gelu_to_the_left(kind):
    """Below 0 the absolute error counts; far out the result is -0.0, at the end NaN."""
    x = np.concatenate([np.linspace(-12, 0, 2000), np.arange(-64, 1) / 8]).astype(np.float32)
    want = np.array([float(v * mp.erfc(-v / mp.sqrt(2)) / 2) for v in map(float, x)])
    got = kernels(kind).run("geluf32", x)
    assert np.abs(got - want).max() < 3e-7
    far = kernels(kind).run("geluf32", np.array([-100, -1e30, -0.0, -np.inf], np.float32))
    assert (far[:3] == 0).all() and np.signbit(far[:3]).all() and np.isnan(far[3])


@pytest.mark.parametrize("kind", KINDS)
def test_whole_numbers(kind):
    x = np.concatenate([np.arange(-20, 20) / 4, 2.0 ** np.arange(20, 30) + 0.5, [2**23 - 0.5],
                        -(2.0 ** np.arange(40, 60)) - 0.5])
    for name, reference in (("floor", np.floor), ("ceil", np.ceil), ("round", np.rint),
                            ("trunc", np.trunc)):
        for d, t in TYPES.items():
            np.testing.assert_array_equal(kernels(kind).run(name + d, x.astype(t)),
                                          reference(x.astype(t)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TWO)
def test_two_operands_special(name, kind):
    s = np.array([0, -0.0, 1, -1, 2, -2, 0.5, -0.5, 3, -3, np.inf, -np.inf, np.nan, 1e30, -1e30,
                  1e-38, 2**24 + 1, 2.5])
    for d, t in TYPES.items():
        x, y = (a.ravel().astype(t) for a in np.meshgrid(s, s))
        with np.errstate(all="ignore"):
            want = TWO[name][1](x, y)
        got = kernels(kind).run(name + d, x, y)
        good = same(got, want)
        assert good.all(), (name, d, list(zip(x[~good], y[~good], got[~good], want[~good],
                                              strict=True)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", TYPES)
def test_power_accuracy(d, kind):
    x, y, want = _power_cases(d)
    error = ulp(kernels(kind).run("pow" + d, x, y), want)
    assert error.max() <= LIMIT[d], (x[error.argmax()], y[error.argmax()], error.max())


@functools.cache
def _power_cases(d: str):
    rng = np.random.default_rng(3)
    x = np.exp(rng.uniform(-20, 20, SAMPLES)).astype(TYPES[d])
    y = rng.uniform(-4, 4, SAMPLES).astype(TYPES[d])
    x[:300], y[:300] = rng.uniform(0.9, 1.1, 300), rng.uniform(-800, 800, 300)
    with mp.workdps(40):
        return x, y, [mp.mpf(float(a)) ** mp.mpf(float(b)) for a, b in zip(x, y, strict=True)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", TYPES)
def test_angle_accuracy(d, kind):
    rng = np.random.default_rng(4)
    y, x = (rng.standard_normal((2, SAMPLES)) * np.exp(rng.uniform(-20, 20, (2, SAMPLES)))) \
        .astype(TYPES[d])
    with mp.workdps(40):
        want = [mp.atan2(mp.mpf(float(a)), mp.mpf(float(b))) for a, b in zip(y, x, strict=True)]
    assert ulp(kernels(kind).run("atan2" + d, y, x), want).max() <= LIMIT[d]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", TYPES)
def test_fmod_exact(d, kind):
    rng = np.random.default_rng(5)
    x, y = (rng.standard_normal((2, 4000)) * np.exp(rng.uniform(-30, 30, (2, 4000)))) \
        .astype(TYPES[d])
    np.testing.assert_array_equal(kernels(kind).run("fmod" + d, x, y), np.fmod(x, y))


@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sin", "erf", "pow", "atan", "log1p"])
def test_lanes_do_not_matter(name):
    """The same bits whatever the number of lanes."""
    batch = Kernels(host.target(KINDS[0]))
    operands = 2 if name in TWO else 1
    for d in ("f32", "f64"):
        for lanes in LANES:
            batch.add(f"{name}{d}{lanes}", lambda b, *x: getattr(b, name)(*x),
                      (FLOATS[d],) * operands, lanes)
    batch.compile()
    for d in ("f32", "f64"):
        x = draw([(0, 3), "+log -3 60", (-105, -85), (-745, -705)], 240, 6).astype(TYPES[d])
        results = [batch.run(f"{name}{d}{lanes}", *[x] * operands) for lanes in LANES]
        for r in results[1:]:
            np.testing.assert_array_equal(r, results[0])


@pytest.mark.parametrize("d", ["f16", "bf16"])
@pytest.mark.parametrize("name", ["exp", "log", "tanh", "sigmoid", "erf", "sin", "sqrt", "rsqrt"])
def test_sixteen_bit(name, d):
    """float32 results, rounded once more: within one unit of the exact value."""
    x = draw([(0.01, 5)], 500, 7).astype(FLOATS[d].np)
    got = kernels(KINDS[0]).run(name + d, x).astype(np.float64)
    want = np.asarray(numpy_of(name)(x.astype(np.float64)), np.float64)
    _, exponent = np.frexp(want)
    unit = np.ldexp(1.0, exponent - (11 if d == "f16" else 8))
    assert (np.abs(got - want) <= 0.51 * np.maximum(unit, 2.0**-24)).all()
