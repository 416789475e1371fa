"""One memory read as two dtypes: complex numbers, and the real numbers that they are pairs of.

An :class:`Alias` stands beside the storage that owns the memory. It has no content: what it reads
is computed from the owner's content, and what is written to it is written there, so that both see
each other's writes at all times, pending or not.
"""

from __future__ import annotations

import weakref

import numpy as np

from ..base import dtype as dt
from ..base import shape as sh
from ..ir.node import Node, leaf, make
from ..ir.view import VIEW_SET, strided, view
from ..ops.lib.complex import AS_COMPLEX, AS_REAL
from ..runtime import execute
from .storage import Storage, window

#: the aliases in use by the id of their owner, which they keep alive
_known: weakref.WeakValueDictionary[int, Alias] = weakref.WeakValueDictionary()


def read_as(storage: Storage, dtype: dt.dtype) -> Storage:
    """The same memory as numbers of ``dtype``: complex ones of half as many, or the other way."""
    owner = storage.owner
    if owner.dtype is dtype:
        return owner
    found = _known.get(id(owner))
    if found is None or found.dtype is not dtype:
        found = _known[id(owner)] = Alias(owner, dtype)
    return found


def as_pairs(node: Node) -> Node:
    """Complex numbers as the real numbers that they are made of, in memory's order; one more
    dimension."""
    return make(AS_REAL, (node,))


def as_complex(node: Node) -> Node:
    """Real numbers in memory's order as complex ones, in one row; an odd one is left out."""
    count = sh.numel(node.shape) // 2
    return make(AS_COMPLEX, (view(node, (count, 2), (2, 1), 0),))


class Alias(Storage):
    """The memory of another storage.

    Attributes:
        owner: the storage that has the content.
    """

    __slots__ = ("_dtype", "_owner")

    def __init__(self, owner: Storage, dtype: dt.dtype):
        self._owner, self._dtype = owner, dtype

    owner = property(lambda self: self._owner)
    dtype = property(lambda self: self._dtype)
    device = property(lambda self: self._owner.device)
    stamp = property(lambda self: self._owner.stamp)
    born = property(lambda self: self._owner.born)
    shared = property(lambda self: self._owner.shared)
    version = property(lambda self: self._owner.version,
                       lambda self, value: setattr(self._owner, "version", value))
    written_at = property(lambda self: self._owner.written_at,
                          lambda self, value: setattr(self._owner, "written_at", value))

    @property
    def numel(self) -> int:
        """How many elements."""
        count = self._owner.numel
        return count // 2 if self._dtype.is_complex else 2 * count

    @property
    def node(self) -> Node:
        """The content, made of the owner's."""
        node = self._owner.node
        return as_complex(node) if self._dtype.is_complex else as_pairs(node)

    @property
    def memory(self) -> np.ndarray | None:
        """What NumPy shares, as numbers of this dtype."""
        memory = self._owner.memory
        return None if memory is None else self._cast(memory)

    def _cast(self, flat: np.ndarray) -> np.ndarray:
        size = self.numel * self._dtype.itemsize // flat.itemsize
        return flat[:size].view(self._dtype.np)

    def address(self) -> int:
        """Where the content begins in memory; 0 while it is pending."""
        return self._owner.address()

    def array(self) -> np.ndarray:
        """The content as a flat array; runs what is pending. Not to be written."""
        return self._cast(self._owner.array())

    def export(self, shape, strides, offset: int) -> np.ndarray:
        """A NumPy array that shares the memory both ways, for as long as it or a view lives."""
        whole = self._owner.export((self._owner.numel,), (1,), 0)
        return window(self._cast(whole), shape, strides, offset)

    def write(self, node: Node, shape, strides, offset: int) -> None:
        """Replace the region (shape, strides, offset) by ``node`` of that shape and our dtype."""
        owner = self._owner
        if owner.memory is not None and owner.shared:
            value = execute.realize(node)
            strided(self.memory, shape, strides, offset)[...] = value
            owner.node = leaf(owner.memory, owner.dtype)
            owner.stamp += 1
            return
        if offset or sh.numel(shape) != self.numel or not sh.is_contiguous(shape, strides):
            node = make(VIEW_SET, (self.node, node), (tuple(strides), offset))
        content = as_pairs(node) if self._dtype.is_complex else as_complex(node)
        owner.write(content, content.shape, content.strides, 0)
