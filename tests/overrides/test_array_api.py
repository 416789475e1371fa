"""The Array API namespace gives what NumPy's does: values, dtypes, shapes."""

import inspect

import numpy as np
import pytest

import flambeau as torch

xp = torch.ones(1).__array_namespace__(api_version="2023.12")

F = np.arange(-3.0, 3.0).reshape(2, 3)
G = np.array([[1.0, 2.0, 3.0], [0.5, 4.0, 2.0]])
I = np.array([[3, 1, 2], [1, 0, 3]], np.int32)  # noqa: E741
B = np.array([True, False, True])
C = (F + 1j * G).astype(np.complex64)
S = np.array([[4.0, 1.0], [1.0, 3.0]])
SMALL, BIG = np.int8(3), np.arange(3, dtype=np.int16)

CALLS = [
    *[(name, (G,), {}) for name in (
        "abs", "asinh", "atan", "ceil", "cos", "cosh", "exp", "expm1", "floor", "isfinite",
        "isinf", "isnan", "log", "log1p", "log2", "log10", "negative", "positive", "reciprocal",
        "round", "sign", "signbit", "sin", "sinh", "sqrt", "square", "tan", "tanh", "trunc",
        "real", "sum", "prod", "max", "min", "mean", "var", "std", "all", "any", "argmax", "argmin",
        "count_nonzero", "sort", "argsort", "flip", "unique_values", "matrix_transpose",
        "zeros_like", "ones_like", "tril", "triu", "diff", "nonzero", "unstack")],
    *[(name, (F, G), {}) for name in (
        "add", "atan2", "copysign", "divide", "equal", "floor_divide", "greater", "greater_equal",
        "hypot", "less", "less_equal", "logaddexp", "maximum", "minimum", "multiply", "nextafter",
        "not_equal", "remainder", "subtract", "vecdot")],
    *[(name, (I, np.int32(2)), {}) for name in (
        "bitwise_and", "bitwise_left_shift", "bitwise_or", "bitwise_right_shift", "bitwise_xor",
        "floor_divide", "remainder", "pow", "add")],
    *[(name, (B, ~B), {}) for name in ("logical_and", "logical_or", "logical_xor", "bitwise_or")],
    *[(name, (I,), {}) for name in ("floor", "ceil", "trunc", "round", "sum", "prod", "max", "sign",
                                    "abs", "bitwise_invert", "square", "real")],
    *[(name, (C,), {}) for name in ("conj", "imag", "real", "abs", "sign", "round", "sum")],
    *[(name, (G,), {"axis": axis, "keepdims": keep}) for axis in (0, -1, (0, 1)) for keep in
      (False, True) for name in ("sum", "prod", "max", "min", "mean", "var", "std", "all", "any",
                                 "count_nonzero")],
    *[(name, (G,), {"axis": 1, "keepdims": True}) for name in ("argmax", "argmin")],
    ("argmax", (G,), {"keepdims": True}),
    ("add", (SMALL, BIG), {}), ("multiply", (BIG, SMALL), {}), ("logical_not", (B,), {}),
    ("var", (G,), {"correction": 1, "axis": 0}), ("std", (G,), {"correction": 1.0}),
    ("sum", (np.ones((2, 2), np.uint8),), {}), ("sum", (np.ones((2, 2), np.int8),), {}),
    ("sum", (G,), {"dtype": "float32"}), ("prod", (I,), {"axis": 0, "dtype": "float64"}),
    ("cumulative_sum", (G,), {"axis": 1}), ("cumulative_prod", (G[0],), {}),
    ("cumulative_sum", (G,), {"axis": 0, "include_initial": True}),
    ("sort", (G,), {"axis": 0, "descending": False}),
    ("concat", ([F, G],), {"axis": 1}), ("concat", ([F, I],), {"axis": None}),
    ("stack", ([F, G],), {"axis": -1}), ("expand_dims", (G,), {"axis": 1}),
    ("squeeze", (G[None],), {"axis": 0}), ("flip", (G,), {"axis": 1}), ("roll", (G, 1), {}),
    ("roll", (G, (1, 2)), {"axis": (0, 1)}), ("repeat", (G, 2), {}),
    ("repeat", (G, 2), {"axis": 1}), ("tile", (G, (2, 1)), {}), ("reshape", (G, (3, 2)), {}),
    ("permute_dims", (G, (1, 0)), {}), ("moveaxis", (G, 0, 1), {}),
    ("broadcast_to", (G[0], (2, 3)), {}), ("take_along_axis", (G, np.argsort(G, 1)), {"axis": 1}),
    ("take", (G, np.array([1, 0, -1])), {"axis": 1}),
    ("searchsorted", (np.sort(G[0]), F[0]), {"side": "right"}),
    ("where", (F > 0, F, G), {}), ("where", (F > 0, I, G), {}),
    ("tensordot", (F, G.T), {"axes": 1}),
    ("matmul", (F, G.T), {}), ("clip", (F, -1.0, 1.0), {}), ("clip", (I, 1, 2), {}),
    ("linspace", (0.0, 1.0, 5), {"endpoint": False}), ("linspace", (0.0, 1.0, 5), {}),
    ("arange", (3,), {}), ("eye", (2, 3), {"k": 1}), ("full", ((2, 2), 3.5), {}),
    ("unique_counts", (I,), {}), ("unique_inverse", (I,), {}), ("unique_all", (I,), {}),
    ("broadcast_arrays", (G, G[0]), {}), ("meshgrid", (G[0], F[0, :2]), {}),
    ("linalg.det", (S,), {}), ("linalg.inv", (S,), {}), ("linalg.solve", (S, S), {}),
    ("linalg.cholesky", (S,), {}), ("linalg.matrix_norm", (S,), {}),
    ("linalg.vector_norm", (G,), {"axis": 1}), ("linalg.vector_norm", (G,), {"ord": 1}),
    ("linalg.trace", (S,), {}), ("linalg.diagonal", (G,), {}), ("linalg.slogdet", (S,), {}),
    ("linalg.outer", (G[0], F[0]), {}), ("linalg.cross", (F, G), {}), ("linalg.pinv", (G,), {}),
    ("linalg.svdvals", (G,), {}), ("linalg.eigvalsh", (S,), {}), ("linalg.matrix_rank", (G,), {}),
    ("linalg.matrix_power", (S, 3), {}), ("linalg.vecdot", (C, C), {"axis": 0}),
    ("fft.fft", (G,), {}), ("fft.rfft", (G,), {"axis": 0, "norm": "ortho"}),
    ("fft.ifftn", (C,), {}),
    ("fft.fftfreq", (5,), {"d": 0.5}), ("fft.fftshift", (G,), {"axes": 1}), ("fft.irfft", (C,), {}),
]
#: NumPy keeps what is wider than the standard asks, or other defaults
LOOSE = {"arange", "linspace", "eye", "full", "fft.fftfreq"}


def _function(space, name: str):
    for part in name.split("."):
        space = getattr(space, part)
    return space


def _convert(x, make):
    if isinstance(x, (np.ndarray, np.generic)):
        return make(x)
    if isinstance(x, list):
        return [_convert(v, make) for v in x]
    return x


def _same(ours, theirs, exact: bool):
    if isinstance(theirs, (tuple, list)):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            _same(a, b, exact)
        return
    assert isinstance(ours, torch.Tensor)
    theirs = np.asarray(theirs)
    assert tuple(ours.shape) == theirs.shape
    if exact:
        assert str(ours.dtype).removeprefix("torch.") == str(theirs.dtype)
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name, args, kwargs", CALLS, ids=[c[0] for c in CALLS])
def test_as_numpy(name, args, kwargs):
    ours_kw = {k: getattr(xp, v) if k == "dtype" else v for k, v in kwargs.items()}
    kwargs = {k: v for k, v in kwargs.items() if k != "descending"}
    ours = _function(xp, name)(*[_convert(a, torch.tensor) for a in args], **ours_kw)
    _same(ours, _function(np, name)(*args, **kwargs), name not in LOOSE)


def test_every_name_of_the_standard():
    missing = [n for n in xp.__all__ if not hasattr(xp, n)]
    assert not missing and xp.__array_api_version__ == "2024.12"
    undocumented = [n for n in xp.__all__ if inspect.isfunction(getattr(xp, n))
                    and not (getattr(xp, n).__doc__ or "").strip()]
    assert not undocumented
    strict = pytest.importorskip("array_api_strict")
    public = {n for n in dir(strict) if not n.startswith("_") and n.islower()}
    other = {"set_array_api_strict_flags", "get_array_api_strict_flags",
             "reset_array_api_strict_flags", "broadcast_shapes"}
    assert {n for n in public - other if not hasattr(xp, n)} == set()


def test_dtypes_do_not_depend_on_dimensions():
    small, wide = torch.ones(3, dtype=torch.float32), torch.tensor(2.0, dtype=torch.float64)
    assert xp.add(small, wide).dtype is torch.float64
    assert xp.result_type(small, 1.0) is torch.float32
    assert xp.result_type(torch.int8, torch.uint8) is torch.int16
    assert xp.can_cast(torch.int8, torch.int16) and not xp.can_cast(torch.float32, torch.int8)
    assert xp.isdtype(torch.int8, ("real floating", "signed integer"))
    assert not xp.isdtype(torch.bool, "numeric")


def test_asarray_and_astype():
    x = torch.ones(2)
    assert xp.asarray(x, copy=False).data_ptr() == x.data_ptr()
    assert xp.asarray(x, copy=True).data_ptr() != x.data_ptr()
    with pytest.raises(ValueError, match="needs a copy"):
        xp.asarray(x, dtype=torch.float64, copy=False)
    with pytest.raises(ValueError, match="no memory"):
        xp.asarray([1], copy=False)
    assert xp.astype(x, torch.int64).dtype is torch.int64
    assert xp.astype(x, torch.float32, copy=False) is x


def test_errors():
    with pytest.raises(ValueError, match="not of size 1"):
        xp.squeeze(torch.ones(2), axis=0)
    with pytest.raises(ValueError, match="axis is needed"):
        xp.cumulative_sum(torch.ones(2, 2))
    with pytest.raises(IndexError, match="out of range"):
        xp.sum(torch.ones(2), axis=3)
    with pytest.raises(ValueError, match="unknown kind"):
        xp.isdtype(torch.int8, "floaty")
    with pytest.raises(ValueError, match="not here"):
        torch.ones(1).__array_namespace__(api_version="1999.1")


def test_info():
    info = xp.__array_namespace_info__()
    assert info.capabilities()["boolean indexing"] and info.devices() == [torch.device("cpu")]
    assert info.default_dtypes()["real floating"] is torch.float32
    assert set(info.dtypes(kind="real floating")) == {"float32", "float64"}


def test_gradients_flow():
    x = torch.ones(3, requires_grad=True)
    xp.sum(xp.multiply(x, 2.0)).backward()
    assert x.grad.tolist() == [2.0] * 3
