"""Nested lists, tuples and dictionaries of values, taken apart and put together."""

from __future__ import annotations

from collections import OrderedDict


def flatten(tree) -> tuple[list, object]:
    """(leaves in order, a description that :func:`unflatten` understands)."""
    leaves: list = []
    return leaves, _walk(tree, leaves)


def _walk(tree, leaves: list):
    if isinstance(tree, (dict, OrderedDict)):
        return (type(tree), list(tree), [_walk(v, leaves) for v in tree.values()])
    if isinstance(tree, (list, tuple)):
        return (type(tree), None, [_walk(v, leaves) for v in tree])
    leaves.append(tree)
    return None


def unflatten(spec, leaves):
    """The tree with other leaves."""
    return _build(spec, iter(leaves))


def _build(spec, leaves):
    if spec is None:
        return next(leaves)
    cls, keys, parts = spec
    items = [_build(p, leaves) for p in parts]
    if keys is not None:
        return cls(zip(keys, items, strict=True))
    if hasattr(cls, "fields") and issubclass(cls, tuple) or not hasattr(cls, "_fields"):
        return cls(items)
    return cls(*items)


def tree_map(function, tree):
    """The tree with ``function`` applied to every leaf."""
    leaves, spec = flatten(tree)
    return unflatten(spec, [function(leaf) for leaf in leaves])


def broadcast_prefix(prefix, tree, name: str) -> list:
    """One item of ``prefix`` per leaf of ``tree``: an item may stand for a whole subtree.

    Raises:
        ValueError: the structures do not fit.
    """
    out: list = []

    def walk(p, t):
        if isinstance(p, (list, tuple, dict)):
            fits = isinstance(t, dict) and p.keys() == t.keys() if isinstance(p, dict) else \
                isinstance(t, (list, tuple)) and len(p) == len(t)
            if not fits:
                raise ValueError(f"{name} is not compatible with the structure of its values: got "
                                 f"{p!r}")
            pairs = [(p[k], t[k]) for k in p] if isinstance(p, dict) else zip(p, t, strict=True)
            for a, b in pairs:
                walk(a, b)
        else:
            out.extend([p] * len(flatten(t)[0]))

    walk(prefix, tree)
    return out
