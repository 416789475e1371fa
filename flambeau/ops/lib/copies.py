"""The ``*_copy`` forms of the view functions, and the ``unsafe_`` forms of split and chunk."""

from __future__ import annotations

from ...ir.api import api
from ..prim.elementwise import clone
from ..prim.join import chunk, split, split_with_sizes, unbind
from ..prim.reduce import expand
from ..prim.shape import permute, reshape, select, slice_dim, squeeze, t, transpose, unsqueeze
from .shape import as_strided, narrow, unfold
from .triangles import diagonal


def _copy_of(name: str, view, *, method: bool = False, out: int = 1, torch: bool = True):
    """``name``: the view function ``view`` with a result in memory of its own."""

    def function(input, *args, **kwargs):  # noqa: A002
        result = view(input, *args, **kwargs)
        if isinstance(result, tuple):
            return tuple(clone(part) for part in result)
        return clone(result)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"``{view.__name__}`` with a copy of the elements."
    return api(name, torch=torch, method=method, out=out, dtypes="any")(function)


def _itself(input):  # noqa: A002
    """The tensor."""
    return input


for _name, _view in (
        ("expand", expand), ("diagonal", diagonal), ("alias", _itself), ("detach", _itself),
        ("as_strided", as_strided), ("view", reshape), ("permute", permute), ("unfold", unfold),
        ("squeeze", squeeze), ("unsqueeze", unsqueeze), ("transpose", transpose), ("t", t),
        ("select", select), ("slice", slice_dim)):
    _copy_of(_name + "_copy", _view)
_copy_of("narrow_copy", narrow, method=True)
for _name, _view in (("split", split), ("split_with_sizes", split_with_sizes),
                     ("unbind", unbind)):
    _copy_of(_name + "_copy", _view, out=0)
_copy_of("unsafe_split", split, method=True, out=0)
_copy_of("unsafe_split_with_sizes", split_with_sizes, method=True, out=0)
_copy_of("unsafe_chunk", chunk, method=True, out=0)


@api(method=True, out=1, dtypes="any")
def as_strided_scatter(input, src, size, stride, storage_offset=None):  # noqa: A002
    """``input`` with what ``as_strided`` would read replaced by ``src``."""
    out = clone(input)
    if tuple(src.shape) != tuple(size):
        raise RuntimeError("expected src to have a size equal to the slice of self. src size = "
                           f"{list(src.shape)}, slice size = {list(size)}")
    as_strided(out, size, stride, storage_offset).copy_(src)
    return out
