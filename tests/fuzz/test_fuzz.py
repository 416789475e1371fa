"""A few random programs; ``python -m flambeau.testing.fuzz`` runs any number of them."""

import pytest
from flambeau.testing import fuzz


def test_random_programs_agree_with_torch(capsys):
    pytest.importorskip("torch")
    assert fuzz.main(["--programs", "25", "--seed", "77000"]) == 0, capsys.readouterr().out


def test_programs_can_be_run_by_themselves():
    text = fuzz.Writer(3).program()
    compile(fuzz.head(text, "flambeau") + text + fuzz.calls(text), "<program>", "exec")
