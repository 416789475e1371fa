"""torch.futures: results that another thread will give."""

from __future__ import annotations

import concurrent.futures


class Future:
    """A result to come.

    Args:
        devices: accepted.
    """

    def __init__(self, *, devices=None):
        self._future: concurrent.futures.Future = concurrent.futures.Future()

    def done(self) -> bool:
        """Whether the result, or an error, is there."""
        return self._future.done()

    def wait(self):
        """Wait for the result; an error that was set is raised."""
        return self._future.result()

    def value(self):
        """The result.

        Raises:
            RuntimeError: it is not there yet.
        """
        if not self.done():
            raise RuntimeError("value() is called on a future that is not done; use wait()")
        return self._future.result()

    def set_result(self, result) -> None:
        """Give the result.

        Raises:
            RuntimeError: it has one.
        """
        if self.done():
            raise RuntimeError("set_result() on a future that has a result already")
        self._future.set_result(result)

    def set_exception(self, result: BaseException) -> None:
        """Let ``wait()`` raise.

        Raises:
            AssertionError: it is no exception.
        """
        if not isinstance(result, BaseException):
            raise AssertionError(f"{result} is of type {type(result)}, not an Exception.")
        self._future.set_exception(result)

    def add_done_callback(self, callback) -> None:
        """Call ``callback(self)`` when the result is there."""
        self._future.add_done_callback(lambda _: callback(self))

    def then(self, callback) -> Future:
        """The future of ``callback(self)``."""
        after = Future()

        def run(_):
            try:
                after.set_result(callback(self))
            except Exception as error:
                after.set_exception(error)

        self.add_done_callback(run)
        return after


def collect_all(futures) -> Future:
    """A future of the list of futures, done when all are."""
    futures, everything = list(futures), Future()
    left = [len(futures)]

    def one(_):
        left[0] -= 1
        if not left[0]:
            everything.set_result(futures)

    if not futures:
        everything.set_result(futures)
    for f in futures:
        f.add_done_callback(one)
    return everything


def wait_all(futures) -> list:
    """The results of futures, in order."""
    return [f.wait() for f in futures]
