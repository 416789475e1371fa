"""Text builder for LLVM IR.

Writing IR as text costs about 1 us per instruction, a quarter of llvmlite's object builder. A value
is its type (text, see ``emit_types``) and its name; Python operators write instructions. All widths
of vectors are the caller's choice (``module.host.lanes(itemsize)`` is the register width).

Usage::

    m = Module()                                  # for the current host
    f = m.kernel("scale")                         # void scale(i64* args, i64 chunk, i64 nchunks)
    x, y, n, a = f.arg(0, "ptr"), f.arg(1, "ptr"), f.arg(2), f.arg(3, "float")
    L = m.host.lanes(4)
    t = vector("float", L)
    lo, hi = f.chunk_range(n, L)                  # this chunk's part, borders at multiples of L
    body = hi & -L
    with f.loop(lo, body, L) as loop:
        v = f.load(f.gep(x, loop.i, "float"), t)
        f.store(f.fma(v, a, 1.0), f.gep(y, loop.i, "float"))
    rest = f.max(body, lo)
    mask = f.lane_mask(hi - rest, L)              # lanes below the count; none if it is <= 0
    v = f.load_masked(f.gep(x, rest, "float"), mask, t)
    f.store_masked(f.fma(v, a, 1.0), f.gep(y, rest, "float"), mask)

    with f.loop(0, n, carry=[f.const(0.0, "float")]) as loop:      # carried values
        (total,) = loop.carried
        loop.next(total + f.load(f.gep(x, loop.i, "float"), "float"))
    (total,) = loop.results

    with f.if_(n > 0) as branch:                  # branches may give values
        branch.give(f.const(1, "i64"))
        branch.else_()
        branch.give(n)
    (k,) = branch.results

    text = str(m)

Rules: a scalar or Python number meeting a vector is splat; ``/ % >>`` on integers are signed
division (towards zero), signed remainder and *logical* shift (see udiv, urem, ashr); comparisons
are signed and, for floats, ordered (false with NaN; ``ne`` is true with NaN); ``a.eq(b)`` and
``a.ne(b)`` compare for equality. Functions end in ``ret void`` by themselves unless the block
already ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flambeau.codegen.emit_flow import If, Loop, While
from flambeau.codegen.emit_half import convert_half
from flambeau.codegen.emit_types import (
    element,
    is_float,
    itemsize,
    lanes,
    literal,
    suffix,
    vector,
    with_element,
)
from flambeau.codegen.host import HostTarget, host


class Value:
    """A typed operand: the result of an instruction, an argument or a constant."""

    __slots__ = ("type", "name", "f")

    def __init__(self, type: str, name: str, f: Function):
        self.type, self.name, self.f = type, name, f

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"{self.type} {self.name}"

    def __add__(self, o): return self.f.binary("add", self, o)
    def __radd__(self, o): return self.f.binary("add", o, self)
    def __sub__(self, o): return self.f.binary("sub", self, o)
    def __rsub__(self, o): return self.f.binary("sub", o, self)
    def __mul__(self, o): return self.f.binary("mul", self, o)
    def __rmul__(self, o): return self.f.binary("mul", o, self)
    def __truediv__(self, o): return self.f.binary("div", self, o)
    def __rtruediv__(self, o): return self.f.binary("div", o, self)
    def __floordiv__(self, o): return self.f.binary("div", self, o)
    def __mod__(self, o): return self.f.binary("rem", self, o)
    def __and__(self, o): return self.f.binary("and", self, o)
    def __or__(self, o): return self.f.binary("or", self, o)
    def __xor__(self, o): return self.f.binary("xor", self, o)
    def __lshift__(self, o): return self.f.binary("shl", self, o)
    def __rshift__(self, o): return self.f.binary("lshr", self, o)
    def __invert__(self): return self.f.binary("xor", self, -1)
    def __lt__(self, o): return self.f.compare("lt", self, o)
    def __le__(self, o): return self.f.compare("le", self, o)
    def __gt__(self, o): return self.f.compare("gt", self, o)
    def __ge__(self, o): return self.f.compare("ge", self, o)
    def eq(self, o): return self.f.compare("eq", self, o)
    def ne(self, o): return self.f.compare("ne", self, o)

    def __neg__(self):
        if is_float(self.type):
            return self.f.emit_value(self.type, f"fneg {self.type} {self}")
        return self.f.binary("sub", 0, self)


class Module:
    """A compilation unit: functions, constants and declarations."""

    def __init__(self, target: HostTarget | None = None):
        self.host = target or host()
        self.functions: list[Function] = []
        self.signatures: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._declarations: dict[str, None] = {}
        self._globals: list[str] = []

    def function(self, name: str, params: Sequence[tuple[str, ...]], ret: str = "void", *,
                 internal: bool = False, attributes: str = "") -> Function:
        """Start a function; ``params`` are ``(type, name)`` or ``(type, name, attributes)``.

        ``attributes`` are LLVM function attributes such as ``noinline``.
        """
        return Function(self, name, params, ret, internal, attributes)

    def kernel(self, name: str, *, internal: bool = False, attributes: str = "") -> Function:
        """Start ``void name(i64* args, i64 chunk, i64 nchunks)``: see :meth:`Function.arg`."""
        params = (("ptr", "args", "noalias readonly"), ("i64", "chunk"), ("i64", "nchunks"))
        return self.function(name, params, internal=internal, attributes=attributes)

    def declare(self, text: str) -> None:
        """Add a ``declare`` line (once)."""
        self._declarations[text] = None

    def external(self, name: str, ret: str, params: Sequence[str]) -> None:
        """Declare a function of another object or of the process, to be called by name."""
        self.declare(f"declare {ret} @{name}({', '.join(params)})")
        self.signatures[name] = (ret, tuple(params))

    def table(self, name: str, elem: str, values: Sequence) -> str:
        """Add a constant array; returns its name (``@name``), a pointer operand."""
        body = ", ".join(f"{elem} {literal(v, elem)}" for v in values)
        self._globals.append(
            f"@{name} = internal constant [{len(values)} x {elem}] [{body}], align 64")
        return f"@{name}"

    def __str__(self) -> str:
        return "\n".join([*self._globals, *self._declarations, *map(str, self.functions), ""])


class Function:
    """One IR function and the point where instructions are being written."""

    #: flags of floating-point arithmetic; ``contract`` lets LLVM fuse a*b+c where the host can
    fast = "contract"

    def __init__(self, module: Module, name: str, params: Sequence[tuple[str, ...]], ret: str,
                 internal: bool, attributes: str):
        self.module, self.name, self.ret = module, name, ret
        self.args = [Value(p[0], "%" + p[1], self) for p in params]
        link = "internal " if internal else ""
        text = ", ".join(" ".join((p[0], *p[2:], "%" + p[1])) for p in params)
        self._head = f"define {link}{ret} @{name}({text}) nounwind {attributes} {{"
        self._lines: list[str] = []
        self._entry: list[str] = []
        self._count = 0
        self._open = True
        self.block = self.block_before = "entry"
        module.functions.append(self)
        module.signatures[name] = (ret, tuple(p[0] for p in params))

    # -- lines, blocks, names ------------------------------------------------------------------

    def fresh(self) -> int:
        """A number not used in any name yet."""
        self._count += 1
        return self._count

    def emit(self, line: str) -> None:
        """Write one instruction without a result."""
        self._lines.append(line)

    def emit_value(self, t: str, text: str) -> Value:
        """Write one instruction with a result of type ``t``."""
        self._count += 1
        name = f"%v{self._count}"
        self._lines.append(f"{name} = {text}")
        return Value(t, name, self)

    def named(self, t: str, name: str) -> Value:
        """An operand by name, such as ``%x`` or ``@table``."""
        return Value(t, name, self)

    def reserve(self, count: int) -> int:
        """Keep lines for later (see :meth:`fill`); returns the number of the first."""
        at = len(self._lines)
        self._lines.extend([""] * count)
        return at

    def fill(self, line: int, text: str) -> None:
        """Write a reserved line."""
        self._lines[line] = text

    def label(self, name: str) -> None:
        """Start the block ``name``."""
        if self._open:
            self.branch(name)
        self._lines.append(name + ":")
        self.block, self._open = name, True

    def close(self) -> None:
        """Say that the block has ended (its last line was reserved)."""
        self._open = False

    def branch(self, label: str) -> None:
        """End the block with a jump (nothing, if it already ended)."""
        self.block_before = self.block
        if self._open:
            self._lines.append(f"br label %{label}")
        self._open = False

    def branch_if(self, condition: Value, then: str, otherwise: str) -> None:
        """End the block with a conditional jump."""
        self.block_before = self.block
        self._lines.append(f"br i1 {condition}, label %{then}, label %{otherwise}")
        self._open = False

    def ret_(self, value: Value | None = None) -> None:
        """End the block by returning."""
        self._lines.append("ret void" if value is None else f"ret {value.type} {value}")
        self._open = False

    def phi(self, *incoming: tuple[Value, str]) -> Value:
        """A value by the block control came from: pairs of value and label."""
        t = incoming[0][0].type
        return self.emit_value(t, f"phi {t} " + ", ".join(f"[{v}, %{b}]" for v, b in incoming))

    def loop(self, start, stop, step=1, carry: Sequence[Value] = (),
             at_least_once: bool = False) -> Loop:
        """``for i in range(start, stop, step)``; ``at_least_once`` leaves out the first test."""
        return Loop(self, start, stop, step, carry, at_least_once)

    def while_(self, carry: Sequence[Value] = ()) -> While:
        """A loop left from its middle (see :class:`While`)."""
        return While(self, carry)

    def if_(self, condition: Value) -> If:
        """``if``; see :class:`If`."""
        return If(self, condition)

    # -- constants, arithmetic ------------------------------------------------------------------

    def const(self, x, t: str) -> Value:
        """``x`` as an operand of type ``t``: a Python number, or a value (a scalar is splat)."""
        if isinstance(x, Value):
            if x.type != t and lanes(x.type) == 1 and lanes(t) > 1:
                return self.splat(x, lanes(t))
            return x
        return Value(t, literal(x, t), self)

    def zero(self, t: str) -> Value:
        """All bits zero."""
        return Value(t, "zeroinitializer", self) if t != "ptr" else Value(t, "null", self)

    def iota(self, n: int, elem: str = "i32") -> Value:
        """The vector 0, 1, ... n-1."""
        body = ", ".join(f"{elem} {literal(i, elem)}" for i in range(n))
        return Value(vector(elem, n), f"<{body}>" if n > 1 else literal(0, elem), self)

    def pair(self, a, b) -> tuple[Value, Value]:
        """Bring two operands to one type: numbers become constants, scalars are splat."""
        t = a.type if isinstance(a, Value) else b.type
        if isinstance(b, Value) and lanes(b.type) > lanes(t):
            t = b.type
        return self.const(a, t), self.const(b, t)

    def binary(self, op: str, a, b) -> Value:
        """``add sub mul div rem`` (float or signed), ``udiv urem and or xor shl lshr ashr``."""
        a, b = self.pair(a, b)
        if is_float(a.type) and op in ("add", "sub", "mul", "div", "rem"):
            op = f"f{op} {self.fast}"
        elif op in ("div", "rem"):
            op = "s" + op
        return self.emit_value(a.type, f"{op} {a.type} {a}, {b}")

    def ashr(self, a, b) -> Value:
        """Arithmetic shift to the right (keeps the sign)."""
        return self.binary("ashr", a, b)

    def udiv(self, a, b) -> Value:
        """Unsigned division."""
        return self.binary("udiv", a, b)

    def urem(self, a, b) -> Value:
        """Unsigned remainder."""
        return self.binary("urem", a, b)

    def compare(self, op: str, a, b) -> Value:
        """``eq ne lt le gt ge``, ``ult ule ugt uge`` for unsigned integers, ``uno ord`` for NaN."""
        a, b = self.pair(a, b)
        if is_float(a.type):
            code = op if op in ("uno", "ord") else "une" if op == "ne" else "o" + op
            text = f"fcmp {code}"
        else:
            text = f"icmp {op if op in ('eq', 'ne') or op[0] == 'u' else 's' + op}"
        return self.emit_value(with_element(a.type, "i1"), f"{text} {a.type} {a}, {b}")

    def select(self, condition: Value, a, b) -> Value:
        """``a`` where the condition holds, else ``b`` (at least one of them is a value)."""
        a, b = self.pair(a, b)
        if lanes(condition.type) > lanes(a.type):
            wide = vector(a.type, lanes(condition.type))
            a, b = self.const(a, wide), self.const(b, wide)
        return self.emit_value(
            a.type, f"select {condition.type} {condition}, {a.type} {a}, {b.type} {b}")

    def min(self, a, b, signed: bool = True) -> Value:
        """The smaller; for floats b if either is NaN (one instruction on x86)."""
        return self._extreme("lt", "min", a, b, signed)

    def max(self, a, b, signed: bool = True) -> Value:
        """The greater; for floats b if either is NaN (one instruction on x86)."""
        return self._extreme("gt", "max", a, b, signed)

    def _extreme(self, op: str, name: str, a, b, signed: bool) -> Value:
        a, b = self.pair(a, b)
        if is_float(a.type):
            return self.select(self.compare(op, a, b), a, b)
        return self.intrinsic(("s" if signed else "u") + name, a, b)

    def is_nan(self, x: Value) -> Value:
        """Whether x is not a number."""
        return self.compare("uno", x, x)

    def intrinsic(self, name: str, *args, flags: str | None = None) -> Value:
        """``llvm.name`` whose operands and result have one type, such as ``sqrt`` or ``ctpop``."""
        t = next(a.type for a in args if isinstance(a, Value))
        widest = max((a.type for a in args if isinstance(a, Value)), key=lanes)
        t = widest if lanes(widest) > lanes(t) else t
        operands = ", ".join(f"{t} {self.const(a, t)}" for a in args)
        full = f"@llvm.{name}.{suffix(t)}"
        self.module.declare(f"declare {t} {full}({', '.join([t] * len(args))})")
        if flags is None:
            flags = self.fast if is_float(t) else ""
        return self.emit_value(t, f"call {flags} {t} {full}({operands})")

    def fma(self, a, b, c) -> Value:
        """a*b+c; rounded once where the host has the instruction, else twice."""
        if self.module.host.has_fma:
            return self.intrinsic("fma", a, b, c)
        return self.binary("add", self.binary("mul", a, b), c)

    def sqrt(self, x: Value) -> Value:
        """Square root, correctly rounded."""
        return self.intrinsic("sqrt", x)

    def abs(self, x: Value) -> Value:
        """Absolute value (two's complement for integers)."""
        if is_float(x.type):
            return self.intrinsic("fabs", x)
        return self.intrinsic("smax", x, -x)

    # -- casts ----------------------------------------------------------------------------------

    def cast(self, op: str, x: Value, elem: str) -> Value:
        """LLVM's cast ``op`` (``trunc sext zext fptosi ...``) to elements of type ``elem``."""
        t = with_element(x.type, elem)
        return self.emit_value(t, f"{op} {x.type} {x} to {t}")

    def bitcast(self, x: Value, t: str) -> Value:
        """The same bits as type ``t``."""
        return self.emit_value(t, f"bitcast {x.type} {x} to {t}")

    def convert(self, x: Value, elem: str, signed: bool = True) -> Value:
        """The number as elements of type ``elem``.

        Integers wrap; ``signed`` says how the integer side is read (i1 counts as unsigned). Floats
        towards zero to integers (undefined out of range), to nearest even between floats.
        """
        source = element(x.type)
        if source == elem:
            return x
        if "half" in (source, elem) or "bfloat" in (source, elem):
            return convert_half(self, x, elem, signed)
        a, b = is_float(source), is_float(elem)
        signed = signed and source != "i1"
        if a and b:
            op = "fpext" if itemsize(elem) > itemsize(source) else "fptrunc"
        elif a:
            if elem == "i1":
                return x.ne(0.0)
            op = "fptosi" if signed else "fptoui"
        elif b:
            op = "sitofp" if signed else "uitofp"
        elif elem == "i1":
            return x.ne(0)
        else:
            wider = int(elem[1:]) > int(source[1:])
            op = ("sext" if signed else "zext") if wider else "trunc"
        return self.cast(op, x, elem)

    # -- memory ---------------------------------------------------------------------------------

    def arg(self, index: int, t: str = "i64") -> Value:
        """Entry ``index`` of a kernel's argument block: 8 bytes, narrow types in the low ones."""
        return self.load(self.gep(self.args[0], index, "i64"), t, align=8,
                         notes=", !invariant.load !{}")

    def gep(self, p: Value, index, elem: str = "i8") -> Value:
        """The address ``index`` elements of type ``elem`` after ``p`` (a vector of indices: of
        addresses)."""
        if not isinstance(index, Value):
            index = self.const(index, "i64")
        n = lanes(index.type)
        return self.emit_value(vector("ptr", n),
                               f"getelementptr inbounds {elem}, ptr {p}, {index.type} {index}")

    def load(self, p: Value, t: str, align: int | None = None, notes: str = "") -> Value:
        """Read a ``t``; ``align`` bytes are promised (default: one element)."""
        return self.emit_value(t, f"load {t}, ptr {p}, align {align or itemsize(t)}{notes}")

    def store(self, x: Value, p: Value, align: int | None = None, notes: str = "") -> None:
        """Write ``x``; ``align`` bytes are promised (default: one element)."""
        self.emit(f"store {x.type} {x}, ptr {p}, align {align or itemsize(x.type)}{notes}")

    def load_masked(self, p: Value, mask: Value, t: str, other: Value | None = None) -> Value:
        """Read the lanes of the mask; the others are ``other`` (default zero) and not touched."""
        full, size = f"@llvm.masked.load.{suffix(t)}.p0", itemsize(t)
        self.module.declare(f"declare {t} {full}(ptr, i32, {mask.type}, {t})")
        other = self.zero(t) if other is None else other
        return self.emit_value(
            t, f"call {t} {full}(ptr {p}, i32 {size}, {mask.type} {mask}, {t} {other})")

    def store_masked(self, x: Value, p: Value, mask: Value) -> None:
        """Write the lanes of the mask; the others are not touched."""
        full, size = f"@llvm.masked.store.{suffix(x.type)}.p0", itemsize(x.type)
        self.module.declare(f"declare void {full}({x.type}, ptr, i32, {mask.type})")
        self.emit(f"call void {full}({x.type} {x}, ptr {p}, i32 {size}, {mask.type} {mask})")

    def gather(self, p: Value, index: Value, elem: str, mask: Value | None = None) -> Value:
        """Read ``p[index]`` per lane (i32 or i64 indices); lanes off the mask are zero."""
        n = lanes(index.type)
        t, addresses = vector(elem, n), self.gep(p, index, elem)
        mask = self.const(True, vector("i1", n)) if mask is None else mask
        full, size = f"@llvm.masked.gather.{suffix(t)}.{suffix(addresses.type)}", itemsize(elem)
        self.module.declare(f"declare {t} {full}({addresses.type}, i32, {mask.type}, {t})")
        return self.emit_value(t, f"call {t} {full}({addresses.type} {addresses}, i32 {size}, "
                                  f"{mask.type} {mask}, {t} zeroinitializer)")

    def scatter(self, x: Value, p: Value, index: Value, mask: Value | None = None) -> None:
        """Write ``p[index]`` per lane of the mask, lowest lane first."""
        n, elem = lanes(index.type), element(x.type)
        addresses = self.gep(p, index, elem)
        mask = self.const(True, vector("i1", n)) if mask is None else mask
        full = f"@llvm.masked.scatter.{suffix(x.type)}.{suffix(addresses.type)}"
        self.module.declare(f"declare void {full}({x.type}, {addresses.type}, i32, {mask.type})")
        self.emit(f"call void {full}({x.type} {x}, {addresses.type} {addresses}, "
                  f"i32 {itemsize(elem)}, {mask.type} {mask})")

    def alloca(self, t: str, count: int = 1, align: int = 64) -> Value:
        """Stack memory for ``count`` values of type ``t``, for the whole call."""
        name = f"%a{self.fresh()}"
        self._entry.append(f"{name} = alloca {t}, i32 {count}, align {align}")
        return Value("ptr", name, self)

    # -- vectors --------------------------------------------------------------------------------

    def splat(self, x, n: int, elem: str | None = None) -> Value:
        """``x`` in each of ``n`` lanes (a Python number needs ``elem``)."""
        if not isinstance(x, Value):
            return self.const(x, vector(elem, n))
        if n == 1:
            return x
        t = vector(x.type, n)
        a = self.emit_value(t, f"insertelement {t} poison, {x.type} {x}, i32 0")
        return self.emit_value(t, f"shufflevector {t} {a}, {t} poison, <{n} x i32> zeroinitializer")

    def shuffle(self, a: Value, b: Value | None, picks: Sequence[int]) -> Value:
        """The lanes ``picks`` of a followed by b."""
        elem, n = element(a.type), len(picks)
        mask = ", ".join(f"i32 {i}" for i in picks)
        other = "poison" if b is None else b
        t = f"<{n} x {elem}>"
        v = self.emit_value(
            t, f"shufflevector {a.type} {a}, {a.type} {other}, <{n} x i32> <{mask}>")
        return v if n > 1 else self.emit_value(elem, f"extractelement {t} {v}, i32 0")

    def extract(self, x: Value, lane) -> Value:
        """One lane, by number or i32/i64 value."""
        if lanes(x.type) == 1:
            return x
        lane = self.const(lane, "i32")
        return self.emit_value(element(x.type), f"extractelement {x.type} {x}, {lane.type} {lane}")

    def insert(self, x: Value | None, scalar: Value, lane, t: str | None = None) -> Value:
        """``x`` (None: undefined lanes of type ``t``) with one lane replaced."""
        t = t if x is None else x.type
        lane = self.const(lane, "i32")
        text = "poison" if x is None else x
        return self.emit_value(
            t, f"insertelement {t} {text}, {scalar.type} {scalar}, {lane.type} {lane}")

    def lane_mask(self, count: Value, n: int) -> Value:
        """The i1 vector of lanes below ``count`` (an i64; none if negative)."""
        small = self.cast("trunc", self.min(self.max(count, 0), n), "i32")
        return self.compare("lt", self.iota(n), self.const(small, vector("i32", n)))

    def fold(self, x: Value, combine: Callable[[Value, Value], Value]) -> Value:
        """Combine all lanes of ``x`` (a power of two) by halves, with any associative function."""
        n = lanes(x.type)
        while n > 1:
            n //= 2
            x = combine(self.shuffle(x, None, range(n)), self.shuffle(x, None, range(n, 2 * n)))
        return x

    def reduce(self, op: str, x: Value) -> Value:
        """Combine all lanes: ``add mul and or xor max min`` (``umax umin`` unsigned).

        Floats are added in no fixed order; their max and min propagate NaN.
        """
        if lanes(x.type) == 1:
            return x
        if op in ("max", "min") and is_float(x.type):
            return self.fold(x, lambda a, b: self.intrinsic(op + "imum", a, b))
        if op in ("add", "mul") and is_float(x.type):
            return self.fold(x, lambda a, b: self.binary(op, a, b))
        name = {"max": "smax", "min": "smin"}.get(op, op)
        e, full = element(x.type), f"@llvm.vector.reduce.{name}.{suffix(x.type)}"
        self.module.declare(f"declare {e} {full}({x.type})")
        return self.emit_value(e, f"call {e} {full}({x.type} {x})")

    # -- calls, chunks --------------------------------------------------------------------------

    def call(self, name: str, *args) -> Value | None:
        """Call a function of the module or a declared one."""
        ret, types = self.module.signatures[name]
        operands = [self.const(a, t) for a, t in zip(args, types, strict=True)]
        return self._call(ret, f"@{name}", operands)

    def call_pointer(self, pointer: Value, ret: str, *args: Value) -> Value | None:
        """Call a function by address."""
        return self._call(ret, str(pointer), args)

    def _call(self, ret: str, target: str, args: Sequence[Value]) -> Value | None:
        text = f"call {ret} {target}({', '.join(map(repr, args))})"
        if ret == "void":
            self.emit(text)
            return None
        return self.emit_value(ret, text)

    def chunk_range(self, count: Value, unit: int = 1) -> tuple[Value, Value]:
        """In a kernel: the part [lo, hi) of ``count`` items that belongs to this chunk.

        Borders lie at multiples of ``unit`` (the last one at ``count``); parts may be empty.
        """
        _, chunk, nchunks = self.args
        blocks = (count + (unit - 1)) / unit
        lo = blocks * chunk / nchunks * unit
        hi = blocks * (chunk + 1) / nchunks * unit
        return self.min(lo, count), self.min(hi, count)

    def __str__(self) -> str:
        tail = ["ret void"] if self._open and self.ret == "void" else []
        lines = (x if x.endswith(":") else "  " + x for x in [*self._entry, *self._lines, *tail])
        return "\n".join([self._head, "entry:", *lines, "}"])
