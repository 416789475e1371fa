"""torch.utils._pytree: nested containers taken apart into leaves, and put together again.

Containers are list, tuple, named tuples, dict, OrderedDict, defaultdict, deque and what
:func:`register_pytree_node` adds; everything else, None included, is a leaf. Dictionaries keep the
order of their keys.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable, Iterable
from typing import Any

PyTree = Any
Context = Any


@dataclasses.dataclass(frozen=True)
class SequenceKey:
    """A step into a list or tuple."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx!r}]"

    def get(self, sequence):
        """The item that the step leads to."""
        return sequence[self.idx]


@dataclasses.dataclass(frozen=True)
class MappingKey:
    """A step into a dictionary."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"

    def get(self, mapping):
        """The item that the step leads to."""
        return mapping[self.key]


@dataclasses.dataclass(frozen=True)
class GetAttrKey:
    """A step into a named tuple or an object."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"

    def get(self, obj):
        """The item that the step leads to."""
        return getattr(obj, self.name)


@dataclasses.dataclass(frozen=True)
class _Kind:
    """How a container class is taken apart, put together, and how its steps are called."""

    flatten: Callable
    unflatten: Callable
    keys: Callable | None


def _list(items):
    return list(items), None


def _items(mapping):
    return list(mapping.values()), list(mapping)


def _indices(container, context, count: int) -> list:
    return [SequenceKey(i) for i in range(count)]


def _mapping_keys(container, context, count: int) -> list:
    return [MappingKey(k) for k in container]


def _fields(container, context, count: int) -> list:
    return [GetAttrKey(f) for f in type(container)._fields]


def _mapping(items, keys) -> dict:
    return dict(zip(keys, items, strict=True))


SUPPORTED_NODES: dict[Any, _Kind] = {
    list: _Kind(_list, lambda items, _: list(items), _indices),
    tuple: _Kind(_list, lambda items, _: tuple(items), _indices),
    dict: _Kind(_items, _mapping, _mapping_keys),
    OrderedDict: _Kind(_items, lambda items, keys: OrderedDict(_mapping(items, keys)),
                       _mapping_keys),
    defaultdict: _Kind(lambda d: (list(d.values()), [d.default_factory, list(d)]),
                       lambda items, c: defaultdict(c[0], _mapping(items, c[1])), _mapping_keys),
    deque: _Kind(lambda d: (list(d), d.maxlen), lambda items, n: deque(items, n), _indices),
}
#: stands for every class that namedtuple makes
SUPPORTED_NODES[namedtuple] = _Kind(lambda t: (list(t), type(t)), lambda items, cls: cls(*items),
                                    _fields)


def is_namedtuple_class(cls) -> bool:
    """Whether it is a class made by namedtuple."""
    return isinstance(cls, type) and issubclass(cls, tuple) and isinstance(
        getattr(cls, "_fields", None), tuple)


def is_namedtuple_instance(obj) -> bool:
    """Whether it is a named tuple."""
    return is_namedtuple_class(type(obj))


def is_namedtuple(obj) -> bool:
    """Whether it is a named tuple or the class of one."""
    return is_namedtuple_class(obj if isinstance(obj, type) else type(obj))


def register_pytree_node(cls: type, flatten_fn, unflatten_fn, *, serialized_type_name=None,
                         to_dumpable_context=None, from_dumpable_context=None,
                         flatten_with_keys_fn=None) -> None:
    """Make ``cls`` a container: ``flatten_fn(obj)`` gives (items, context),
    ``unflatten_fn(items, context)`` the object. The names for serialization are accepted.

    Raises:
        ValueError: the class is a container already.
    """
    if cls in SUPPORTED_NODES:
        raise ValueError(f"{cls} is already registered as pytree node.")

    def keys(container, context, count):
        return [key for key, _ in flatten_with_keys_fn(container)[0]]

    SUPPORTED_NODES[cls] = _Kind(flatten_fn, unflatten_fn, keys if flatten_with_keys_fn else None)


_register_pytree_node = register_pytree_node


def _class(tree):
    """The entry of SUPPORTED_NODES that a container belongs to."""
    cls = type(tree)
    return namedtuple if cls not in SUPPORTED_NODES and is_namedtuple_class(cls) else cls


def _kind(tree, is_leaf=None) -> _Kind | None:
    """How ``tree`` is taken apart; None for a leaf."""
    if is_leaf is not None and is_leaf(tree):
        return None
    return SUPPORTED_NODES.get(_class(tree))


@dataclasses.dataclass(init=False)
class TreeSpec:
    """The shape of a tree: a container's class, its context, and the shapes of its items."""

    type: Any
    _context: Context
    _children: list[TreeSpec]
    num_nodes: int = dataclasses.field(compare=False)
    num_leaves: int = dataclasses.field(compare=False)
    num_children: int = dataclasses.field(compare=False)

    def __init__(self, type, context=None, children=()):  # noqa: A002
        self.type, self._context, self._children = type, context, list(children)
        leaf = type is None
        self.num_nodes = 1 + sum(c.num_nodes for c in self._children)
        self.num_leaves = 1 if leaf else sum(c.num_leaves for c in self._children)
        self.num_children = len(self._children)

    @property
    def context(self) -> Context:
        """What the container keeps beside its items."""
        return self._context

    def children(self) -> list[TreeSpec]:
        """The shapes of the items."""
        return list(self._children)

    def child(self, index: int) -> TreeSpec:
        """The shape of one item."""
        return self._children[index]

    @property
    def children_specs(self) -> list[TreeSpec]:
        """The shapes of the items."""
        return self._children

    def is_leaf(self) -> bool:
        """Whether this stands for a leaf."""
        return self.type is None

    def unflatten(self, leaves: Iterable) -> PyTree:
        """The tree with these leaves.

        Raises:
            ValueError: their number is not ``num_leaves``.
        """
        leaves = list(leaves)
        if len(leaves) != self.num_leaves:
            raise ValueError(
                f"treespec.unflatten(leaves): `leaves` has length {len(leaves)} but the spec refers"
                f" to a pytree that holds {self.num_leaves} items ({self}).")
        return self._build(iter(leaves))

    def _build(self, leaves) -> PyTree:
        if self.type is None:
            return next(leaves)
        return SUPPORTED_NODES[self.type].unflatten(
            [c._build(leaves) for c in self._children], self._context)

    def flatten_up_to(self, tree: PyTree) -> list:
        """The subtrees of ``tree`` where this shape has leaves.

        Raises:
            ValueError: the tree's containers are other ones, or of another length.
        """
        if self.type is None:
            return [tree]
        kind = _kind(tree)
        cls = _class(tree)
        if kind is None or cls is not self.type and not (
                {cls, self.type} <= {dict, OrderedDict, defaultdict}):
            raise ValueError(f"Node type mismatch; expected {self.type}, but got {type(tree)}.")
        items, context = kind.flatten(tree)
        if len(items) != self.num_children:
            raise ValueError(
                f"Node arity mismatch; expected {self.num_children}, but got {len(items)}.")
        if self.type in (dict, OrderedDict, defaultdict):
            keys = self._context[1] if self.type is defaultdict else self._context
            if set(keys) != set(tree):
                raise ValueError(f"Node keys mismatch; expected {keys}, but got {list(tree)}.")
            items = [tree[k] for k in keys]
        elif context != self._context:
            raise ValueError(
                f"Node context mismatch for node type {self.type}: {self._context!r}, {context!r}")
        return [leaf for c, item in zip(self._children, items, strict=True)
                for leaf in c.flatten_up_to(item)]

    def __hash__(self) -> int:
        return hash((self.type, str(self._context), tuple(self._children)))

    def __repr__(self, indent: int = 0) -> str:
        if self.type is None:
            return "*"
        inner = [c.__repr__(indent + 2) for c in self._children]
        joined = (",\n" + " " * (indent + 2)).join(inner)
        return f"TreeSpec({self.type.__name__}, {self._context}, [{joined}])"

    __str__ = __repr__


PyTreeSpec = TreeSpec


class LeafSpec(TreeSpec):
    """The shape of a leaf."""

    def __init__(self):
        super().__init__(None)

    __hash__ = TreeSpec.__hash__
    __repr__ = __str__ = TreeSpec.__repr__

    def __eq__(self, other) -> bool:
        return isinstance(other, TreeSpec) and other.type is None


_LEAF = LeafSpec()


def _walk(tree, leaves: list, is_leaf) -> TreeSpec:
    kind = _kind(tree, is_leaf)
    if kind is None:
        leaves.append(tree)
        return _LEAF
    items, context = kind.flatten(tree)
    return TreeSpec(_class(tree), context, [_walk(item, leaves, is_leaf) for item in items])


def tree_flatten(tree: PyTree, is_leaf=None) -> tuple[list, TreeSpec]:
    """The leaves in order, and the shape. ``is_leaf(x)`` true: x is a leaf whatever it is."""
    leaves: list = []
    spec = _walk(tree, leaves, is_leaf)
    return leaves, spec


def tree_unflatten(leaves: Iterable, treespec: TreeSpec) -> PyTree:
    """The tree of this shape with these leaves.

    Raises:
        ValueError: there are too many or too few leaves.
        TypeError: ``treespec`` is no TreeSpec.
    """
    if not isinstance(treespec, TreeSpec):
        raise TypeError(f"tree_unflatten(leaves, treespec): Expected `treespec` to be instance of "
                        f"TreeSpec but got item of type {type(treespec)}.")
    return treespec.unflatten(leaves)


def tree_leaves(tree: PyTree, is_leaf=None) -> list:
    """The leaves in order."""
    return tree_flatten(tree, is_leaf)[0]


def tree_iter(tree: PyTree, is_leaf=None):
    """The leaves in order, one at a time."""
    yield from tree_leaves(tree, is_leaf)


def tree_structure(tree: PyTree, is_leaf=None) -> TreeSpec:
    """The shape of the tree."""
    return tree_flatten(tree, is_leaf)[1]


def tree_is_leaf(tree: PyTree, is_leaf=None) -> bool:
    """Whether the value is a leaf."""
    return _kind(tree, is_leaf) is None


def tree_map(func: Callable, tree: PyTree, *rests: PyTree, is_leaf=None) -> PyTree:
    """The tree of ``func(leaf, *what the others have there)``.

    Raises:
        ValueError: the other trees have other containers.
    """
    leaves, spec = tree_flatten(tree, is_leaf)
    return spec.unflatten(map(func, leaves, *(spec.flatten_up_to(r) for r in rests)))


def tree_map_(func: Callable, tree: PyTree, *rests: PyTree, is_leaf=None) -> PyTree:
    """Call ``func`` on every leaf; returns the tree itself."""
    tree_map(func, tree, *rests, is_leaf=is_leaf)
    return tree


def _only(types, func: Callable, other: Callable) -> Callable:
    """``func`` for values of these types (or for which it is true), ``other`` for the rest."""
    if not isinstance(types, type) and not isinstance(types, tuple) and callable(types):
        return lambda x: func(x) if types(x) else other(x)
    return lambda x: func(x) if isinstance(x, types) else other(x)


def map_only(type_or_types_or_pred, /) -> Callable:
    """Decorator: a function of these types that leaves other values as they are."""
    return lambda func: _only(type_or_types_or_pred, func, lambda x: x)


def tree_map_only(type_or_types_or_pred, /, func: Callable, tree: PyTree, is_leaf=None) -> PyTree:
    """tree_map for the leaves of some types; the others stay."""
    return tree_map(map_only(type_or_types_or_pred)(func), tree, is_leaf=is_leaf)


def tree_map_only_(type_or_types_or_pred, /, func: Callable, tree: PyTree, is_leaf=None) -> PyTree:
    """tree_map_ for the leaves of some types."""
    return tree_map_(map_only(type_or_types_or_pred)(func), tree, is_leaf=is_leaf)


def tree_all(pred: Callable, tree: PyTree, is_leaf=None) -> bool:
    """Whether ``pred`` holds for all leaves."""
    return all(map(pred, tree_leaves(tree, is_leaf)))


def tree_any(pred: Callable, tree: PyTree, is_leaf=None) -> bool:
    """Whether ``pred`` holds for some leaf."""
    return any(map(pred, tree_leaves(tree, is_leaf)))


def tree_all_only(type_or_types, /, pred: Callable, tree: PyTree, is_leaf=None) -> bool:
    """Whether ``pred`` holds for all leaves of these types."""
    return tree_all(_only(type_or_types, pred, lambda x: True), tree, is_leaf)


def tree_any_only(type_or_types, /, pred: Callable, tree: PyTree, is_leaf=None) -> bool:
    """Whether ``pred`` holds for some leaf of these types."""
    return tree_any(_only(type_or_types, pred, lambda x: False), tree, is_leaf)


def _paths(tree, path: tuple, out: list, is_leaf) -> None:
    kind = _kind(tree, is_leaf)
    if kind is None:
        out.append((path, tree))
        return
    if kind.keys is None:
        raise ValueError(f"Did not find a flatten_with_keys_fn for type: {type(tree)}. Please pass "
                         "a flatten_with_keys_fn argument to register_pytree_node.")
    items, context = kind.flatten(tree)
    for key, item in zip(kind.keys(tree, context, len(items)), items, strict=True):
        _paths(item, (*path, key), out, is_leaf)


def tree_leaves_with_path(tree: PyTree, is_leaf=None) -> list[tuple[tuple, Any]]:
    """(the steps to it, leaf) of every leaf."""
    out: list = []
    _paths(tree, (), out, is_leaf)
    return out


def tree_flatten_with_path(tree: PyTree, is_leaf=None) -> tuple[list, TreeSpec]:
    """[(the steps to it, leaf)] and the shape."""
    return tree_leaves_with_path(tree, is_leaf), tree_structure(tree, is_leaf)


def tree_map_with_path(func: Callable, tree: PyTree, *rests: PyTree, is_leaf=None) -> PyTree:
    """tree_map with the steps to the leaf as first argument."""
    pairs, spec = tree_flatten_with_path(tree, is_leaf)
    others = [spec.flatten_up_to(r) for r in rests]
    return spec.unflatten(func(path, leaf, *more)
                          for (path, leaf), *more in zip(pairs, *others, strict=True))


def keystr(kp: tuple) -> str:
    """The steps as text: ``['a'][0]``."""
    return "".join(map(str, kp))


def key_get(obj, kp: tuple):
    """Where the steps lead from ``obj``."""
    for key in kp:
        obj = key.get(obj)
    return obj
