"""Entries of a trace as Python functions: the checks of one call, written out.

``compile_entry`` turns ``linear(slot 3, leaf 1, leaf 2) -> slot 4`` into::

    def step(function, args, kwargs):
        if get_ident() != recorder.owner: return MISS
        if function is not F or state.grad is not True or len(args) != 3 or kwargs: return MISS
        a0, a1, a2 = args
        if a0 is not slots[3]: return MISS
        if a1 is last[1] and a1._fn is None and a1._requires and not a1._hooks: bound[1] = a1
        elif not bind(1, a1): return MISS
        if a2 is not bound[2]: return MISS
        t4 = new(Tensor); t4.shape = shape4; t4.dtype = dtype4; t4._run = 5; slots[4] = t4
        recorder.pos = 2; recorder.expect = after
        return t4

A generic loop over the same checks costs five times as much.
"""

from __future__ import annotations

from itertools import pairwise
from threading import get_ident

from ..autograd.modes import state
from ..runtime import execute
from .places import index_of, start_of
from .tensor import Tensor
from .trace import NOBODY, Entry, Leaf

MISS = object()


def nothing(function, args, kwargs):
    """No call is expected: that of a recorder which follows nothing, or the one after the last."""
    return MISS


class Private(tuple):
    """An operation's tensors that nobody but its caller can change or see: while it passes the same
    object, they are the same, with the same flags."""

    __slots__ = ()


class Steps:
    """The functions of a trace's entries and what they share.

    A call that fits moves the recorder to the next function (``pos``, ``expect``).

    Attributes:
        functions: one for each entry, and :func:`nothing`.
        slots: the trace's tensors, filled as calls are followed.
        bound: the tensors that stand for the leaves in this run; None before their first use.
        last: those of the last run; held only while the trace is followed again and again.
        groups, last_groups: the :class:`Private` groups of this run, and of the last one.
        numbers: run-time numbers by tag.
    """

    def __init__(self, entries: list[Entry], leaves: list[Leaf], slots: int, numbers: int, bind,
                 draw):
        self.slots: list = [None] * slots
        self.bound: list = [None] * len(leaves)
        self.last: list = [NOBODY] * len(leaves)
        self.numbers: list = [0.0] * numbers
        self.groups: list = []
        self.last_groups: list = []
        self._no_slots, self._no_leaves = [None] * slots, [None] * len(leaves)
        self._leaves = leaves
        self._met: set[int] = set()
        self._shared = {"slots": self.slots, "bound": self.bound, "numbers": self.numbers,
                        "last": self.last, "groups": self.groups,
                        "last_groups": self.last_groups, "draw": draw, "bind": bind, "MISS": MISS,
                        "state": state, "Tensor": Tensor, "new": object.__new__,
                        "recorder": bind.__self__, "via": bind.__self__._bind_via,
                        "get_ident": get_ident, "execute": execute, "start_of": start_of,
                        "index_of": index_of}
        self.functions = [self._compile(e, n) for n, e in enumerate(entries)]
        self.last_groups[:] = self.groups
        self.functions.append(nothing)
        for step, after in pairwise(self.functions):
            step.__globals__["after"] = after

    def clear(self) -> None:
        """Forget the run."""
        self.slots[:] = self._no_slots
        self.bound[:] = self._no_leaves

    def end(self) -> None:
        """The run has taken place."""
        self.last[:] = self.bound
        self.last_groups[:] = self.groups
        self.slots[:] = self._no_slots
        self.bound[:] = self._no_leaves

    def forget(self) -> None:
        """Hold nothing of the last run."""
        self.last[:] = [NOBODY] * len(self.last)
        self.groups[:] = self.last_groups[:] = [None] * len(self.groups)

    def _compile(self, entry: Entry, number: int):
        names = dict(self._shared)
        names["F"], names["around"] = entry.function, entry.around
        lines = ["if get_ident() != recorder.owner: return MISS",
                 f"if function is not F or state.grad is not {entry.grad} or "
                 f"recorder.around is not around or len(args) != {len(entry.args)} "
                 f"or len(kwargs) != {len(entry.kwargs)}: return MISS"]
        for i, spec in enumerate(entry.args):
            lines.append(f"a{i} = args[{i}]")
            self._check(lines, names, spec, f"a{i}")
        for i, (key, spec) in enumerate(entry.kwargs.items()):
            lines.append(f"k{i} = kwargs.get({key!r}, MISS)")
            self._check(lines, names, spec, f"k{i}")
        if entry.backward:
            for k, spec, template in entry.backward:
                if self._leaves[k].via is not None and k not in self._met:
                    self._met.add(k)
                    lines.append(f"if not via({k}): return MISS")
                lines.append(f"g{k} = bound[{k}]")
                lines.append(f"if g{k} is None or not g{k}._requires or g{k}._hooks: return MISS")
                lines.append(f"h{k} = g{k}._grad")
                self._check(lines, names, spec if template is None else ("value", None), f"h{k}")
            for k, slot, template in entry.backward:
                if template is not None:
                    _bare(lines, names, slot[1], template)
                    lines.append(f"g{k}._grad = t{slot[1]}")
        if entry.draws:
            names["draws"] = entry.draws
            lines.append("draw(draws)")
        result = _result(lines, names, entry.result, iter(entry.templates))
        lines.append(f"recorder.pos = {number + 1}; recorder.expect = after")
        if number == 0:
            lines.append("execute.outstanding = True")
        lines.append(f"return {result}")
        source = "def step(function, args, kwargs):\n" + "\n".join("    " + x for x in lines)
        exec(compile(source, f"<trace entry {number}>", "exec"), names)
        return names["step"]

    def _check(self, lines: list, names: dict, spec, name: str) -> None:
        """Lines that return MISS unless ``name`` is what ``spec`` says."""
        kind = spec[0]
        if kind == "slot":
            lines.append(f"if {name} is not slots[{spec[1]}]: return MISS")
        elif kind == "leaf":
            k = spec[1]
            if k in self._met:
                lines.append(f"if {name} is not bound[{k}]: return MISS")
            else:
                self._met.add(k)
                if self._leaves[k].history:  # a new tensor each time
                    lines.append(f"if not bind({k}, {name}): return MISS")
                    return
                same = f"{name} is last[{k}] and {name}._fn is None"
                if self._leaves[k].requires:
                    same += f" and {name}._requires and not {name}._hooks"
                else:
                    same += f" and not {name}._requires"
                lines.append(f"if {same}: bound[{k}] = {name}")
                lines.append(f"elif not bind({k}, {name}): return MISS")
        elif kind == "number":
            lines.append(f"if type({name}) is not float: return MISS")
            lines.append(f"numbers[{spec[1]}] = {name}")
        elif kind in ("place", "start"):
            lines.append(f"numbers[{spec[1]}] = index_of({name}, {', '.join(map(str, spec[2:]))})")
            lines.append(f"if numbers[{spec[1]}] < 0: return MISS")
        elif kind == "window":
            lines.append(f"numbers[{spec[1]}] = start_of({name}, {spec[2]}, {spec[3]}, {spec[4]})")
            lines.append(f"if numbers[{spec[1]}] < 0: return MISS")
        elif kind == "key":
            lines.append(f"if type({name}) is not tuple or len({name}) != {len(spec[1])}: "
                         "return MISS")
            for i, inner in enumerate(spec[1]):
                lines.append(f"{name}_{i} = {name}[{i}]")
                self._check(lines, names, inner, f"{name}_{i}")
        elif kind == "list":
            cls = f"c{len(names)}"
            names[cls] = spec[1]
            if spec[1] is Private and self._are_new_leaves(spec[2]):
                self._check_group(lines, names, spec, name, cls)
            else:
                self._check_items(lines, names, spec, name, cls)
        else:
            _check_value(lines, names, spec[1], name)


    def _check_items(self, lines: list, names: dict, spec, name: str, cls: str) -> None:
        lines.append(f"if type({name}) is not {cls} or len({name}) != {len(spec[2])}: return MISS")
        items = [f"{name}_{i}" for i in range(len(spec[2]))]
        lines.append(f"{', '.join(items)}{',' if len(items) == 1 else ''} = {name}")
        for item, inner in zip(items, spec[2], strict=True):
            self._check(lines, names, inner, item)

    def _are_new_leaves(self, specs) -> bool:
        """Whether tensors are met here first, in a row, and have no history."""
        first = specs[0][1] if specs and specs[0][0] == "leaf" else -1
        return first >= 0 and specs == tuple(("leaf", first + i) for i in range(len(specs))) \
            and not any(k in self._met or self._leaves[k].history for _, k in specs)

    def _check_group(self, lines: list, names: dict, spec, name: str, cls: str) -> None:
        """The group of the last run need not be looked into."""
        j, first, count = len(self.groups), spec[2][0][1], len(spec[2])
        self.groups.append(None)
        lines.append(f"if {name} is last_groups[{j}]: bound[{first}:{first + count}] = {name}")
        lines.append("else:")
        inner: list[str] = []
        self._check_items(inner, names, spec, name, cls)
        lines.extend("    " + x for x in inner)
        lines.append(f"groups[{j}] = {name}")


def alike(given, want) -> bool:
    """Whether an argument is what it was; tensors in it are not compared, they are something
    else."""
    if given is want:
        return True
    if type(want) is tuple:
        return type(given) is tuple and len(given) == len(want) and all(map(alike, given, want))
    return type(given) is type(want) and bool(given == want)


def _check_value(lines: list, names: dict, want, name: str) -> None:
    if want is None or want is True or want is False:
        lines.append(f"if {name} is not {want}: return MISS")
        return
    v = f"v{len(names)}"
    names[v] = want
    if type(want) is tuple and want[:1] == (slice,):
        lines.append(f"if type({name}) is not slice or (slice, {name}.start, {name}.stop, "
                     f"{name}.step) != {v}: return MISS")
    elif type(want) is tuple:
        names["alike"] = alike
        lines.append(f"if {name} is not {v} and not alike({name}, {v}): return MISS")
    else:
        lines.append(f"if {name} is not {v} and (type({name}) is not type({v}) or "
                     f"{name} != {v}): return MISS")


def _bare(lines: list, names: dict, i: int, template: dict) -> None:
    """Lines that make the bare tensor ``t<i>``."""
    names[f"shape{i}"], names[f"dtype{i}"] = template["shape"], template["dtype"]
    lines.append(f"t{i} = new(Tensor); t{i}.shape = shape{i}; t{i}.dtype = dtype{i}; "
                 f"t{i}._run = {i + 1}; slots[{i}] = t{i}")
    if template["inference"]:
        lines.append(f"t{i}._inference = True")


def _result(lines: list, names: dict, spec, templates) -> str:
    """The expression of a call's result."""
    kind = spec[0]
    if kind == "none":
        return "None"
    if kind == "arg":
        return f"args[{spec[1]}]"
    if kind == "slot":
        _bare(lines, names, spec[1], next(templates))
        return f"t{spec[1]}"
    parts = [_result(lines, names, s, templates) for s in spec[2]]
    items = ", ".join(parts) + ("," if len(parts) == 1 else "")
    if spec[1] is list:
        return f"[{items}]"
    if spec[1] is tuple:
        return f"({items})"
    cls = f"c{len(names)}"
    names[cls] = spec[1]
    return f"{cls}({items})" if hasattr(spec[1], "_fields") else f"{cls}(({items}))"
