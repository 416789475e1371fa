"""The native part of the thread team, as LLVM text.

State is a block of memory with one hot word per 128-byte line (offsets below). A plan is a table of
rows ``(function, args, nchunks)``, three int64 each, run in order; the chunks of a row may run at
the same time, a row starts when all chunks of the one before are done.

``ticket`` holds the current row (upper 32 bits) and its next free chunk (lower ones): a thread
takes a chunk by adding one. Whoever completes a row's last chunk runs following rows of one chunk
itself, publishes the next row with many and keeps its first chunk. Threads that find no chunk left
wait for the row to change. A late thread never holds up the others: it finds the work gone.

``run`` publishes the plan, opens it for workers, works like everybody else, closes it and waits for
the workers that are still inside. A worker registers (``active``) before it looks whether the plan
is open, so memory of a plan is never touched after ``run`` returned.
"""

from __future__ import annotations

from flambeau.codegen.emit import Function, Module, Value
from flambeau.codegen.emit_types import itemsize
from flambeau.runtime import builtin

LINE = 128
(EPOCH, OPEN, ACTIVE, TICKET, DONE, SLEEP_EPOCH, SLEEP_TICKET, SLEEP_ACTIVE, JOB,
 SPIN) = (LINE * k for k in range(10))
SIZE = LINE * 10
#: in the line of JOB, which nobody writes during a plan: the number of threads
COUNT = JOB + 16
#: what ``worker`` returns
QUIT, PARKED = 0, 1
_ALL = 2**31 - 1
#: the chunks of a row that ends the plan if the word at its args is not 0
STOP = -1


class TeamModule:
    """Writes the functions ``run``, ``run_serial``, ``worker`` and ``pause``.

    Args:
        futex: the Linux system call number of futex, or 0: then threads waiting inside a plan give
            their time slice away (``yielding``), and idle workers return to the caller.
        yielding: name of a C function without arguments that yields the processor.
    """

    def __init__(self, futex: int, yielding: str):
        self.futex, self.yielding = futex, yielding
        self.module = Module()
        if futex:
            self.module.declare("declare i64 @syscall(i64, ...)")
        else:
            self.module.external(yielding, "i32", ())
        self._pause()
        self._wait()
        self._serial()
        self._small()
        self._participate()
        self._run()
        self._worker()

    # -- small pieces ---------------------------------------------------------------------------

    def _at(self, f: Function, team: Value, offset: int) -> Value:
        return f.gep(team, offset)

    def _get(self, f: Function, p: Value, t: str = "i32", order: str = "seq_cst") -> Value:
        return f.emit_value(t, f"load atomic {t}, ptr {p} {order}, align {itemsize(t)}")

    def _set(self, f: Function, p: Value, x: Value, order: str = "seq_cst") -> None:
        f.emit(f"store atomic {x.type} {x}, ptr {p} {order}, align {itemsize(x.type)}")

    def _add(self, f: Function, p: Value, n: int, t: str = "i32") -> Value:
        return f.emit_value(t, f"atomicrmw add ptr {p}, {t} {n} seq_cst")

    def _futex(self, f: Function, p: Value, operation: int, value) -> None:
        f.emit(f"call i64 (i64, ...) @syscall(i64 {self.futex}, ptr {p}, i32 {operation | 128}, "
               f"i32 {value}, ptr null, ptr null, i32 0)")

    def _wake(self, f: Function, word: Value, sleepers: Value) -> None:
        """Wake who sleeps on ``word`` (which was changed before)."""
        if self.futex:
            with f.if_(self._get(f, sleepers) > 0):
                self._futex(f, word, 1, _ALL)

    def _row(self, f: Function, table: Value, row: Value) -> tuple[Value, Value, Value]:
        base = f.gep(table, row * 3, "i64")
        return (f.load(base, "ptr"), f.load(f.gep(base, 1, "i64"), "ptr"),
                f.load(f.gep(base, 2, "i64"), "i64"))

    def _relax(self, f: Function) -> None:
        """Tell the CPU that this is a waiting loop."""
        triple = self.module.host.triple
        if triple.startswith("x86"):
            self.module.declare("declare void @llvm.x86.sse2.pause()")
            f.emit("call void @llvm.x86.sse2.pause()")
        elif triple.startswith(("aarch64", "arm64")):
            self.module.declare("declare void @llvm.aarch64.hint(i32)")
            f.emit("call void @llvm.aarch64.hint(i32 1)")

    # -- functions ------------------------------------------------------------------------------

    def _pause(self) -> None:
        """pause(n): n rounds of the waiting loop, for calibration."""
        f = self.module.function("pause", (("ptr", "word"), ("i64", "n")))
        with f.loop(0, f.args[1]):
            self._get(f, f.args[0], order="acquire")
            self._relax(f)

    def _wait(self) -> None:
        """wait(word, old, sleepers, spin) -> 1 when the word changed; without futex 0 when not."""
        f = self.module.function("wait", (("ptr", "word"), ("i32", "old"), ("ptr", "sleepers"),
                                          ("i32", "spin")), "i32", internal=True,
                                 attributes="noinline")
        word, old, sleepers, spin = f.args
        f.label("again")
        with f.while_([f.const(0, "i32")]) as w:
            (k,) = w.carried
            changed = self._get(f, word, order="acquire").ne(old)
            with f.if_(changed):
                f.ret_(f.const(1, "i32"))
            w.leave_unless(k < spin)
            self._relax(f)
            w.next(k + 1)
        if self.futex:
            self._add(f, sleepers, 1)
            self._futex(f, word, 0, old)
            self._add(f, sleepers, -1)
            f.branch("again")
        else:
            f.ret_(f.const(0, "i32"))

    def _wait_inside(self, f: Function, word: Value, old: Value, sleepers: Value,
                     spin: Value) -> None:
        """Wait inside a plan, where the change comes soon."""
        if self.futex:
            f.call("wait", word, old, sleepers, spin)
            return
        with f.while_() as w:
            w.leave_unless(f.call("wait", word, old, sleepers, spin).eq(0))
            f.call(self.yielding)

    def _serial(self) -> None:
        """run_serial(table, n): all chunks of all rows, in order, on this thread."""
        f = self.module.function("run_serial", (("ptr", "table"), ("i64", "n")))
        table, n = f.args
        with f.loop(0, n) as rows:
            fn, args, chunks = self._row(f, table, rows.i)
            with f.loop(0, chunks) as each:
                f.call_pointer(fn, "void", args, each.i, chunks)
            with f.if_(chunks < 0), f.if_(f.load(args, "i64").ne(0)):
                f.ret_()

    def _small(self) -> None:
        """run_small(table, n): run_serial as a built-in function, which keeps the interpreter lock:
        two switches less, and small plans stay undisturbed."""
        builtin.interface(self.module)
        f, (table, n) = builtin.define(self.module, "run_small", 2)
        f.call("run_serial", f.call("PyLong_AsVoidPtr", table), f.call("PyLong_AsLongLong", n))
        f.ret_(f.call("PyBool_FromLong", f.const(1, "i64")))

    def _advance(self, f: Function, table: Value, row: Value, n: Value) -> Value:
        """Run rows of one chunk from ``row`` on; the first row with more (or n)."""
        with f.while_([row]) as w:
            (q,) = w.carried
            w.leave_unless(q < n)
            fn, args, chunks = self._row(f, table, q)
            w.leave_unless(chunks <= 1)
            with f.if_(chunks.eq(1)):
                f.call_pointer(fn, "void", args, f.const(0, "i64"), chunks)
            with f.if_(chunks < 0) as branch:
                branch.give(f.select(f.load(args, "i64").ne(0), n, q + 1))
                branch.else_()
                branch.give(q + 1)
            w.next(branch.results[0])
        return w.carried[0]

    def _participate(self) -> None:
        """participate(team, table, n, row, chunk): work until the plan is over.

        ``chunk`` is one already taken in ``row``, or -1.
        """
        f = self.module.function("participate", (("ptr", "team"), ("ptr", "table"), ("i64", "n"),
                                                 ("i64", "row"), ("i64", "chunk")),
                                 internal=True, attributes="noinline")
        team, table, n, first_row, first_chunk = f.args
        ticket, done = self._at(f, team, TICKET), self._at(f, team, DONE)
        sleepers, row_word = self._at(f, team, SLEEP_TICKET), self._at(f, team, TICKET + 4)
        spin = f.load(self._at(f, team, SPIN), "i32")
        has_chunk = first_chunk >= 0
        f.branch_if(has_chunk, "work", "take")
        f.label("take")
        seen = self._get(f, ticket, "i64", "acquire")
        row = seen >> 32
        with f.if_(row >= n):
            f.ret_()
        _, _, chunks = self._row(f, table, row)
        f.branch_if((seen & 0xFFFFFFFF) < chunks, "grab", "wait_row")
        f.label("wait_row")
        self._wait_inside(f, row_word, f.cast("trunc", row, "i32"), sleepers, spin)
        f.branch("take")
        f.label("grab")
        got = self._add(f, ticket, 1, "i64")
        got_row, got_chunk = got >> 32, got & 0xFFFFFFFF
        with f.if_(got_row >= n):
            f.ret_()
        _, _, chunks = self._row(f, table, got_row)
        grabbed_in = f.block
        f.branch_if(got_chunk < chunks, "work", "take")
        f.label("work")
        phis = f.reserve(2)
        row, chunk = f.named("i64", "%row_now"), f.named("i64", "%chunk_now")
        fn, args, chunks = self._row(f, table, row)
        f.call_pointer(fn, "void", args, self._place(f, team, row, chunk, chunks), chunks)
        completed = f.convert(self._add(f, done, 1), "i64") + 1
        f.branch_if(completed.eq(chunks), "next_row", "take")
        f.label("next_row")
        self._set(f, done, f.const(0, "i32"), "monotonic")
        following = self._advance(f, table, row + 1, n)
        self._set(f, ticket, (following << 32) | 1)
        self._wake(f, row_word, sleepers)
        over = following >= n
        advanced_in = f.block
        f.branch_if(over, "over", "work")
        f.label("over")
        f.ret_()
        f.fill(phis, f"{row} = phi i64 [{first_row}, %entry], [{got_row}, %{grabbed_in}], "
                     f"[{following}, %{advanced_in}]")
        f.fill(phis + 1, f"{chunk} = phi i64 [{first_chunk}, %entry], [{got_chunk}, %{grabbed_in}],"
                         f" [0, %{advanced_in}]")

    def _place(self, f: Function, team: Value, row: Value, chunk: Value, chunks: Value) -> Value:
        """Which chunk is the one of that number: threads take turns, and each gets neighbours. So
        in every run a thread comes to the memory that it has had in its cache in the last one. It
        goes there and back, row by row and plan by plan: where one ends, its cache is warm."""
        count = f.convert(f.load(self._at(f, team, COUNT), "i32"), "i64")
        turn, at, each = f.urem(chunk, count), f.udiv(chunk, count), f.udiv(chunks, count)
        epoch = f.convert(f.load(self._at(f, team, EPOCH), "i32"), "i64")
        back = ((row + epoch) & 1).eq(1)
        at = f.select(back, each - 1 - at, at)
        even = f.urem(chunks, count).eq(0)
        return f.select(even, turn * each + at, chunk)

    def _run(self) -> None:
        """run(team, table, n)."""
        f = self.module.function("run", (("ptr", "team"), ("ptr", "table"), ("i64", "n")))
        team, table, n = f.args
        first = self._advance(f, table, f.const(0, "i64"), n)
        with f.if_(first >= n):
            f.ret_()
        epoch, open_, active = (self._at(f, team, x) for x in (EPOCH, OPEN, ACTIVE))
        f.store(table, self._at(f, team, JOB))
        f.store(n, self._at(f, team, JOB + 8))
        self._set(f, self._at(f, team, DONE), f.const(0, "i32"), "monotonic")
        self._set(f, self._at(f, team, TICKET), (first << 32) | 1, "monotonic")
        self._publish(f, team, epoch, open_)
        f.call("participate", team, table, n, first, 0)
        self._set(f, open_, f.const(0, "i32"))
        with f.while_() as w:
            inside = self._get(f, active)
            w.leave_unless(inside.ne(0))
            self._wait_inside(f, active, inside, self._at(f, team, SLEEP_ACTIVE),
                              f.load(self._at(f, team, SPIN), "i32"))
        f.ret_()
        f = self.module.function("quit", (("ptr", "team"),))
        (team,) = f.args
        f.store(f.zero("ptr"), self._at(f, team, JOB))
        self._publish(f, team, self._at(f, team, EPOCH), self._at(f, team, OPEN))

    def _publish(self, f: Function, team: Value, epoch: Value, open_: Value) -> None:
        """Begin the next epoch; 0 is never one (it means closed)."""
        number = self._get(f, epoch) + 1
        number = f.select(number.eq(0), 1, number)
        self._set(f, open_, number)
        self._set(f, epoch, number)
        self._wake(f, epoch, self._at(f, team, SLEEP_EPOCH))

    def _worker(self) -> None:
        """worker(team, seen): serve plans until told to quit.

        Without futex it returns the epoch it waited on (as PARKED + 2 * epoch) after spinning.
        """
        f = self.module.function("worker", (("ptr", "team"), ("i32", "seen")), "i64")
        team, seen = f.args
        epoch, open_, active = (self._at(f, team, x) for x in (EPOCH, OPEN, ACTIVE))
        f.label("top")
        phi = f.reserve(1)
        old = f.named("i32", "%old")
        spin = f.load(self._at(f, team, SPIN + 4), "i32")
        changed = f.call("wait", epoch, old, self._at(f, team, SLEEP_EPOCH), spin)
        with f.if_(changed.eq(0)):
            f.ret_((f.convert(old, "i64", signed=False) << 1) | PARKED)
        current = self._get(f, epoch)
        self._add(f, active, 1)
        is_open = self._get(f, open_).eq(current)
        f.branch_if(is_open, "enter", "leave")
        f.label("enter")
        table = f.load(self._at(f, team, JOB), "ptr")
        f.branch_if(table.eq(f.zero("ptr")), "quit", "join")
        f.label("join")
        f.call("participate", team, table, f.load(self._at(f, team, JOB + 8), "i64"), 0, -1)
        f.label("leave")
        self._leave(f, team, active)
        f.fill(phi, f"{old} = phi i32 [{seen}, %entry], [{current}, %{f.block}]")
        f.branch("top")
        f.label("quit")
        self._leave(f, team, active)
        f.ret_(f.const(QUIT, "i64"))

    def _leave(self, f: Function, team: Value, active: Value) -> None:
        self._add(f, active, -1)
        self._wake(f, active, self._at(f, team, SLEEP_ACTIVE))
