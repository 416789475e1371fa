"""einsum: any sum of products, as batched matrix products of pairs of operands."""

from __future__ import annotations

import itertools
import math
import string

from ...ir import autocast
from ...ir.api import api
from ..prim.contract import _check_dtypes, bmm
from ..prim.elementwise import mul
from ..prim.reduce import expand, sum  # noqa: A004
from ..prim.shape import permute, reshape
from .triangles import diagonal

_LETTERS = set(string.ascii_letters)
_BATCH = "."  # with a number: an axis of the ellipsis, counted from the right


def _labels(text: str, rank: int | None, where: str) -> list:
    """Subscripts of one operand (or of the result when ``rank`` is None)."""
    out: list = []
    i, dots = 0, False
    while i < len(text):
        c = text[i]
        if c == " ":
            i += 1
        elif c == ".":
            if text[i:i + 3] != "..." or dots:
                raise RuntimeError(f"einsum(): found '.' for {where} that is not part of any "
                                   "ellipsis" if not dots else
                                   f"einsum(): found '.' for {where} for which an ellipsis was "
                                   "already found")
            out.append("...")
            dots = True
            i += 3
        elif c in _LETTERS:
            out.append(c)
            i += 1
        else:
            raise RuntimeError(f"einsum(): invalid subscript given at index {i} in the equation "
                               "string, subscripts must be in [a-zA-Z]")
    if rank is None:
        return out
    named = len([c for c in out if c != "..."])
    if not dots and named != rank or named > rank:
        raise RuntimeError(
            f"einsum(): the number of subscripts in the equation ({named}) "
            + ("is more than the number of dimensions" if dots else
               "does not match the number of dimensions") + f" ({rank}) for {where}"
            + ("" if dots or named > rank else " and no ellipsis was given"))
    return out


def _spelled(labels: list, rank: int) -> list:
    """The ellipsis as the axes it stands for."""
    if "..." not in labels:
        return labels
    at = labels.index("...")
    count = rank - (len(labels) - 1)
    return labels[:at] + [f"{_BATCH}{count - 1 - i}" for i in range(count)] + labels[at + 1:]


def _default_output(terms: list[list]) -> list:
    """Ellipsis axes first, then labels that occur once, in alphabetical order."""
    flat = [c for term in terms for c in term]
    dots = sorted({c for c in flat if c[0] == _BATCH}, key=lambda c: -int(c[1:]))
    return dots + sorted(c for c in set(flat) if c[0] != _BATCH and flat.count(c) == 1)


def _parse(equation: str, operands):
    if "->" in equation:
        left, _, right = equation.partition("->")
    else:
        left, right = equation, None
    parts = left.split(",")
    if len(parts) != len(operands):
        raise RuntimeError("einsum(): " + (
            "more operands were provided than specified in the equation"
            if len(parts) < len(operands) else
            "fewer operands were provided than specified in the equation"))
    terms = [_spelled(_labels(p, len(x.shape), f"operand {i}"), len(x.shape))
             for i, (p, x) in enumerate(zip(parts, operands, strict=True))]
    if right is None:
        return terms, _default_output(terms)
    output = _labels(right, None, "the output")
    dots = sorted({c for term in terms for c in term if c[0] == _BATCH}, key=lambda c: -int(c[1:]))
    if "..." in output:
        at = output.index("...")
        output = output[:at] + dots + output[at + 1:]
    known = {c for term in terms for c in term}
    for c in output:
        if c not in known:
            raise RuntimeError(f"einsum(): output subscript {c} does not appear in the equation "
                               "for any input operand")
        if output.count(c) > 1:
            raise RuntimeError(f"einsum(): output subscript {c} appears more than once in the "
                               "output")
    return terms, output


def _from_sublists(args):
    """``einsum(x, [0, 1], y, [1, 2], [0, 2])`` as an equation."""

    def text(sublist):
        out = ""
        for s in sublist:
            if s is Ellipsis:
                out += "..."
            elif 0 <= s < 52:
                out += string.ascii_letters[26 + s] if s < 26 else string.ascii_letters[s - 26]
            else:
                raise ValueError(f"einsum(): subscript {s} is not within the valid range [0, 52)")
        return out

    operands = list(args[:len(args) // 2 * 2:2])
    equation = ",".join(text(s) for s in args[1:len(args) // 2 * 2:2])
    if len(args) % 2:
        equation += "->" + text(args[-1])
    return equation, operands


def _without_repeats(x, labels: list):
    """Repeated labels of one operand read its diagonal."""
    for c in dict.fromkeys(labels):
        while labels.count(c) > 1:
            first = labels.index(c)
            second = labels.index(c, first + 1)
            if x.shape[first] != x.shape[second]:
                raise RuntimeError(
                    f"einsum(): subscript {c} is repeated for operand but the sizes don't match, "
                    f"{x.shape[second]} != {x.shape[first]}")
            x = diagonal(x, 0, first, second)
            labels = [s for i, s in enumerate(labels) if i not in (first, second)] + [c]
    return x, labels


def _sum_out(x, labels, keep, sizes):
    """Labels that nobody else needs are summed at once."""
    axes = tuple(i for i, c in enumerate(labels) if c not in keep)
    if axes:
        factor = math.prod(sizes[labels[i]] // max(x.shape[i], 1) if x.shape[i] == 1 else 1
                           for i in axes)
        x, labels = sum(x, axes), [c for c in labels if c in keep]
        x = mul(x, factor) if factor != 1 else x
    return x, labels


def _pair(a, la, b, lb, keep, sizes):
    """The product of two operands, summed over the labels not in ``keep``."""
    a, la = _without_ones(a, la, keep, sizes)
    b, lb = _without_ones(b, lb, keep, sizes)
    both = [c for c in la if c in lb]
    # size 1 meets any size: repeat it where both sides matter
    a, b = (_grown(x, labels, both, sizes) for x, labels in ((a, la), (b, lb)))
    batch = [c for c in both if c in keep]
    inner = [c for c in both if c not in keep]
    left = [c for c in la if c not in both]
    right = [c for c in lb if c not in both]
    size = {c: n for x, labels in ((a, la), (b, lb)) for c, n in zip(labels, x.shape, strict=True)}

    def count(labels):
        return math.prod(size[c] for c in labels)

    def order(x, labels, *groups):
        return permute(x, tuple(labels.index(c) for g in groups for c in g)) if labels else x

    if not inner:  # no sum: an ordinary product with broadcasting
        a = reshape(order(a, la, batch, left), tuple(size[c] for c in batch + left)
                    + (1,) * len(right))
        b = reshape(order(b, lb, batch, right), tuple(size[c] for c in batch) + (1,) * len(left)
                    + tuple(size[c] for c in right))
        return mul(a, b), batch + left + right
    out = bmm(reshape(order(a, la, batch, left, inner), (count(batch), count(left), count(inner))),
              reshape(order(b, lb, batch, inner, right),
                      (count(batch), count(inner), count(right))))
    labels = batch + left + right
    return reshape(out, tuple(size[c] for c in labels)), labels


def _without_ones(x, labels, keep, sizes):
    """Labels of one element need no sum: a product over them alone is an ordinary one."""
    kept = [c for c in labels if c in keep or sizes[c] != 1]
    if len(kept) < len(labels):
        x = reshape(x, tuple(n for c, n in zip(labels, x.shape, strict=True) if c in kept))
    return x, kept


def _grown(x, labels, both, sizes):
    shape = tuple(sizes[c] if c in both else n for c, n in zip(labels, x.shape, strict=True))
    return x if shape == tuple(x.shape) else expand(x, shape)


def _sizes(terms, operands):
    sizes: dict = {}
    for i, (labels, x) in enumerate(zip(terms, operands, strict=True)):
        for axis, (c, n) in enumerate(zip(labels, x.shape, strict=True)):
            have = sizes.setdefault(c, n)
            if have == 1:
                sizes[c] = n
            elif n not in (1, have):
                raise RuntimeError(
                    f"einsum(): subscript {c} has size {n} for operand {i} (axis {axis}) which "
                    f"does not broadcast with previously seen size {have}")
    return sizes


@api(dtypes="number",
     cases=lambda t: [t.call("ij,jk->ik", t.f(2, 3), t.f(3, 4)), t.call("ii->i", t.f(3, 3)),
                      t.call("b...i,ij->b...j", t.f(2, 5, 3), t.f(3, 4)),
                      t.call("i,j,k->jki", t.f(2), t.f(3), t.f(4))],
     errors=lambda t: [(RuntimeError, "does not match", t.call("ij->j", t.f(2)))])
def einsum(equation, *operands):
    """Sums of products by Einstein's convention: ``einsum("bij,bjk->bik", a, b)``.

    Raises:
        RuntimeError: the equation does not fit the operands.
    """
    if not isinstance(equation, str):
        equation, operands = _from_sublists((equation, *operands))
    elif len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    factors = list(operands)
    if not factors:
        raise ValueError("einsum(): must specify at least one operand")
    if autocast.state.dtype is None:  # else the products cast their operands
        for x in factors[1:]:
            _check_dtypes("einsum", factors[0], x)
    terms, output = _parse(equation, factors)
    for i, labels in enumerate(terms):
        factors[i], terms[i] = _without_repeats(factors[i], list(labels))
    sizes = _sizes(terms, factors)
    while len(factors) > 1:
        i, j = _cheapest(terms, sizes)
        rest = [k for k in range(len(factors)) if k not in (i, j)]
        keep = set(output).union(*[terms[k] for k in rest])
        a, of_a = _sum_out(factors[i], terms[i], keep | set(terms[j]), sizes)
        b, of_b = _sum_out(factors[j], terms[j], keep | set(terms[i]), sizes)
        out, labels = _pair(a, of_a, b, of_b, keep, sizes)
        factors = [out, *(factors[k] for k in rest)]
        terms = [labels, *(terms[k] for k in rest)]
    x, labels = _sum_out(factors[0], terms[0], set(output), sizes)
    return permute(x, tuple(labels.index(c) for c in output)) if labels != output else x


def _cheapest(terms, sizes):
    """The pair whose product is smallest; the first two when there are only two."""
    if len(terms) == 2:
        return 0, 1

    def cost(pair):
        i, j = pair
        return math.prod(sizes[c] for c in {*terms[i], *terms[j]})

    return min(itertools.combinations(range(len(terms)), 2), key=cost)
