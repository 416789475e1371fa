"""Cheap values are computed again instead of stored, and only where that moves fewer bytes."""

import math

import numpy as np

from flambeau.graph.graph import Graph
from flambeau.ir.node import leaf
from flambeau.ops.prim import elementwise as E
from flambeau.ops.prim import reduce as R
from flambeau.ops.prim import shape as S
from flambeau.ops.prim.pointwise import rsqrt
from flambeau.schedule.compile import schedule_graph
from flambeau.schedule.recompute import LEAST_BYTES


def floats(*shape):
    return leaf(np.random.default_rng(0).standard_normal(shape, dtype=np.float32))


def stored(outputs) -> list[str]:
    """Primitives of the large values in memory that are no outputs."""
    schedule = schedule_graph(Graph.capture(outputs)[0])
    nodes = schedule.graph.nodes
    return [nodes[i].prim.name for i, (kind, _) in schedule.place.items()
            if i >= 0 and kind == "arena" and 4 * math.prod(nodes[i].shape) >= LEAST_BYTES]


def normalized(x, axes):
    """x less its mean, over its deviation."""
    centred = E.sub(x, R.mean(x, axes, True))
    return E.mul(centred, rsqrt(R.mean(E.mul(centred, centred), axes, True)))


def test_column_statistics_store_nothing():
    x, g = floats(512, 64), floats(512, 64)
    y = normalized(x, (0,))
    back = E.sub(g, E.mul(y, R.mean(E.mul(g, y), (0,), True)))
    assert stored([back]) == []


def test_groups_of_channels_store_nothing():
    x, w = floats(4, 8, 16, 16), floats(8, 1, 1)
    y = S.reshape(normalized(S.reshape(x, (4, 2, 1024)), (2,)), (4, 8, 16, 16))
    assert stored([E.mul(y, w)]) == []


def test_dear_values_are_stored():
    x = floats(512, 64)
    y = E.exp(x)
    z = E.mul(y, R.sum(y, (0,), True))
    assert stored([E.sub(z, R.sum(z, (0,), True))]) == ["exp"]


def test_sums_of_large_values_are_stored():
    """To read two arrays again costs as much as to store the value."""
    x, y = E.exp(floats(512, 64)), E.exp(floats(64, 512))
    z = E.add(S.transpose(y, 0, 1), x)
    assert "add" in stored([E.mul(z, R.sum(z, (0,), True))])


def test_small_values_are_stored():
    x = floats(32, 8)
    centred = E.sub(x, R.mean(x, (0,), True))
    schedule = schedule_graph(Graph.capture([E.mul(centred, R.sum(centred, (0,), True))])[0])
    assert all(not group.again for group in schedule.grouping.groups)
