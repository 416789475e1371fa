"""torch.utils._pytree and torch.utils.hooks; the expected texts are PyTorch's."""

from collections import OrderedDict, defaultdict, deque, namedtuple

import pytest

import flambeau as torch
from flambeau.utils import _pytree as tree
from flambeau.utils.hooks import RemovableHandle

Point = namedtuple("Point", "x y")
TREES = [5, None, [], [1, (2, None)], {"a": [1, 2], "b": 3}, Point(1, [2]), deque([1, 2], 3),
         OrderedDict(b=1, a=2), defaultdict(list, z=[1])]


@pytest.mark.parametrize("value", TREES, ids=repr)
def test_round_trip(value):
    leaves, spec = tree.tree_flatten(value)
    again = tree.tree_unflatten(leaves, spec)
    assert again == value and type(again) is type(value)
    assert spec == tree.tree_structure(value) and hash(spec) == hash(tree.tree_structure(value))
    assert spec.num_leaves == len(leaves)


@pytest.mark.parametrize("value", TREES, ids=repr)
def test_like_pytorch(value):
    theirs = pytest.importorskip("torch.utils._pytree")
    leaves, spec = theirs.tree_flatten(value)
    ours = tree.tree_structure(value)
    assert tree.tree_leaves(value) == leaves
    assert str(ours) == str(spec)
    assert (ours.num_nodes, ours.num_leaves, ours.num_children) == (
        spec.num_nodes, spec.num_leaves, spec.num_children)
    assert [(tree.keystr(p), v) for p, v in tree.tree_leaves_with_path(value)] == [
        (theirs.keystr(p), v) for p, v in theirs.tree_leaves_with_path(value)]


def test_maps():
    value = {"a": [1, 2], "b": "x"}
    assert tree.tree_map(lambda a, b: (a, b), [1, 2], [3, [4]]) == [(1, 3), (2, [4])]
    assert tree.tree_map_only(int, lambda x: -x, value) == {"a": [-1, -2], "b": "x"}
    assert tree.tree_all_only(int, lambda x: x > 0, value)
    assert tree.tree_any(lambda x: x == "x", value)
    assert tree.tree_leaves(value, is_leaf=lambda x: isinstance(x, list)) == [[1, 2], "x"]
    assert tree.key_get(value, tree.tree_leaves_with_path(value)[1][0]) == 2


def test_registered_class():
    class Pair:
        def __init__(self, a, b):
            self.a, self.b = a, b

    tree.register_pytree_node(Pair, lambda p: ([p.a, p.b], None), lambda items, _: Pair(*items))
    assert tree.tree_map(lambda x: x + 1, Pair(1, 2)).b == 3
    with pytest.raises(ValueError, match="already registered"):
        tree.register_pytree_node(Pair, None, None)


def test_errors():
    spec = tree.tree_structure([1, 2])
    with pytest.raises(ValueError, match="has length 1 but the spec refers to a pytree that holds"):
        tree.tree_unflatten([1], spec)
    with pytest.raises(ValueError, match="Node arity mismatch; expected 2, but got 1."):
        tree.tree_map(lambda a, b: a, [1, 2], [1])
    with pytest.raises(TypeError, match="instance of TreeSpec"):
        tree.tree_unflatten([1], None)


def test_hooks():
    handle = torch.nn.Linear(1, 1).register_forward_hook(lambda *a: None)
    assert isinstance(handle, RemovableHandle)
