"""Everything generated from the API registry: functions, methods, in-place forms, ``out=``.

A mistake in an argument is explained after the fact (:func:`explain`), so that a correct call costs
nothing more than the function itself.
"""

from __future__ import annotations

import inspect
import types
import warnings

from ..autograd import modes
from ..base import dtype as dt
from ..base import srcloc
from ..ir.api import API, ApiFunction
from ..ir.op import apply
from ..ops.core import is_number
from ..runtime import execute
from .follow import call, entry_point, recorder
from .inplace import assign, check_writable, rename, snapshot, without_gradient, write
from .override import NOTHING, PUBLIC, foreign
from .tensor import Tensor

#: names that NumPy's users write and PyTorch accepts
NUMPY_NAMES = {"axis": "dim", "axes": "dims", "keepdims": "keepdim", "x": "input", "a": "input",
               "x1": "input", "x2": "other"}


def explain(function, args, kwargs, error):
    """The TypeError that PyTorch would raise for a call with a wrong argument, else ``error``."""
    name = function.__name__
    try:
        names = list(inspect.signature(function).parameters)
    except ValueError:
        return error
    if not args and not kwargs:
        return TypeError(f"{name}() missing 1 required positional argument: \"{names[0]}\"")
    for i, value in enumerate(args):
        label = names[min(i, len(names) - 1)]
        if not _is_tensor(value) and (label in ("real", "imag", "abs", "angle")
                                      or i == 0 and label in ("input", "tensor")):
            return TypeError(f"{name}(): argument '{label}' (position {i + 1}) must be Tensor, "
                             f"not {type(value).__name__}")
        if label in ("other", "mat2", "vec", "target", "src", "index") and not _is_tensor(value) \
                and not is_number(value):
            return TypeError(f"{name}(): argument '{label}' (position {i + 1}) must be Tensor, "
                             f"not {type(value).__name__}")
    if isinstance(error, AttributeError):
        return error
    return TypeError(f"{name}() received an invalid combination of arguments: {error}")


def _is_tensor(x) -> bool:
    return isinstance(x, Tensor) or (isinstance(x, (list, tuple)) and x and _is_tensor(x[0]))


def _renamed(function, kwargs: dict) -> dict | None:
    """Keyword arguments with NumPy's names replaced; None where there is nothing to replace."""
    names = inspect.signature(function).parameters
    new = {(NUMPY_NAMES[k] if k in NUMPY_NAMES and k not in names else k): v
           for k, v in kwargs.items()}
    return new if new.keys() != kwargs.keys() else None


def callable_as(function):
    """``function`` as programs call it: recorded and followed, argument mistakes explained, NumPy's
    keyword names accepted."""

    return entry_point(function, _explained)


def _explained(function, args, kwargs):
    try:
        return call(function, args, kwargs)
    except (TypeError, AttributeError) as error:
        return _second_try(function, args, kwargs, error)


def _second_try(function, args, kwargs, error):
    """Call again with NumPy's names understood, let other libraries' arguments do the call, or
    raise what PyTorch would."""
    if kwargs:
        renamed = _renamed(function, kwargs)
        if renamed is not None:
            return function(*args, **renamed)
    out = foreign(function, args, kwargs)
    if out is not NOTHING:
        return out
    better = explain(function, args, kwargs, error)
    if better is error:
        raise error
    raise better from error


def with_out(function, entry: ApiFunction):
    """The ``torch.name`` form: guarded, with ``out=`` where the function has it."""
    if not entry.out:
        return callable_as(function)

    def otherwise(function, args, kwargs):
        out = kwargs.pop("out", None)
        if out is None:
            found = recorder.joined(args, kwargs) if joins else None
            return _explained(function, args, kwargs) if found is None else found
        with modes.no_grad():
            result = callable_as(function)(*args, **kwargs)
        if isinstance(out, Tensor):
            return fill_out(out, result, entry.name, args)
        if len(out) != entry.out:
            raise TypeError(f"{entry.name}(): out= takes a tuple of {entry.out} tensors, "
                            f"got {len(out)}")
        pairs = [fill_out(o, r, entry.name, args) for o, r in zip(out, result, strict=True)]
        return type(result)(pairs) if type(result) is not tuple else tuple(pairs)

    joins = entry.name == "cat"
    return entry_point(function, otherwise)


#: functions whose ``out=`` must have the result's very dtype
_EXACT_OUT = ("gather", "aminmax", "complex")
#: functions whose ``out=`` may not share memory with an operand at all
_APART = ("cat", "take", "gather", "masked_select", "kthvalue", "mode")


def _check_out(out: Tensor, result: Tensor, name: str, args) -> None:
    """PyTorch's rules for the dtype of ``out=`` and for memory it shares with operands."""
    if name in _EXACT_OUT and out.dtype is not result.dtype:
        raise RuntimeError(f"Expected out tensor to have dtype {result.dtype}, but got {out.dtype} "
                           "instead")
    if name in _APART:
        for a in args:
            for x in (a if isinstance(a, (list, tuple)) else (a,)):
                if isinstance(x, Tensor) and x.storage is out.storage \
                        and (x is out or _meet(x, out, result)):
                    raise RuntimeError(
                        "unsupported operation: some elements of the input tensor and the "
                        "written-to tensor refer to a single memory location. Please clone() the "
                        "tensor before performing the operation.")


def _meet(x: Tensor, out: Tensor, result: Tensor) -> bool:
    """Whether the memory spans of an operand and of ``out``, once it has the result's shape, meet
    (they are of one storage)."""

    def end(t, shape, strides):
        return t.offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))

    last = end(out, out.shape, out.strides) if out.shape == result.shape else \
        out.offset + result.numel() - 1
    return bool(x.numel() and result.numel()) and x.offset <= last \
        and out.offset <= end(x, x.shape, x.strides)


def fill_out(out: Tensor, result: Tensor, name: str, args) -> Tensor:
    """Write a result into ``out=``, resized when empty or of another shape."""
    if not isinstance(out, Tensor):
        raise TypeError(f"{name}(): argument 'out' must be Tensor, not {type(out).__name__}")
    if modes.state.grad and (out.requires_grad or any(
            isinstance(a, Tensor) and a.requires_grad for a in args)):
        raise RuntimeError(f"{name}(): functions with out=... arguments don't support automatic "
                           "differentiation, but one of the arguments requires grad.")
    if out.device != result.device:
        raise RuntimeError(f"Expected out tensor to have device {result.device}, but got "
                           f"{out.device} instead")
    _check_out(out, result, name, args)
    if not dt.can_cast(result.dtype, out.dtype):
        raise RuntimeError(f"result type {dt.scalar_name(result.dtype)} can't "
                           f"be cast to the desired output type "
                           f"{dt.scalar_name(out.dtype)}")
    if any(s == 0 and n > 1 for n, s in zip(out.shape, out.strides, strict=True)):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a "
            "single memory location. Please clone() the tensor before performing the operation.")
    if tuple(out.shape) != tuple(result.shape):
        if out.numel():
            warnings.warn(
                f"An output with one or more elements was resized since it had shape "
                f"{list(out.shape)}, which does not match the required output shape "
                f"{list(result.shape)}. This behavior is deprecated, and in a future PyTorch "
                "release outputs will not be resized unless they have zero elements. You can "
                "explicitly reuse an out tensor t by resizing it, inplace, to zero elements with "
                "t.resize_(0).", UserWarning, stacklevel=4)
        out.resize_(result.shape)
        out._lay(result.shape, result.strides)
    write(out, result.node())
    return out


#: views whose in-place form changes the tensor's geometry, not its elements
_GEOMETRY = {"transpose", "t", "unsqueeze", "squeeze", "swapaxes", "swapdims",
             "as_strided"}


#: those whose in-place forms have gradients: zeros
_COMPARISONS = {"eq", "ne", "lt", "le", "gt", "ge"}
#: in-place functions that give every element the same number
_UNIFORM = {"fill", "zero"}


def in_place(function, name: str):
    """``Tensor.name_``: compute from a snapshot, then write."""
    if name in _GEOMETRY:
        def method(self, *args, **kwargs):
            execute.follower.forget(self)
            out = function(self, *args, **kwargs)
            self._lay(out.shape, out.strides)
            self.offset = out.offset
            if out._fn is not None:
                self._fn, self._nr = out._fn, out._nr
                rename(out._fn)
            counter = self._counter  # counts as a write, as in PyTorch
            counter.version += 1
            counter.written_at = srcloc.user_location()
            self._view_version = counter.version
            return self
    else:
        may_share, to_real = name in _UNIFORM, name in ("abs", "absolute")
        compared = function.__name__ if function.__name__ in _COMPARISONS else None

        def method(self, *args, **kwargs):
            if to_real and self.dtype.is_complex:
                raise RuntimeError("In-place abs is not supported for complex tensors.")
            tensors = any(isinstance(a, Tensor) for a in args)
            check_writable(self, uniform=may_share and not tensors)
            before = snapshot(self)
            result = function(before, *args, **kwargs)
            if compared and self.requires_grad:
                result = apply(without_gradient(compared, int(tensors)), before, result)
            return assign(self, result, name)

    method.__name__ = name + "_"
    method.__qualname__ = f"Tensor.{name}_"
    method.__doc__ = f"In-place form of :func:`{name}`."
    return callable_as(method)


def install(namespaces: dict[str, types.SimpleNamespace | types.ModuleType | dict]) -> None:
    """Attach methods to Tensor and fill the namespaces ("torch", "nn.functional", "linalg", ...).

    ``namespaces`` maps a namespace to the dictionary its functions go to.
    """
    for entry in API.values():
        function = entry.function
        public = PUBLIC[function] = with_out(function, entry)
        names = (entry.name, *[a for a in entry.aliases if "." not in a])
        for name in names:
            if entry.torch:
                namespaces["torch"].setdefault(name, public)
            if entry.functional:
                namespaces["nn.functional"].setdefault(name, public)
            for space in entry.namespaces:
                namespaces.setdefault(space, {}).setdefault(name, public)
            if entry.method and name not in Tensor.__dict__:
                setattr(Tensor, name, callable_as(function))
            if entry.inplace and name + "_" not in Tensor.__dict__:
                changed = in_place(function, name)
                setattr(Tensor, name + "_", changed)
                if entry.torch:
                    namespaces["torch"].setdefault(name + "_", changed)
                if entry.functional:
                    namespaces["nn.functional"].setdefault(name + "_", changed)
        for alias in entry.aliases:
            if "." in alias:
                space, _, name = alias.rpartition(".")
                namespaces.setdefault(space, {}).setdefault(name, public)
