"""Tensor: a view (shape, strides, offset) of a storage, with its place on the tape.

Attributes that most tensors never set have class-level defaults, so that making a tensor stores
only what it is made of.
"""

from __future__ import annotations

import warnings
import weakref

import numpy as np

from ..autograd import modes
from ..autograd.tape import AccumulateGrad, GradFn, add_hook
from ..base import device as dv
from ..base import dtype as dt
from ..base import shape as sh
from ..base import srcloc
from ..base.layout import Turned
from ..ir.node import Node
from ..runtime import execute
from .size import Size
from .storage import Storage, VersionCounter


class _Geometry(dict):
    """A shape as Size, with its row-major strides."""

    def __missing__(self, shape: tuple[int, ...]) -> tuple[Size, tuple[int, ...]]:
        if len(self) >= MAX_SHAPES:
            self.clear()
        found = self[shape] = Size(shape), sh.contiguous_strides(shape)
        return found


#: shapes that are remembered
MAX_SHAPES = 10_000
_geometry = _Geometry()


class _Told:
    """Stands in a class for what each of its objects has of its own, so that it can be asked what
    that is. (Neither a property nor a slot: attributes of objects are read fastest.)"""

    def __init__(self, text: str):
        self.__doc__ = text


class Tensor:
    """A multi-dimensional array of one dtype, with gradients; behaves as ``torch.Tensor``."""

    storage: Storage
    shape = _Told("The size of every dimension, a torch.Size.")
    strides: tuple[int, ...]
    offset: int
    dtype = _Told("The type of the elements, such as torch.float32.")
    _node: Node | None = None
    _stamp = -1
    _requires = False  # a leaf that wants a gradient
    _fn: GradFn | None = None
    _nr = 0
    _grad: Tensor | None = None
    _base: Tensor | None = None  # the tensor this one is a view of
    _view_version = 0  # the version for which ``_fn`` of a view is right
    _own_counter = None
    _hooks: dict | None = None
    _accumulator = None
    _retains = False
    _inference = False
    _cut = None  # why a result has no history although an operand had one, see history.py
    _viewed_at = None  # the line that made the view
    _unrecorded = False  # a view made without gradients, or of such a one: takes no history on
    _required_at = None  # the line that asked for gradients
    _run = False  # a bare tensor of a followed trace, see follow.py
    _row_major = True  # its strides are those of its shape; wrong for bare tensors
    names = (None,)
    layout = "torch.strided"

    # --- construction ---------------------------------------------------------------------------

    @staticmethod
    def _wrap(node: Node, device: dv.device = dv.CPU) -> Tensor:
        """A fresh tensor that owns a node's value."""
        t = _new(Tensor)
        storage = Storage(node, device)
        t.storage = storage
        t.shape, t.strides = _geometry[node.shape]
        t.offset = 0
        t.dtype = node.dtype
        t._node = node
        t._stamp = 0
        if modes.state.inference:
            t._inference = True
        return t

    @staticmethod
    def _view_of(x: Tensor, shape: tuple, strides: tuple, offset: int) -> Tensor:
        """A tensor of the same memory; not yet on the tape."""
        t = _new(Tensor)
        t.storage = x.storage
        t.shape, rows = _geometry[shape]
        t.strides = strides
        if strides != rows:
            t._row_major = False
        t.offset = offset
        t.dtype = x.dtype
        if x._own_counter is not None:
            t._own_counter = x._own_counter
        if modes.state.inference or x._inference:
            t._inference = True
        return t

    @staticmethod
    def _of_layout(node: Node, layout: Turned, device: dv.device = dv.CPU) -> Tensor:
        """A fresh tensor of a layout that is not row-major; ``node`` is its memory."""
        t = _new(Tensor)
        t.storage = Storage(node, device)
        t.shape, t.strides, t.offset = _geometry[layout.shape][0], layout.strides, 0
        t.dtype = node.dtype
        t._row_major = False
        if modes.state.inference:
            t._inference = True
        return t

    def _lay(self, shape, strides) -> None:
        """Take a geometry; what was read of the memory is forgotten."""
        self.shape, rows = _geometry[tuple(shape)]
        self.strides = tuple(strides)
        if self._row_major is not (self.strides == rows):
            self._row_major = self.strides == rows
        if self._node is not None:
            self._node = None

    def _alias(self) -> Tensor:
        """The same memory and nothing of the tape."""
        return Tensor._view_of(self, self.shape, self.strides, self.offset)

    # --- values ---------------------------------------------------------------------------------

    def node(self) -> Node:
        """The current value as a graph node."""
        if execute.outstanding:
            execute.follower.settle(self)
        execute.touches += 1
        storage = self.storage
        if self._stamp != storage.stamp or self._node is None:
            self._node = storage.read(tuple(self.shape), self.strides, self.offset)
            self._stamp = storage.stamp
        return self._node

    def _in_order(self, layout: Turned) -> Node:
        """The current value with its dimensions in the order of a layout that it broadcasts to; a
        value of no dimensions as it is."""
        if not self.shape:
            return self.node()
        if execute.outstanding:
            execute.follower.settle(self)
        if self.strides == layout.strides and self.shape == layout.shape and not self.offset \
                and self.storage.node.shape == layout.memory:  # it is all of its memory
            execute.touches += 1
            return self.storage.node
        lead = len(layout.order) - len(self.shape)
        shape, strides = (1,) * lead + self.shape, (0,) * lead + self.strides
        return self.storage.read(tuple([shape[d] for d in layout.order]),
                                 tuple([strides[d] for d in layout.order]), self.offset)

    @property
    def _counter(self):
        """Where in-place writes to this tensor are counted."""
        return self._own_counter or self.storage

    @property
    def _version(self) -> int:
        """How often the tensor's memory has been written in place."""
        execute.follower.sync()
        return self._counter.version

    @property
    def device(self) -> dv.device:
        """Where the elements live."""
        if self._run and "storage" not in self.__dict__:
            return dv.CPU  # what is followed is there (see record.py)
        return self.storage.device

    # --- autograd state -------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Whether backward computes a gradient for, or through, this tensor.

        As in PyTorch a view made under ``no_grad`` says what the tensor says that it views,
        although gradients end at it.
        """
        return self._requires or self.grad_fn is not None or (
            self._base is not None and self._base.requires_grad)

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for (or stop) gradients of a leaf, in place."""
        if execute.outstanding and bool(requires_grad) is not self._requires:
            execute.flush()  # calls made so far saw the tensor as it was
        if not requires_grad:
            if self.grad_fn is not None:
                raise RuntimeError(
                    "you can only change requires_grad flags of leaf variables. If you want to use "
                    "a computed variable in a subgraph that doesn't require differentiation use "
                    "var_no_grad = var.detach().")
        elif self.dtype.category < dt.dtype.FLOAT:
            raise RuntimeError(
                "only Tensors of floating point dtype can require gradients: this one is "
                f"{self.dtype}; write floats (1. instead of 1: torch.tensor([1, 2]) is int64) or "
                "give dtype=torch.float32")
        elif self._inference and not modes.state.inference:
            raise RuntimeError("Setting requires_grad=True on inference tensor outside "
                               "InferenceMode is not allowed.")
        if self._fn is None:
            self._requires = bool(requires_grad)
            self._required_at = srcloc.user_location() if requires_grad else None
        return self

    @property
    def grad_fn(self) -> GradFn | None:
        """The operation that made this tensor, None for leaves."""
        if self._run:
            execute.follower.settle(self)
        if self._base is not None and self._view_version != self._counter.version:
            self._regenerate()
        return self._fn

    @property
    def is_leaf(self) -> bool:
        """Made by the program, not by a recorded operation."""
        return self.grad_fn is None

    @property
    def output_nr(self) -> int:
        """Which result of ``grad_fn`` this is."""
        return self._nr

    @property
    def grad(self) -> Tensor | None:
        """The gradient accumulated by backward."""
        if self._grad is None and not self._retains and self._fn is not None:
            _warn_non_leaf_grad()
        return self._grad

    @grad.setter
    def grad(self, value) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"assigned grad expected to be a Tensor or None but got grad of "
                                f"type {type(value).__name__}")
            if value is self:
                raise RuntimeError("can't assign Variable as its own grad")
            if tuple(value.shape) != tuple(self.shape):
                raise RuntimeError(
                    f"assigned grad has data of a different size: {tuple(value.shape)} for a "
                    f"tensor of shape {tuple(self.shape)}")
            if value.dtype is not self.dtype:
                raise RuntimeError(f"assigned grad has data of a different type: {value.dtype} for "
                                   f"a tensor of {self.dtype}")
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    @property
    def retains_grad(self) -> bool:
        """Whether retain_grad() was asked of a non-leaf."""
        return self._retains and self._fn is not None

    def retain_grad(self) -> None:
        """Keep ``.grad`` of this non-leaf in backward."""
        if not self.requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self.grad_fn is None or self._retains:
            return
        self._retains = True
        if self._fn.retained is None:
            self._fn.retained = {}
        self._fn.retained[self._nr] = weakref.ref(self)

    def register_hook(self, hook):
        """``hook(grad)`` whenever a gradient of this tensor is computed; it may return another.

        Raises:
            RuntimeError: the tensor does not require a gradient.
        """
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        edge = self._edge()
        if edge is None:  # a view made under no_grad
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        fn, nr = edge
        if fn.out_hooks is None:
            fn.out_hooks = {}
        if self._fn is None:
            self._hooks = fn.out_hooks.setdefault(0, {})
            self._kept_accumulator = fn  # hooks live as long as the tensor
        return add_hook(fn.out_hooks.setdefault(nr, {}), hook)

    def register_post_accumulate_grad_hook(self, hook):
        """``hook(tensor)`` after ``.grad`` of a leaf was accumulated."""
        if not self._requires:
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf "
                               "tensors or tensors that do not require grad")
        fn, _ = self._edge()
        self._kept_accumulator = fn
        if fn.post_hooks is None:
            fn.post_hooks = {}
        return add_hook(fn.post_hooks, hook)

    def _edge(self):
        """(grad_fn, number) by which the tape reaches this tensor; None without a gradient."""
        fn = self.grad_fn
        if fn is not None:
            return fn, self._nr
        if not self._requires:
            return None
        accumulator = self._accumulator and self._accumulator()
        if accumulator is None:
            accumulator = AccumulateGrad(self)
            self._accumulator = weakref.ref(accumulator)
        return accumulator, 0

    def detach(self) -> Tensor:
        """The same memory, cut from the tape."""
        out = self._alias()
        if self._requires or self._fn is not None:
            out._cut = ("detach()", srcloc.user_location(), None)
        else:
            out._cut = self._cut
        return out

    def _made_at(self) -> srcloc.SourceLoc | None:
        """The line that made this tensor, for messages."""
        if self._run:
            execute.follower.settle(self)
        if self._viewed_at is not None:
            return self._viewed_at
        fn = self._fn
        return fn.loc if fn is not None and fn.loc is not None else self.storage.node.loc

    def detach_(self) -> Tensor:
        """Cut this tensor from the tape, in place."""
        if self._run:
            execute.follower.settle(self)
        if self._base is not None and not self._inference:
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        self._fn, self._nr, self._requires = None, 0, False
        return self

    @property
    def data(self) -> Tensor:
        """The same memory without tape or version tracking; prefer detach()."""
        out = self._alias()
        out._own_counter = VersionCounter()
        return out

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError("Variable data has to be a tensor, but got "
                            f"{type(value).__name__}")
        execute.follower.forget(self)
        self.storage, self.offset, self.dtype = value.storage, value.offset, value.dtype
        self._lay(value.shape, value.strides)
        self._node, self._stamp = value._node, value._stamp

    # --- host access ----------------------------------------------------------------------------

    def _array(self) -> np.ndarray:
        """The values as an array that must not be written or kept."""
        if self._run:
            execute.flush()
        if self.device.type == "meta":
            raise NotImplementedError("Cannot copy out of meta tensor; no data!")
        return execute.realize(self.node())

    def item(self):
        """The only element as a Python number.

        Raises:
            RuntimeError: the tensor does not have exactly one element.
        """
        if sh.numel(self.shape) != 1:
            raise RuntimeError(f"a Tensor with {sh.numel(self.shape)} elements cannot be converted "
                               f"to Scalar: its shape is {tuple(self.shape)}; reduce it first, "
                               "for example with .mean(), or use .tolist()")
        if self._run:
            found = execute.follower.result_of(self)  # of the run before?
            if found is None:
                execute.flush()
                found = execute.follower.result_of(self)
            if found is not None:
                return found
        elif execute.outstanding:
            found = execute.follower.number_in(self.storage)
            if found is not None:
                return found
            execute.flush()  # runs the followed trace, where it ends here
        if self.device.type == "meta":
            raise RuntimeError("Tensor.item() cannot be called on meta tensors")
        return self._array().item()


_new = object.__new__


def _warn_non_leaf_grad() -> None:
    warnings.warn(
        "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad "
        "attribute won't be populated during autograd.backward(). If you indeed want the .grad "
        "field to be populated for a non-leaf Tensor, use .retain_grad() on the non-leaf Tensor.",
        UserWarning, stacklevel=3)
