"""What holds for all tests."""

import pytest

import flambeau.runtime.plan  # noqa: F401  with the compiler loaded, what comes again is compiled
from flambeau.runtime import execute
from flambeau.tensor.follow import recorder


@pytest.fixture(autouse=True)
def expected_to_repeat():
    """Whether steps are recorded depends on how many were met lately that did not repeat: none. Nor
    are they taken for steps of other tests that begin in the same way."""
    execute.restless = recorder.vain = 0
    recorder.recent[:] = [trace for trace in recorder.recent if trace is recorder.trace]
