"""A schedule with addresses and machine code: what a repeated flush runs.

A :class:`Plan` owns one block of int64 words: *cells* (the address of every leaf, output and host
result), numbers of the program, the argument blocks of all kernels and the tables the thread team
walks. Argument blocks hold real addresses; they are copied from the cells (plus an offset) by the
first row of a segment's table, natively, so that a changed input costs Python one assignment.

A segment is a run of kernels between two host steps.
"""

from __future__ import annotations

import ctypes
from array import array
import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain

import numpy as np

from ..base.flags import values as flags
from ..codegen.loops_memory import NoVectorForm
from ..graph.graph import Graph
from ..graph.text import to_text as graph_text
from ..graph.transposed import turn_products
from ..graph.verify import verify
from ..ir.node import CONST
from ..schedule.assemble import Assemble
from ..schedule.build import Step
from ..schedule.compile import Entry, Schedule, Whole, chunks_of, schedule_graph
from ..schedule.conv import Conv
from ..schedule.copies import Rows
from ..schedule.dot import Dot
from ..schedule.moving import Moves
from ..schedule.positions import Scan, Scatter
from ..schedule.recurrence import Recurrence
from ..schedule.template import Family
from ..schedule.walk import without_kernel
from ..schedule.why import groups_text
from . import arena, convolution, kernels, profile, recurrence, team
from .guards import PER_WORD, guard_schedule
from .host_steps import HostStep, State, interpreted
from .moving import Moving
from .outputs import Outputs, pooled

__all__ = ["Plan", "compile_graph", "pooled"]

#: element operations below which a plan runs on the calling thread alone
SMALL_WORK = 500_000
#: pointers to the matrix kernels' workspace, to the block of arguments before, and to this one
_WORKSPACE, _PREVIOUS, _BLOCK = "workspace", "previous", "block"


#: graphs compiled so far
made = 0


def compile_graph(graph: Graph, moves: Moves | None = None) -> Plan:
    """The plan of a graph: group, generate or find kernels, lay out memory."""
    global made
    if flags.verify:
        verify(graph)
    threads = team.threads()
    turned = turn_products(graph if moves is None else moves.graph)
    if flags.verify:
        verify(turned)
    while True:
        schedule = schedule_graph(turned, threads, explain=flags.debug >= 2)
        try:
            plan = Plan(schedule, threads, graph, moves)
        except NoVectorForm as error:  # this primitive runs by NumPy from now on
            without_kernel.add((error.prim, error.dtypes))
            continue
        made += 1
        if flags.debug >= 3:
            print(graph_text(plan.graph), file=sys.stderr)
        if flags.debug >= 2:
            print(groups_text(plan.schedule), file=sys.stderr)
        return plan


def from_family(family: Family, graph: Graph, patience: int) -> Plan | None:
    """The plan of a graph that differs from others in its sizes, where one of theirs serves; see
    :meth:`~flambeau.schedule.template.Family.schedule`."""
    threads = team.threads()
    schedule = family.schedule(graph, threads, patience)
    if schedule is None:
        return None
    try:
        return Plan(schedule, threads, graph)
    except NoVectorForm as error:  # this primitive runs by NumPy from now on
        without_kernel.add((error.prim, error.dtypes))
        family.close()
        return None


class Plan:
    """Runs a schedule; see the module's text.

    Attributes:
        graph: what it computes.
        times: seconds and calls by kernel, filled while ``FLAMBEAU_DEBUG`` is 1 or more.
        is_small: whether it runs on the calling thread alone.
        slots: for each leaf, where its value goes: the number of its cell (an address, see
            :meth:`set_addresses`), or the 0-d array a CONST's number is written to.
        moving, moved: what follows from the offsets of views that move, and these; None where
            none does.
    """

    def __init__(self, schedule: Schedule, threads: int, source: Graph | None = None,
                 moves: Moves | None = None):
        self.schedule, self._graph = schedule, schedule.graph
        self.graph = source or schedule.graph
        self._lock = threading.RLock()
        self.times: dict[str, list[float]] = {}
        self.user: object | None = None  # who bound the leaves last (see tensor/trace.py)
        self.traces: list = []
        self.is_small = schedule.work < SMALL_WORK or threads == 1
        self._run_small = team.small_runner()
        self._threads, self._workspace = threads, 0
        self._tables: list = []  # what the rows' arguments point to
        #: guards, with the schedules and numbers of their checks; those of leaves come first
        self._checks = [(guard, *guard_schedule(self._graph, guard, threads))
                        for guard in sorted(schedule.guards,
                                            key=lambda x: not self._graph.nodes[x.root].is_leaf)]
        self._early = sum(self._graph.nodes[g.root].is_leaf for g, _, _ in self._checks)
        self.misfits = 0  # how often a check failed although nothing was wrong
        self._moves = moves
        self.moving: Moving | None = None
        self.moved: tuple[int, ...] | None = None
        self._number_cells()
        self._layout()
        #: weak references to the arrays that the cells hold; None where nobody keeps count
        self._seen: list | None = None
        self._shared: list[tuple[int, int]] = []  # CONST leaves and what their cells held
        self._dirty = True

    # -- building --------------------------------------------------------------------------------

    def _number_cells(self) -> None:
        """Number the cells: leaves, outputs, host results, the arena."""
        graph, s = self._graph, self.schedule
        nodes = graph.nodes
        leaves, outputs = len(graph.leaves), len(graph.outputs)
        hosts = sorted(i for kind, i in s.place.values() if kind == "host")
        self._output_cell = leaves
        self._host_cell = {i: leaves + outputs + n for n, i in enumerate(hosts)}
        self._arena_cell = leaves + outputs + len(hosts)
        self._check_cells = []  # of each check: its numbers' cells, then its answer's
        at = self._arena_cell + 3  # arena, workspace, the words themselves
        for _, _, numbers in self._checks:
            self._check_cells.append(at)
            at += len(numbers) + 1
        self._cell_count = at
        self._position = {leaf: p for p, leaf in enumerate(graph.leaves)}
        self._consts = [p for p, i in enumerate(graph.leaves) if nodes[i].prim is CONST]

    def _cell_of(self, root: int) -> tuple[int, int]:
        """Cell and byte offset of a stored value."""
        p = self._position.get(root)
        if p is not None:
            return p, 0
        kind, at = self.schedule.place[root]
        if kind == "arena":
            return self._arena_cell, at
        if kind == "output":
            return self._output_cell + at, 0
        return (at, 0) if kind == "leaf" else (self._host_cell[at], 0)

    def _layout(self) -> None:
        """Write cells, numbers, argument blocks and tables into one block of words."""
        extra = sum(len(numbers) for _, _, numbers in self._checks)
        self._flag_word = self._cell_count + 2 * len(self._consts) + extra
        early = -(-self._early // PER_WORD)
        self._flag_words = early + len(self._checks) - self._early
        words: list[int] = [0] * (self._flag_word + self._flag_words)
        patches: list[list[tuple[int, int, int]]] = [[]]  # per segment: cell, offset, word
        rows: list[list[tuple[int, int, int]]] = [[]]  # per segment: function, word, chunks
        #: per segment and row, for the profile: a name, or what it is made of
        self.row_names: list[list[str | tuple[Graph, Entry]]] = [["addresses"]]
        self._steps: list = [0]  # segment numbers and host entries in running order
        self._stops: list[list[int]] = [[]]  # per segment: the words that may end the run

        def add(e: Entry, cell_of: Callable[[int], tuple[int, int]], graph: Graph) -> None:
            previous = 0  # where the last block that is no row began
            for function, block, pointers, chunks in self._kernels(e):
                at = len(words)
                words.extend(block)
                for w, root, offset in pointers:
                    if type(root) is int:
                        cell, start = cell_of(root)
                        patches[-1].append((cell, start + offset, at + w))
                    else:
                        start = self._arena_cell
                        cell, begin = {None: (start, e.scratch), _WORKSPACE: (start + 1, 0),
                                       _PREVIOUS: (start + 2, 8 * previous),
                                       _BLOCK: (start + 2, 8 * at)}[root]
                        patches[-1].append((cell, begin + offset, at + w))
                if function:
                    rows[-1].append((function, at, chunks))
                    self.row_names[-1].append((graph, e))
                else:
                    previous = at

        def check(numbers: Iterable[int], words: Iterable[int]) -> None:
            for n in numbers:
                found = self._checks[n][1]
                for e in found.entries:
                    add(e, partial(self._cell_of_check, n), found.graph)
            for word in words:
                rows[-1].append((0, self._flag_word + word, team.STOP))
                self.row_names[-1].append(profile.STOP)
                self._stops[-1].append(word)

        check(range(self._early), range(early))
        late: dict[int, list[int]] = {}  # checks by the group that computes what they check
        for n in range(self._early, len(self._checks)):
            group = self.schedule.grouping.group_of[self._checks[n][0].root]
            late.setdefault(group.order, []).append(n)
        for e in self.schedule.entries:
            if isinstance(e.step, Whole):
                self._steps.append(HostStep(self, e.record, e.step))
                self._steps.append(len(rows))
                rows.append([])
                patches.append([])
                self.row_names.append(["addresses"])
                self._stops.append([])
            else:
                add(e, self._cell_of, self._graph)
            for n in late.get(e.group.order, ()):
                check([n], [early + n - self._early])
        self._write(words, rows, patches)

    def _write(self, words: list[int], rows: list, patches: list) -> None:
        """Make the block of words: argument blocks first, then the segments' tables."""
        bind = kernels.bind()
        count = len(words) + 4 * len(rows) + 3 * sum(map(len, chain(rows, patches)))
        raw = np.empty(count + 8, np.int64)
        address = raw.__array_interface__["data"][0]
        start = -address % 64 // 8
        self.words, base = raw[start:start + count], address + 8 * start
        self._segments = []
        for mine, patch in zip(rows, patches, strict=True):
            at = len(words)
            words.append(len(patch))
            for cell, offset, word in patch:
                words += base + 8 * cell, offset, base + 8 * word
            self._segments.append((base + 8 * len(words), len(mine) + 1))
            words += bind, base + 8 * at, 1
            for function, block, chunks in mine:
                words += function, base + 8 * block, chunks
        if self._moves is not None:
            hosts = [step for step in self._steps if type(step) is HostStep]
            self.moving = Moving(self._moves, words, hosts, self._graph)
            self.moved = self._moves.at_hand
        self.words[:] = array("q", words)
        self._cells = self.words.data  # the same, faster to write one by one
        self.has_host_steps = len(self._steps) > 1  # these work on the arrays themselves
        self._memory(base)
        self._fill_checks(base)

    def _cell_of_check(self, n: int, root: int) -> tuple[int, int]:
        """Cell and byte offset of a value of check ``n``."""
        guard, check, numbers = self._checks[n]
        if root == 0:
            cell, at = self._cell_of(guard.root)
            return cell, at + guard.offset * self._graph.nodes[guard.root].dtype.itemsize
        if root in check.graph.leaves:
            return self._check_cells[n] + root - 1, 0
        kind, at = check.place[root]
        return (self._arena_cell, at + self.schedule.arena) if kind == "arena" else \
            (self._check_cells[n] + len(numbers), 0)

    def _fill_checks(self, base: int) -> None:
        """The numbers of the checks, and the addresses in their cells."""
        at = self._cell_count + 2 * len(self._consts)
        for n, (_, _, numbers) in enumerate(self._checks):
            cell = self._check_cells[n]
            for k, number in enumerate(numbers):  # an int32 is the low half of the word
                self.words[at], self.words[cell + k] = number, base + 8 * at
                at += 1
            early = -(-self._early // PER_WORD)
            flag = n if n < self._early else 8 * (early + n - self._early)
            self.words[cell + len(numbers)] = base + 8 * self._flag_word + flag
        self._flags = self.words.data[self._flag_word:self._flag_word + self._flag_words]

    def _memory(self, base: int) -> None:
        """The arena, the numbers' places and the outputs' pools."""
        nodes, graph = self._graph.nodes, self._graph
        most = max((check.arena for _, check, _ in self._checks), default=0)
        self._arena_size = -(-(self.schedule.arena + most) // 128) * 128 + 128
        self._memory_size = self._arena_size + self._workspace + 64
        self._place_arena(0)
        self.words[self._arena_cell + 2] = base
        self.slots: list = list(range(len(graph.leaves)))
        for n, p in enumerate(self._consts):
            word = self._cell_count + 2 * n
            self.words[p] = base + 8 * word
            self.slots[p] = np.ndarray((), nodes[graph.leaves[p]].dtype.np, self.words, word * 8)
        host = {step.record for step in self._steps if type(step) is HostStep}
        self._twice: list[tuple[int, int]] = []  # (output, the earlier one it equals)
        #: (output, leaf position) of outputs that are what was given for a leaf
        self.passed: list[tuple[int, int]] = []
        fresh = []
        for k, i in enumerate(graph.outputs):
            kind, at = ("given", self._position[i]) if i in self._position else \
                self.schedule.place[i]
            if kind == "output" and at != k:
                self._twice.append((k, at))
            elif kind == "output" and i not in host:
                fresh.append((k, nodes[i].shape, nodes[i].dtype.np))
            elif kind in ("leaf", "given"):
                self.passed.append((k, at))
        self._outputs = Outputs(len(graph.outputs), fresh, self.words, self._output_cell)

    def _kernels(self, e: Entry):
        """Rows of an entry: function address, argument words, pointers, chunks."""
        step = e.step
        if isinstance(step, Step):
            yield kernels.loop(step.kernel), step.words, step.pointers, e.chunks
        elif isinstance(step, Recurrence):
            yield from self._recurrence(step)
        elif isinstance(step, Conv):
            yield from self._convolution(step)
        elif isinstance(step, Assemble):
            for part in step.parts:
                yield self._part(part)
        elif isinstance(step, Dot):
            yield from self._product(step)

    def _part(self, part: Step | Rows | Scatter | Scan):
        """The row of one part of an assembled value."""
        threads = 1 if self.is_small else self._threads
        if isinstance(part, Step):
            chunks = chunks_of(part.units, part.work, threads)
            return kernels.loop(part.kernel), part.words, part.pointers, chunks
        if isinstance(part, Rows):
            chunks = chunks_of(part.units, part.work, threads)
            return kernels.rows(part.kernel, part.size), part.words, part.pointers, chunks
        if isinstance(part, Scan):
            chunks = chunks_of(part.units, part.work, threads)
            return (kernels.scan(part.dtype, part.op), [*part.sizes, int(part.reverse), 0, 0],
                    [(4, *part.source), (5, part.target, 0)], chunks)
        places = part.places
        return (kernels.scatter(part.dtype, part.index_dtype, places.mode), places.words,
                [(4, *part.source), (5, *part.positions), (6, part.target, 0)],
                chunks_of(places.units, places.work, threads))

    def _product(self, d: Dot):
        """Rows of a matrix product; its epilogue's arguments are a block of their own."""
        kernel = kernels.product(d.dtype, d.source)
        epilogue, code, words, pointers = 0, d.kernel, d.words, d.pointers
        if d.flat is not None and d.n <= kernel.tiling.nr:  # a panel has whole rows
            code, words, pointers = d.flat
        if code is not None:
            epilogue = kernels.epilogue(code)
            yield 0, words, pointers, 0
        c = d.m * d.n
        m, n = (d.n, d.m) if d.turned else (d.m, d.n)
        dotted = kernel.dotted(m, n, d.k, d.batch[0] * d.batch[1], d.adjacent)
        plan = kernel.plan(
            d.m, d.n, d.k, a=d.a[1], b=d.b[1], c=d.n, batch=d.batch,
            a_batch=d.a[2], b_batch=d.b[2], c_batch=(c * d.batch[1], c), epilogue=epilogue,
            threads=self._threads, dotted=dotted, turned=d.turned)
        self._workspace = max(self._workspace, plan.workspace_bytes)
        roots = {"a": d.a[0], "b": d.b[0], "c": (d.c, 0), "workspace": (_WORKSPACE, 0),
                 "epilogue_args": (_PREVIOUS, 0)}
        places = []
        for word, what, extra in plan.places():
            root, offset = roots[what]
            places.append((word, root, offset + extra))
        for row in plan.rows:
            yield row.function, row.words, places, row.chunks

    def _recurrence(self, r: Recurrence):
        """Rows of a recurrent layer."""
        found, workspace = recurrence.rows(r, 1 if self.is_small else self._threads)
        self._workspace = max(self._workspace, workspace)
        names = {**r.roots, recurrence.WORKSPACE: (_WORKSPACE, 0), recurrence.BLOCK: (_BLOCK, 0)}
        for row in found:
            places = []
            for word, name, offset in row.places:
                root, start = names[name]
                places.append((word, root, start + offset))
            yield row.function, row.words, places, row.chunks

    def _convolution(self, c: Conv):
        """Rows of a convolution, like those of a product."""
        found, plan = convolution.rows(c, self._threads)
        self._workspace = max(self._workspace, plan.workspace_bytes)
        self._tables.append(plan.table)
        names = {"x": c.x, "w": c.w, "y": c.y, "workspace": (_WORKSPACE, 0),
                 "epilogue_args": (_PREVIOUS, 0)}
        for row in found:
            places = row.places
            if row.function:
                places = [(at, names[name][0], names[name][1] + more) for at, name, more in places]
            yield row.function, row.words, places, row.chunks

    # -- running ---------------------------------------------------------------------------------

    def run(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """Compute the outputs for leaf arrays given in leaf order.

        An output is a new array; one that the caller dropped is written again by a later run.
        """
        with self._lock:
            if self._shared:
                self.unshare()
            if self._seen is None:
                self._seen = [None] * len(self.slots)
            for p, array in enumerate(arrays):
                slot = self.slots[p]
                if type(slot) is int:
                    seen = self._seen[p]
                    if seen is None or seen() is not array:
                        self.bind(p, array)
                else:
                    slot[()] = array
            results = self.execute(arrays)
            if results is None:
                results = interpreted(self.graph, arrays)
                self.misfits += 1
            return results

    def bind(self, position: int, array: np.ndarray) -> None:
        """Let a BUFFER leaf read ``array`` (of the leaf's shape, dtype and layout)."""
        if self._seen is not None:
            self._seen[position] = weakref.ref(array)
        self.words[position] = array.__array_interface__["data"][0]
        self._dirty = True

    def set_addresses(self, places: Iterable[tuple[int, int]], start: int) -> None:
        """Let BUFFER leaves read memory that somebody else keeps alive.

        Args:
            places: of each leaf, its position and the byte offset at which it begins.
            start: the address the offsets count from.
        """
        self._seen = None
        for position, offset in places:
            self._cells[position] = start + offset
        self._dirty = True

    def set_number(self, position: int, value) -> None:
        """Give a CONST leaf its number."""
        self.slots[position][()] = value

    def move(self, numbers: tuple[int, ...]) -> bool:
        """Let views begin elsewhere, by the numbers of :attr:`moving`; False where other offsets
        have another plan."""
        if numbers != self.moved:
            if not self.moving.set(self.words, numbers):
                return False
            self.moved, self._dirty = numbers, True
        return True

    def share_number(self, position: int, first: int) -> None:
        """Let a CONST leaf have the number of another one, until the next :meth:`run`."""
        self._shared.append((position, int(self.words[position])))
        self.words[position] = self.words[first]
        self._dirty = True

    def unshare(self) -> None:
        """Every CONST leaf has a number of its own again."""
        for position, cell in self._shared:
            self.words[position] = cell
        self._shared.clear()
        self._dirty = True

    def execute(self, arrays: list | None) -> list | None:
        """Run with what is bound; None where an input is out of range: ``interpreted`` then
        raises what the primitives raise.

        ``arrays`` are read only by host steps and for outputs that are leaves (``passed``), which
        come out as given; None where nobody needs these.
        """
        block = arena.local.block
        if block.busy or block.address != self._arena_address or block.size < self._memory_size:
            block = self._fit(block)
        results, changed = self._outputs.take()
        if changed:
            self._dirty = True
        if arrays is not None:
            for k, p in self.passed:
                results[k] = arrays[p]
        if self.has_host_steps:
            block.busy = True
            try:
                if not self._execute_steps(arrays, results):
                    return None
            finally:
                block.busy = False
        else:
            self._segment(0)
            self._dirty = False
            if self._checks and self.stopped():
                return None
        if self._twice:
            for k, first in self._twice:
                results[k] = results[first]
        return results

    def _fit(self, block: arena.Block) -> arena.Block:
        """Memory for a run: the calling thread's block made large enough, or one for a plan that is
        called back from a host step of another."""
        if block.busy:
            block = arena.Block()
        if block.size < self._memory_size:
            block.reserve(self._memory_size)
        if block.address != self._arena_address:
            self._place_arena(block.address)
        return block

    def _place_arena(self, address: int) -> None:
        """Let values that live only during a run be at ``address``."""
        self._arena_address = address
        self.words[self._arena_cell] = address
        self.words[self._arena_cell + 1] = address + self._arena_size
        self._dirty = True

    @property
    def whole(self) -> tuple[int, int]:
        """The table of a plan without host steps, and its rows; the first one copies addresses."""
        return self._segments[0]

    @property
    def stops(self) -> tuple[int, int]:
        """Where the words are of which one is not 0 after a check failed, and how many."""
        return self.words.__array_interface__["data"][0] + 8 * self._flag_word, len(self._flags)

    @property
    def arrays(self) -> list[np.ndarray]:
        """What the last run wrote its fresh outputs to, each referred to three times here."""
        return self._outputs.last

    def stopped(self) -> bool:
        """Whether a check of the last run failed."""
        for word in self._flags:  # noqa: SIM110  (any() costs ten times this)
            if word:
                return True
        return False

    def _segment(self, n: int) -> None:
        table, rows = self._segments[n]
        if not self._dirty:  # the first row copies addresses
            table += 24
            rows -= 1
        if flags.debug:
            profile.rows(self, n, table, rows)
        elif self.is_small:
            self._run_small(table, rows)
        elif rows > 0:
            team.run(table, rows)

    def _execute_steps(self, arrays: list, results: list) -> bool:
        """Segments and host steps in turn; False if a check failed."""
        state = State(arrays, results)
        self._dirty = True  # host results move with every run
        for step in self._steps:
            if type(step) is int:
                self._segment(step)
                if any(self._flags[word] for word in self._stops[step]):
                    return False
            elif flags.debug:
                profile.host(self, step, state)
            else:
                step.run(state)
        return True

    def loc(self, record: int):
        """The user's line of a record."""
        origin = self._graph.origin
        return self.graph.locs[record if origin is None else origin[record]]

    def address_of_host(self, record: int, array: np.ndarray) -> None:
        """Let later kernels read a host step's result."""
        cell = self._cell_of(record)[0]
        self.words[cell] = array.__array_interface__["data"][0]

    def arena_view(self, root: int, offset: int) -> np.ndarray:
        """The array of a value that lives in the arena."""
        node = self._graph.nodes[root]
        size = node.numel() * node.dtype.itemsize
        raw = (ctypes.c_char * size).from_address(self._arena_address + offset)
        return np.ndarray(node.shape, node.dtype.np, raw)
