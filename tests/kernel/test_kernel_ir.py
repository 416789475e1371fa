"""The loop IR: text round trip and the checks."""

import pytest

from flambeau.kernel.ir import Buffer, Kernel, Section
from flambeau.kernel.text import KernelTextError, parse, to_text
from flambeau.kernel.verify import KernelError, verify

SOFTMAX = """kernel outer=1 inner=1 lanes=inner split=no order=plain
  b0 = in float32 [any, 1]
  b1 = out float32 [any, 1]
  loop:
    v0 = load b0
    v1 = fold amax v0 float32
  loop:
    v2 = load b0
    v3 = op sub v2 v1 float32
    v4 = op exp v3 float32
    store b1 v4
    v5 = fold sum v4 float32
  loop:
    v6 = load b1
    v7 = op div v6 v5 float32
    store b1 v7"""


def test_text_is_read_back():
    kernel = parse(SOFTMAX)
    verify(kernel)
    assert to_text(kernel) == SOFTMAX
    assert parse(to_text(kernel)) == kernel


def test_text_errors_name_the_line():
    with pytest.raises(KernelTextError, match="line 5"):
        parse(SOFTMAX.replace("v0 = load b0", "v0 = fetch b0"))


@pytest.mark.parametrize(("old", "new", "check"), [
    ("lanes=inner", "lanes=outer", None),
    ("inner=1 lanes", "inner=0 lanes", "check_axes"),
    ("b0 = in float32 [any, 1]", "b0 = in float32 [any]", "check_buffers"),
    ("op sub v2 v1", "op sub v0 v1", "check_values"),
    ("op sub v2 v1", "op sine v2 v1", None),
    ("store b1 v7", "store b0 v7", "check_stores"),
    ("fold sum v4", "fold sub v4", "check_prims"),
])
def test_checks(old, new, check):
    text = SOFTMAX.replace(old, new)
    if check is None:
        if "sine" in new:
            with pytest.raises(KernelTextError):
                parse(text)
        else:
            verify(parse(text))
        return
    with pytest.raises(KernelError, match=check):
        verify(parse(text))


def test_row_sections_do_not_move():
    k = Kernel(1, 1, "inner", False, "plain", (Buffer("float32", (2, 1), "in"),
                                             Buffer("float32", (1, 0), "out")),
               (Section("row", (("load", 0, 0), ("store", 1, 0))),))
    with pytest.raises(KernelError, match="check_levels"):
        verify(k)
