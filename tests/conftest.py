"""What holds for all tests."""

import pytest

import flambeau.runtime.plan  # noqa: F401  with the compiler loaded, what comes again is compiled
from flambeau.runtime import execute
from flambeau.tensor import follow


@pytest.fixture(autouse=True)
def expected_to_repeat():
    """Whether steps are recorded depends on how many new ones were met lately: none."""
    execute.restless = follow.recorder.vain = 0
