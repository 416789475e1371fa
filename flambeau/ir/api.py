"""Which names a function has in PyTorch's API; everything generated starts from this table.

``@api`` is put on the one public function of an operation. From it come ``torch.name``,
``Tensor.name``, ``Tensor.name_``, the ``out=`` form, ``nn.functional.name``, other namespaces and
aliases, the type stubs, the docs' op table and the per-op tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .autocast import autocasting

API: dict[str, ApiFunction] = {}


class ApiFunction(NamedTuple):
    """A public function and its forms (see :func:`api`)."""

    name: str
    function: Callable
    torch: bool = True
    method: bool = False
    inplace: bool = False
    out: int = 0
    functional: bool = False
    namespaces: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    cases: Callable | None = None
    errors: Callable | None = None
    dtypes: str = "float"


def api(name: str | None = None, *, torch: bool = True, method: bool = False, inplace: bool = False,
        out: int | bool = 0, functional: bool = False, namespaces: tuple[str, ...] = (),
        aliases: tuple[str, ...] = (), cases: Callable | None = None,
        errors: Callable | None = None, dtypes: str = "float"):
    """Declare a public function.

    Args:
        name: PyTorch's name; the function's own when omitted.
        torch: it is ``torch.name``.
        method: it is ``Tensor.name`` (the first parameter is the tensor).
        inplace: there is ``Tensor.name_`` (computes, then writes into the tensor).
        out: number of results that ``out=`` takes (1: a tensor, more: a tuple); 0: no such form.
        functional: it is ``torch.nn.functional.name``.
        namespaces: further homes: "linalg", "fft", "special".
        aliases: other names, in every form (``absolute`` of ``abs``); "linalg.det" style names
            stand in that namespace only.
        cases: ``cases(t) -> list`` of calls that the generated tests make. ``t`` makes operands:
            ``t.f(2, 3)`` floats, ``t.pos(...)`` floats in [0.5, 2], ``t.unit(...)`` in (-0.9, 0.9),
            ``t.ints(*shape, low=, high=)``, ``t.bools(*shape)``; a call is
            ``t.call(*args, **kwargs)``.
        errors: ``errors(t) -> list`` of ``(exception type, text fragment, call)``.
        dtypes: "float", "number" (ints too), "any" (bool too) - what the cases' floats may become.
    """

    def declare(function: Callable) -> Callable:
        key = name or function.__name__
        label = key if torch else ("nn.functional." + key if functional else
                                   (namespaces[0] + "." + key if namespaces else "Tensor." + key))
        if label in API:
            raise ValueError(f"API name {label!r} is declared twice")
        function = autocasting(function, label)
        API[label] = ApiFunction(key, function, torch, method, inplace, int(out), functional,
                                 tuple(namespaces), tuple(aliases), cases, errors, dtypes)
        return function

    return declare
