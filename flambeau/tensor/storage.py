"""Memory as the program sees it: aliasing, versions, sharing with NumPy. Only here.

A :class:`Storage` is one block of elements that any number of tensors view. Its current content is
a graph node; writing replaces the node (and, where a NumPy array shares the memory, the array's
elements at once). Tensors cache what they read together with the storage's ``stamp``.

Invariant: ``storage.node`` has ``storage.numel`` elements, row-major.
"""

from __future__ import annotations

import weakref

import numpy as np

from ..base import device as dv
from ..base import dtype as dt
from ..base import shape as sh
from ..ir.batch import Count
from ..ir.node import Node, const, leaf, make
from ..ir.view import VIEW_SET, broadcast, strided, view
from ..runtime import execute


class VersionCounter:
    """Counts in-place writes; a tensor and its views share one, ``x.data`` has its own."""

    __slots__ = ("version", "written_at", "__weakref__")

    def __init__(self):
        self.version = 0
        self.written_at = None


class _Exported:
    """Owns a NumPy view of a storage; while it lives, so does the sharing."""

    __slots__ = ("__array_interface__", "_keep", "__weakref__")

    def __init__(self, array: np.ndarray):
        self.__array_interface__ = array.__array_interface__
        self._keep = array


class Storage:
    """One block of elements.

    Attributes:
        node: the content; row-major, ``numel`` elements.
        stamp: changes whenever the content does.
        version: in-place writes so far (the default version counter of its tensors).
        written_at: the line of the last of them.
        memory: the flat NumPy array that must always hold the content, or None.
        prior: the content before the writes that are pending; its array may be written over.
        born: the level of vmap that was at work, 0 for none.
    """

    __slots__ = ("node", "device", "stamp", "version", "written_at", "memory",
                 "adopted", "prior", "born", "_export", "_address", "_addressed", "__weakref__")

    def __init__(self, node: Node, device: dv.device = dv.CPU):
        self.node = node
        self.device = device
        self.stamp = self.version = 0
        self.written_at = None
        self.memory: np.ndarray | None = None
        self.adopted = False
        self.prior: Node | None = None
        self.born = Count.current
        self._export = None
        self._address, self._addressed = 0, -1  # of the content with that stamp

    @property
    def owner(self) -> Storage:
        """The storage whose memory this is, see alias.py."""
        return self

    @property
    def numel(self) -> int:
        """How many elements."""
        return sh.numel(self.node.shape)

    @property
    def dtype(self) -> dt.dtype:
        """Their type."""
        return self.node.dtype

    @classmethod
    def over(cls, memory: np.ndarray, dtype: dt.dtype) -> Storage:
        """A storage that shares a flat NumPy array for good."""
        self = cls(leaf(memory, dtype))
        self.memory = memory
        self.adopted = True
        return self

    # --- reading --------------------------------------------------------------------------------

    def read(self, shape, strides, offset: int) -> Node:
        """The content through strides."""
        execute.touches += 1
        node = self.node
        if node.shape == shape and offset == 0 and sh.is_contiguous(shape, strides):
            return node
        return view(node, shape, strides, offset)

    def address(self) -> int:
        """Where the content begins in memory; 0 while it is pending or not row-major."""
        if self._addressed != self.stamp:
            value = self.node.value
            if value is None or not value.flags.c_contiguous:
                return 0
            self._address = value.__array_interface__["data"][0]
            self._addressed = self.stamp
        return self._address

    @property
    def shared(self) -> bool:
        """Whether NumPy can change or see the memory now, so that nothing may stay pending."""
        if self.memory is None:
            return False
        if self.adopted or (self._export is not None and self._export() is not None):
            return True
        self.memory = self._export = None  # the last exported array is gone
        return False

    def array(self) -> np.ndarray:
        """The content as a flat array; runs what is pending. Not to be written."""
        if execute.outstanding:
            execute.follower.read(self)
        execute.touches += 1
        value = execute.realize(self.node)
        if not value.flags.c_contiguous:
            value = self.node.value = np.ascontiguousarray(value)
        return value.reshape(-1)

    def export(self, shape, strides, offset: int) -> np.ndarray:
        """A NumPy array that shares the memory both ways, for as long as it or a view lives."""
        if execute.outstanding:
            execute.follower.read(self)
        execute.touches += 1
        if not self.shared:
            # other tensors may hold the same value: what NumPy can change must be ours alone
            self.memory = self.array().copy()
            self.node = leaf(self.memory, self.dtype)
            self.stamp += 1
        if self.adopted:
            return window(self.memory, shape, strides, offset)
        owner = self._export() if self._export is not None else None
        if owner is None:
            owner = _Exported(self.memory)
            self._export = weakref.ref(owner)
        return window(np.asarray(owner), shape, strides, offset)

    # --- writing --------------------------------------------------------------------------------

    def write(self, node: Node, shape, strides, offset: int) -> None:
        """Replace the region (shape, strides, offset) by ``node`` of that shape and our dtype."""
        if execute.outstanding:
            execute.follower.settle(None, self)
        execute.touches += 1
        size = self.node.shape
        whole = (shape == size or sh.numel(shape) == sh.numel(size)) \
            and offset == 0 and sh.is_contiguous(shape, strides)
        if self.memory is not None and self.shared:
            value = execute.realize(node)
            region = strided(self.memory, shape, strides, offset)
            region[...] = value
            self.node = leaf(self.memory, self.dtype)
            self.stamp += 1
            return
        old = self.node
        if old.value is not None and self.prior is None:
            self.prior = old
            execute.dirty.append(weakref.ref(self))
        if whole:
            self.node = node
        else:
            self.node = make(VIEW_SET, (self.node, node), (tuple(strides), offset))
        self.stamp += 1


def window(base: np.ndarray, shape, strides, offset: int) -> np.ndarray:
    """A flat array through strides, in elements."""
    flat = base.reshape(-1)
    if 0 in shape:
        return np.empty(shape, base.dtype)
    size = base.itemsize
    return np.lib.stride_tricks.as_strided(
        flat[offset:], shape, tuple(s * size for s in strides))


def zeros_node(shape, dtype: dt.dtype) -> Node:
    """A node of zeros."""
    return broadcast(const(0, dtype), shape)
