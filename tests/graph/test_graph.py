"""Graphs: capture, keys, text, checks and index arithmetic."""

import numpy as np
import pytest

from flambeau.graph.access import through, whole
from flambeau.graph.graph import Graph
from flambeau.graph.transposed import turn_products
from flambeau.graph.text import GraphTextError, parse, to_text
from flambeau.graph.verify import GraphError, verify
from flambeau.ir.node import leaf
from flambeau.ir.view import view
from flambeau.ops.prim import contract as C
from flambeau.ops.prim import elementwise as E
from flambeau.ops.prim import reduce as R
from flambeau.ops.prim import shape as S


def example(rows=4):
    x, w = leaf(np.ones((rows, 3), np.float32)), leaf(np.ones((5, 3), np.float32))
    h = E.relu(C.linear(x, w))
    new = E.sub(w, E.mul(w, 0.1))
    return [R.sum(h, 1), new], {w: new}


def test_text_is_read_back():
    outputs, donated = example()
    graph, leaves = Graph.capture(outputs, donated=donated)
    verify(graph)
    again = parse(to_text(graph))
    assert again.key == graph.key
    assert to_text(again) == to_text(graph)
    assert len(leaves) == len(graph.leaves)
    assert graph.overlaps  # w and its transpose share memory
    with pytest.raises(GraphTextError, match="line 2"):
        parse("graph\n  %0 = nonsense float32[]")


def test_key_depends_on_shapes_not_numbers():
    keys = [Graph.capture(example(n)[0])[0].key for n in (4, 4, 5)]
    assert keys[0] == keys[1] != keys[2]
    x = leaf(np.ones(3, np.float32))
    a, b = Graph.capture([E.mul(x, 2.0)])[0], Graph.capture([E.mul(x, 3.0)])[0]
    assert a.key == b.key


def test_capture_takes_only_what_is_needed():
    x = leaf(np.ones(3, np.float32))
    a = E.exp(x)
    E.exp(a)
    b = E.neg(a)
    graph, _ = Graph.capture([b], nodes=[a, b])
    assert len(graph) == 3
    assert Graph.capture([b])[0].key == graph.key


def test_checks():
    graph, _ = Graph.capture(example()[0])
    graph.nodes[-1].srcs = (len(graph.nodes), 0)
    with pytest.raises(GraphError, match="check_order"):
        verify(graph)
    x = leaf(np.ones((2, 3), np.float32))
    y = E.exp(x)
    wrong = view(y, (2, 4), (3, 1), 0)
    graph, _ = Graph.capture([wrong])
    with pytest.raises(GraphError, match="check_shapes"):
        verify(graph)


@pytest.mark.parametrize("seed", range(30))
def test_views_compose_as_numpy_does(seed):
    rng = np.random.default_rng(seed)
    base = np.arange(4 * 6 * 5)
    shape, strides = (4, 6, 5), (30, 5, 1)
    order = rng.permutation(3)
    first = (tuple(shape[i] for i in order), tuple(strides[i] for i in order), 0)
    inner = through(whole(0, shape), *first)
    value = np.ascontiguousarray(base.reshape(shape).transpose(order)).reshape(-1)
    for second in (((first[0][0], first[0][1] * first[0][2]), (first[0][1] * first[0][2], 1), 0),
                   ((2, first[0][2]), (first[0][2] * first[0][1], 1), first[0][2] - 1 and 0),
                   ((3, 2), (1, first[0][2]), 1), ((7,), (0,), 3)):
        found = through(inner, *second)
        if found is None:
            continue
        want = np.lib.stride_tricks.as_strided(value[second[2]:], second[0],
                                               [s * 8 for s in second[1]])
        got = np.lib.stride_tricks.as_strided(base[found.offset:], found.shape,
                                              [s * 8 for s in found.strides])
        np.testing.assert_array_equal(got, want)


def test_products_read_transposed_are_turned():
    x, g = leaf(np.ones((7, 3), np.float32)), leaf(np.ones((7, 4), np.float32))
    product = C.dot(S.transpose(x, 0, 1), g)
    graph, _ = Graph.capture([E.neg(S.transpose(product, 0, 1))])
    turned = turn_products(graph)
    verify(turned)
    assert [n.prim.name for n in turned.nodes].count("dot") == 1
    assert next(n for n in turned.nodes if n.prim.name == "dot").shape == (4, 3)
    assert len(turned.leaves) == len(graph.leaves)
    kept, _ = Graph.capture([S.transpose(product, 0, 1), product])
    assert turn_products(kept) is kept
