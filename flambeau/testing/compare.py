"""``torch.testing.assert_close``: equality of tensors, numbers, sequences and mappings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..base import dtype as dt
from ..tensor import Tensor
from ..tensor.convert import tensor

#: PyTorch's default (rtol, atol) by dtype; other dtypes must be equal
TOLERANCES = {dt.float16: (1e-3, 1e-5), dt.bfloat16: (1.6e-2, 1e-5), dt.float32: (1.3e-6, 1e-5),
              dt.float64: (1e-7, 1e-7), dt.complex64: (1.3e-6, 1e-5), dt.complex128: (1e-7, 1e-7)}
_NUMBERS = {bool: dt.bool_, int: dt.int64, float: dt.float64, complex: dt.complex128}


class _Mismatch(Exception):
    """Two things differ; ``path`` says where inside containers."""

    def __init__(self, cls: type, text: str):
        super().__init__(text)
        self.cls, self.text, self.path = cls, text, ""


def assert_close(actual, expected, *, allow_subclasses: bool = True, rtol: float | None = None,
                 atol: float | None = None, equal_nan: bool = False, check_device: bool = True,
                 check_dtype: bool = True, check_layout: bool = True, check_stride: bool = False,
                 msg: str | Callable[[str], str] | None = None) -> None:
    """Assert that ``|actual - expected| <= atol + rtol * |expected|``, element by element.

    Args:
        actual, expected: tensors (or NumPy arrays), numbers, sequences or mappings of those.
        allow_subclasses: whether tensors of different subclasses may be compared.
        rtol, atol: tolerances, given both or neither; by dtype when omitted.
        equal_nan: whether NaN equals NaN.
        check_device, check_dtype, check_stride: whether these must agree too.
        check_layout: accepted; all tensors are strided.
        msg: text of the error, or a function of the generated text.

    Raises:
        AssertionError: something differs; the text says how much and where.
        ValueError: one of rtol and atol without the other.
        TypeError: the two are not comparable.
    """
    __tracebackhide__ = True
    if (rtol is None) != (atol is None):
        raise ValueError(f"Both 'rtol' and 'atol' must be either specified or omitted, but got no "
                         f"{'rtol' if rtol is None else 'atol'}.")
    options = {"tolerance": (rtol, atol), "equal_nan": equal_nan, "device": check_device,
               "dtype": check_dtype, "stride": check_stride, "subclasses": allow_subclasses}
    try:
        _compare(actual, expected, options)
    except _Mismatch as error:
        text = error.text
        if error.path:
            text += f"\n\nThe failure occurred for item {error.path}"
        if error.cls is AssertionError and msg is not None:
            text = msg(text) if callable(msg) else msg
        raise error.cls(text) from None


def assert_allclose(actual, expected, rtol: float | None = None, atol: float | None = None,
                    equal_nan: bool = True, msg: str = "") -> None:
    """The older form of :func:`assert_close`, without dtype and device checks."""
    __tracebackhide__ = True
    actual, expected = (x if isinstance(x, Tensor) else tensor(x) for x in (actual, expected))
    assert_close(actual, expected, rtol=rtol, atol=atol, equal_nan=equal_nan, check_device=True,
                 check_dtype=False, msg=msg or None)


def _compare(actual, expected, options: dict) -> None:
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        _mappings(actual, expected, options)
    elif _sequence(actual) and _sequence(expected):
        if len(actual) != len(expected):
            raise _Mismatch(AssertionError, f"The length of the sequences mismatch: {len(actual)} "
                                            f"!= {len(expected)}")
        for i, (a, b) in enumerate(zip(actual, expected, strict=True)):
            _item(a, b, options, i)
    elif type(actual) in _NUMBERS and type(expected) in _NUMBERS:
        _numbers(actual, expected, options)
    elif actual is None and expected is None:
        return
    else:
        arrays = _array(actual) and _array(expected)
        if not arrays and not (isinstance(actual, Tensor) and isinstance(expected, Tensor)):
            raise _unlike(actual, expected)
        pair = [tensor(np.asarray(x)) for x in (actual, expected)] if arrays else (actual, expected)
        _tensors(*pair, options)


def _sequence(x) -> bool:
    return isinstance(x, Sequence) and not isinstance(x, str)


def _item(a, b, options: dict, key) -> None:
    try:
        _compare(a, b, options)
    except _Mismatch as error:
        error.path = f"[{key!r}]" + error.path
        raise


def _mappings(actual: Mapping, expected: Mapping, options: dict) -> None:
    if actual.keys() != expected.keys():
        missing = sorted(map(str, expected.keys() - actual.keys()))
        extra = sorted(map(str, actual.keys() - expected.keys()))
        raise _Mismatch(AssertionError, f"The keys of the mappings do not match:\nMissing keys in "
                                        f"the actual mapping: {missing}\nAdditional keys in the "
                                        f"actual mapping: {extra}")
    for key, value in actual.items():
        _item(value, expected[key], options, key)


def _array(x) -> bool:
    return isinstance(x, (np.ndarray, np.generic))


def _unlike(x, other) -> _Mismatch:
    return _Mismatch(TypeError, f"No comparison pair was able to handle inputs of type {type(x)} "
                                f"and {type(other)}.")


def _numbers(actual, expected, options: dict) -> None:
    rtol, atol = _tolerance(options, _NUMBERS[type(actual)], _NUMBERS[type(expected)])
    if options["dtype"] and type(actual) is not type(expected):
        raise _Mismatch(AssertionError, f"The (d)types do not match: {type(actual)} != "
                                        f"{type(expected)}.")
    if actual == expected or options["equal_nan"] and actual != actual and expected != expected:
        return
    difference = abs(actual - expected)
    if math.isfinite(difference) and difference <= atol + rtol * abs(expected):
        return
    if not rtol and not atol:
        raise _Mismatch(AssertionError, f"Scalars are not equal!\n\nExpected {expected} but got "
                                        f"{actual}.\nAbsolute difference: {difference}\nRelative "
                                        f"difference: {_ratio(difference, expected)}")
    raise _Mismatch(
        AssertionError,
        f"Scalars are not close!\n\nExpected {expected} but got {actual}.\nAbsolute difference: "
        f"{difference} (up to {atol} allowed)\nRelative difference: "
        f"{_ratio(difference, expected)} (up to {rtol} allowed)")


def _ratio(difference: float, expected) -> float:
    return difference / abs(expected) if expected else math.inf


def _tolerance(options: dict, *dtypes: dt.dtype) -> tuple[float, float]:
    if options["tolerance"][0] is not None:
        return options["tolerance"]
    pairs = [TOLERANCES.get(d, (0.0, 0.0)) for d in dtypes]
    return max(p[0] for p in pairs), max(p[1] for p in pairs)


def _tensors(actual: Tensor, expected: Tensor, options: dict) -> None:
    if not options["subclasses"] and type(actual) is not type(expected):
        raise _Mismatch(TypeError, f"Cannot compare {type(actual)} with {type(expected)}")
    checks = [("shape", True), ("device", options["device"]), ("dtype", options["dtype"])]
    for name, wanted in checks:
        a, b = getattr(actual, name), getattr(expected, name)
        if wanted and a != b:
            raise _Mismatch(AssertionError,
                            f"The values for attribute '{name}' do not match: {a} != {b}.")
    if options["stride"] and actual.stride() != expected.stride():
        raise _Mismatch(AssertionError, f"The values for attribute 'stride()' do not match: "
                                        f"{actual.stride()} != {expected.stride()}.")
    rtol, atol = _tolerance(options, actual.dtype, expected.dtype)
    a, b = _wide(actual), _wide(expected)
    with np.errstate(all="ignore"):
        difference = np.abs(a - b) if a.dtype != bool else (a != b).astype(np.int64)
        close = (a == b) | (np.isfinite(difference) & (difference <= atol + rtol * np.abs(b)))
        if options["equal_nan"]:
            close |= (a != a) & (b != b)
        if close.all():
            return
        ratio = difference / np.abs(b.astype(np.float64) if b.dtype == bool else b)
    raise _Mismatch(AssertionError, _report(a, b, close, difference, ratio, rtol, atol))


def _wide(t: Tensor) -> np.ndarray:
    t = t.detach().cpu()
    array = (t.float() if t.dtype is dt.bfloat16 else t.resolve_conj()).numpy()
    if array.dtype.kind in "iu":
        return array.astype(np.float64) if array.dtype == np.uint64 else array.astype(np.int64)
    return array


def _report(a: np.ndarray, b: np.ndarray, close: np.ndarray, difference: np.ndarray,
            ratio: np.ndarray, rtol: float, atol: float) -> str:
    bad, count = int((~close).sum()), close.size
    exact = not rtol and not atol
    if not close.ndim:
        head = f"Scalars are not {'equal' if exact else 'close'}!"
        lines = [head, "", f"Expected {b.item()} but got {a.item()}.",
                 f"Absolute difference: {_number(difference)}",
                 f"Relative difference: {_number(ratio)}"]
    else:
        lines = [f"Tensor-likes are not {'equal' if exact else 'close'}!", "",
                 f"Mismatched elements: {bad} / {count} ({100 * bad / count:.1f}%)"]
        for name, values in (("absolute", difference), ("relative", ratio)):
            values = np.where(close, 0, values)
            at = np.unravel_index(int(values.argmax()), values.shape)  # NaN counts as greatest
            where = tuple(int(i) for i in at)
            lines.append(f"Greatest {name} difference: {_number(values[at])} at index {where}")
    if not exact:
        lines[-2] += f" (up to {atol} allowed)"
        lines[-1] += f" (up to {rtol} allowed)"
    return "\n".join(lines)


def _number(x) -> str:
    return str(np.asarray(x).item() if np.asarray(x).dtype.kind in "iu" else float(np.real(x)))
