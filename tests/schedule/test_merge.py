"""Groups that walk the same rows become one."""

import numpy as np

from flambeau.graph.graph import Graph
from flambeau.ir.node import leaf
from flambeau.ops.prim import elementwise as E
from flambeau.ops.prim import reduce as R
from flambeau.schedule.compile import schedule_graph


def floats(*shape):
    return leaf(np.random.default_rng(0).standard_normal(shape, dtype=np.float32))


def kernels(outputs) -> int:
    return len(schedule_graph(Graph.capture(outputs)[0]).entries)


def test_statistics_of_two_arrays():
    """The sum over y starts a group of its own; what needs both joins the two."""
    x, y = floats(64, 40), floats(64, 40)
    e = E.exp(E.sub(x, R.sum(x, (1,), True)))
    assert kernels([E.sub(e, E.mul(y, R.sum(y, (1,), True)))]) == 1


def test_other_rows_stay_apart():
    x, y = floats(64, 40), floats(64, 40)
    e = E.exp(E.sub(x, R.sum(x, (1,), True)))
    assert kernels([E.sub(e, E.mul(y, R.sum(y, (0,), True)))]) > 1


def test_what_is_computed_in_between_keeps_them_apart():
    """The second group needs the sum of all rows' results of the first."""
    x, y = floats(64, 40), floats(64, 40)
    e = E.exp(E.sub(x, R.sum(x, (1,), True)))
    total = R.sum(e)
    assert kernels([E.mul(E.sub(e, R.sum(E.mul(y, total), (1,), True)), y)]) > 1
