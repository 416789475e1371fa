"""Matrix products: which operands, strides and epilogue a dot group has."""

from __future__ import annotations

from typing import NamedTuple

from .group import Group, Grouping


class Dot(NamedTuple):
    """A matrix product with its epilogue (see ``runtime/plan.py`` for how it runs)."""

    scratch: int
    work: int


def build_dot(g: Grouping, group: Group) -> Dot:
    """The product and epilogue of a dot group."""
    raise NotImplementedError("matrix products in plans")
