"""Interpreters whose reference counts mean something else are refused."""

import sys
from types import SimpleNamespace

import pytest

from flambeau.base import interpreter


def test_this_one_is_fine():
    interpreter.check()


@pytest.mark.parametrize(("what", "value", "text"), [
    ("version_info", (3, 14, 1), "this is cpython 3.14.1. Use CPython 3.13"),
    ("implementation", SimpleNamespace(name="pypy"), "this is pypy 3"),
    ("_is_gil_enabled", lambda: False, "without the global interpreter lock. Use"),
])
def test_others_are_named(what, value, text, monkeypatch):
    monkeypatch.setattr(sys, what, value, raising=False)
    with pytest.raises(ImportError, match="reference counts") as caught:
        interpreter.check()
    assert text in str(caught.value)
