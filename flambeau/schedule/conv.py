"""Convolutions: operands, geometry and what is done to the elements afterwards.

``correlate`` is a matrix product with an epilogue (a "dot" group: its batch is the images times the
groups, its rows are a group's outputs, its columns the positions). ``correlate_weight``, which
sums over the batch, is a "weight" group of one record.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from ..kernel.windows import Windows
from ..graph.access import Access
from ..graph.graph import Graph
from ..kernel.ir import Kernel
from .dot import SHORT, Epilogue, home, only_copies
from .group import Grouping, Group, operands

NAMES = {"correlate", "correlate_weight"}
DTYPES = {"float32", "float64"}

Pointers = list[tuple[int, int | None, int]]


class Conv(NamedTuple):
    """A convolution's kernel.

    Attributes:
        dtype: of everything.
        windows: how X is read.
        rows, channels, groups: outputs and inputs of one group; groups.
        parts: of the weights' sum; 0: the forward direction.
        x_steps: strides of X from group to group and from channel to channel.
        x, w, y: (root, byte offset); the result is one of the last two.
        kernel, words, pointers, flat: the epilogue, as in ``Dot``.
        scratch: always 0.
        work: element operations.
    """

    dtype: str
    windows: Windows
    rows: int
    channels: int
    groups: int
    parts: int
    x_steps: tuple[int, int]
    x: tuple[int, int]
    w: tuple[int, int]
    y: tuple[int, int]
    kernel: Kernel | None
    words: list[int]
    pointers: Pointers
    flat: tuple[Kernel, list[int], Pointers] | None
    scratch: int
    work: int


def convolved(graph: Graph, i: int) -> bool:
    """Whether the convolution kernels can compute this record, if they can read its operands."""
    node = graph.nodes[i]
    return (node.prim.name in NAMES and node.dtype.name in DTYPES and 0 not in node.shape
            and all(0 not in graph.nodes[s].shape for s in node.srcs))


def windowed(a: Access) -> bool:
    """Whether windows of an operand's planes are read vector by vector."""
    return a.shape[-1] == 1 or a.strides[-1] == 1


def packed(a: Access) -> bool:
    """Whether an operand lies row-major in memory."""
    step = 1
    for n, s in zip(reversed(a.shape), reversed(a.strides), strict=True):
        if n != 1 and s != step:
            return False
        step *= n
    return True


def matrix_of(graph: Graph, i: int) -> tuple[int, int]:
    """Rows and columns of one image and group of ``correlate``."""
    node = graph.nodes[i]
    return node.shape[1] // node.params[2], math.prod(node.shape[2:])


def build_conv(g: Grouping, group: Group, late: set[int] | frozenset[int] = frozenset()) -> Conv:
    """The convolution and epilogue of a group; values in ``late`` overwrite what is read."""
    record = group.members[0]
    nodes = g.graph.nodes
    node = nodes[record]
    x, other = operands(g, record)
    size = node.dtype.itemsize
    forward = node.prim.name == "correlate"
    if forward:
        out, taps, groups = node.params
        channels, outputs, parts = nodes[node.srcs[1]].shape[1], node.shape[1], 0
        target = home(g, group, late)
    else:
        taps, groups, parts = node.params
        out, outputs = nodes[node.srcs[1]].shape[2:], node.shape[1]
        channels, target = node.shape[2], record
    windows = Windows(taps, out, x.shape[3:], (x.strides[0], *x.strides[2:]), x.shape[0])
    read, written = (other.root, other.offset * size), (target, 0)
    w, y = (read, written) if forward else (written, read)
    kernel, words, pointers, flat = _epilogue(g, group, late, target) if forward else \
        (None, [], [], None)
    count = x.shape[0] * math.prod(out) * outputs * channels * len(taps)
    return Conv(node.dtype.name, windows, outputs // groups, channels, groups, parts,
                (channels * x.strides[1], x.strides[1]), (x.root, x.offset * size), w, y,
                kernel, words, pointers, flat, 0, count // 2 + 1)


def _epilogue(g: Grouping, group: Group, late, target: int):
    if only_copies(g, group, target):
        return None, [], [], None
    built = Epilogue(g, group, late, target)
    m, n = group.matrix
    flat = None
    kernel, words, pointers = built.kernel()
    if 1 < n < SHORT and m > 1 and n % 16:
        flat = built.flat_kernel(n)
    return kernel, words, pointers, flat
