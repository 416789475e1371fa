"""What a profile is made of: events with a beginning, an end and a parent, and their table."""

from __future__ import annotations

import json
import os
from enum import Enum


class DeviceType(Enum):
    """Where an event ran."""

    CPU = 0


class Event:
    """One thing that happened; times in nanoseconds."""

    __slots__ = ("name", "start", "end", "parent", "children", "shapes", "thread", "user")

    def __init__(self, name: str, start: int, parent: Event | None, thread: int, shapes=None,
                 user: bool = False):
        self.name, self.start, self.end = name, start, start
        self.parent, self.children = parent, 0
        self.thread, self.shapes, self.user = thread, shapes, user

    @property
    def key(self) -> str:
        """The name."""
        return self.name

    @property
    def cpu_time_total(self) -> float:
        """Microseconds from beginning to end."""
        return (self.end - self.start) / 1e3

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds outside of child events."""
        return (self.end - self.start - self.children) / 1e3

    @property
    def input_shapes(self):
        """Shapes of the operands, with record_shapes=True."""
        return self.shapes or []

    def __repr__(self) -> str:
        return f"<FunctionEvent {self.name} cpu_time={self.cpu_time_total:.3f}us>"


def time_text(us: float) -> str:
    """Microseconds as PyTorch prints them."""
    if us >= 1e6:
        return f"{us / 1e6:.3f}s"
    if us >= 1e3:
        return f"{us / 1e3:.3f}ms"
    return f"{us:.3f}us"


class Average:
    """All events of one name (and shapes), added up."""

    device_time = device_time_total = self_device_time_total = cuda_time = 0.0
    cpu_memory_usage = self_cpu_memory_usage = flops = 0
    is_async = is_remote = is_legacy = False
    device_type = DeviceType.CPU

    def __init__(self, key: str, shapes=None):
        self.key, self.input_shapes = key, shapes or []
        self.count = 0
        self.cpu_time_total = self.self_cpu_time_total = 0.0
        self.is_user_annotation = False

    def add(self, event: Event) -> None:
        """Count one more event."""
        self.count += 1
        self.cpu_time_total += event.cpu_time_total
        self.self_cpu_time_total += event.self_cpu_time_total
        self.is_user_annotation = self.is_user_annotation or event.user

    @property
    def cpu_time(self) -> float:
        """Microseconds per call."""
        return self.cpu_time_total / max(self.count, 1)

    cpu_time_str = property(lambda self: time_text(self.cpu_time))
    cpu_time_total_str = property(lambda self: time_text(self.cpu_time_total))
    self_cpu_time_total_str = property(lambda self: time_text(self.self_cpu_time_total))

    def __repr__(self) -> str:
        return (f"<FunctionEventAvg key={self.key} self_cpu_time={self.self_cpu_time_total_str} "
                f"cpu_time={self.cpu_time_str} >")


class EventList(list):
    """Events or averages, with a table."""

    @property
    def self_cpu_time_total(self) -> float:
        """Microseconds of all events."""
        return sum(e.self_cpu_time_total for e in self)

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0,
                     group_by_overload_name: bool = False) -> EventList:
        """One average per name (and operand shapes)."""
        table: dict = {}
        for e in self:
            shapes = str(e.shapes) if group_by_input_shape else None
            found = table.get((e.name, shapes))
            if found is None:
                found = table[e.name, shapes] = Average(
                    e.name, e.shapes if group_by_input_shape else None)
            found.add(e)
        return EventList(table.values())

    def total_average(self) -> Average:
        """Everything added up."""
        total = Average("Total")
        for e in self:
            total.count += getattr(e, "count", 1)
            total.self_cpu_time_total += e.self_cpu_time_total
        total.cpu_time_total = total.self_cpu_time_total
        return total

    def table(self, sort_by: str | None = None, row_limit: int = 100,
              max_src_column_width: int = 75, max_name_column_width: int = 55,
              max_shapes_column_width: int = 80, header: str | None = None,
              top_level_events_only: bool = False, time_unit: str | None = None) -> str:
        """The averages as text.

        Args:
            sort_by: "cpu_time_total", "self_cpu_time_total", "cpu_time" or "count".
            row_limit: so many rows; -1: all.
        """
        rows = [e for e in self if not (top_level_events_only and getattr(e, "parent", None))]
        if sort_by is not None:
            name = sort_by.replace("cuda_time", "cpu_time").replace("device_time", "cpu_time")
            if rows and not hasattr(rows[0], name):
                raise AttributeError(f"cannot sort by {sort_by!r}")
            rows.sort(key=lambda e: getattr(e, name), reverse=True)
        total = self.self_cpu_time_total
        shapes = any(e.input_shapes for e in rows)
        heads = ["Name", "Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg",
                 "# of Calls"] + (["Input Shapes"] if shapes else [])
        cells = [heads]
        for e in rows[:row_limit if row_limit >= 0 else None]:
            count = getattr(e, "count", 1)
            name = e.key if len(e.key) <= max_name_column_width \
                else e.key[:max_name_column_width - 3] + "..."
            cells.append([name, _share(e.self_cpu_time_total, total),
                          time_text(e.self_cpu_time_total), _share(e.cpu_time_total, total),
                          time_text(e.cpu_time_total), time_text(e.cpu_time_total / max(count, 1)),
                          str(count)] + ([str(e.input_shapes)[:max_shapes_column_width]]
                                         if shapes else []))
        widths = [max(12, *(len(row[i]) for row in cells)) + (2 if i == 0 else 0)
                  for i in range(len(heads))]
        rule = "  ".join("-" * w for w in widths) + "  "
        lines = ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) + "  "
                 for row in cells]
        top = [header] if header else []
        return "\n".join([*top, rule, lines[0], rule, *lines[1:], rule,
                          f"Self CPU time total: {time_text(total)}", ""])

    def __str__(self) -> str:
        return self.table()

    def export_chrome_trace(self, path: str) -> None:
        """Write a file for chrome://tracing or Perfetto."""
        events = [{"name": e.name, "ph": "X", "cat": "user_annotation" if e.user else "cpu_op",
                   "ts": e.start / 1e3, "dur": (e.end - e.start) / 1e3, "pid": os.getpid(),
                   "tid": e.thread, "args": {"Input Dims": str(e.shapes)} if e.shapes else {}}
                  for e in self]
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"traceEvents": events, "displayTimeUnit": "ms"}, file)


def _share(part: float, total: float) -> str:
    return f"{100 * part / total:.2f}%" if total else "0.00%"
