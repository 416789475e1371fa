"""Plans of structures that come again and again with other sizes.

A batch of another size gives a graph that was never seen, of a structure that was. Once a structure
has come with several sizes, a template of its schedules is made
(:mod:`flambeau.schedule.template`); from then on a new size is neither interpreted nor planned: its
plan follows by arithmetic.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..base.flags import values as flags
from ..base.late import late
from ..graph.graph import Graph

if TYPE_CHECKING:
    from ..schedule import template
    from . import plan as planner
else:
    planner, template = late(".plan", __package__), late("..schedule.template", __package__)

#: structures that are remembered
MAX_FAMILIES = 256
#: what making a template takes, what a plan from it saves for each record, and what for each
#: element, in picoseconds
_COST, _SAVED, _SAVED_ELEMENT = 50_000_000, 1_500_000, 500
#: sizes that are interpreted in any case before there is a template
LEAST_PATIENCE = 2

#: by structure: the first graph's records and a count, or the family
_families: dict[tuple, tuple[tuple, int] | template.Family] = {}


def patience(graph: Graph) -> int:
    """How many sizes of a structure are interpreted before a template is made: as many as it takes
    to save what that costs. Plans of small arrays save little."""
    rows = graph.rows
    elements = sum([math.prod(row[3]) for row in rows]) // len(rows)
    return max(LEAST_PATIENCE, _COST // (_SAVED + _SAVED_ELEMENT * elements))


def forget(graph: Graph) -> None:
    """A plan of the structure did not fit its inputs: it is planned anew for each size."""
    known = _families.get(graph.structure)
    if known is not None and not isinstance(known, tuple):
        known.close()


def plan_of(graph: Graph) -> planner.Plan | None:
    """The plan of a graph whose sizes are new, if its structure is known well enough."""
    if flags.debug:  # whoever looks at plans wants to see their own sizes
        return None
    structure = graph.structure
    known = _families.get(structure)
    if known is None:
        while len(_families) >= MAX_FAMILIES:
            _families.pop(next(iter(_families)))
        known = graph.rows, 0
    if isinstance(known, tuple):
        rows, count = known
        if count < patience(graph):
            _families[structure] = rows, count + 1
            return None
        known = _families[structure] = template.Family(rows)
    return planner.from_family(known, graph, patience(graph))
