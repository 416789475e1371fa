"""What ``repeat`` (repeat_native.py) knows of a trace's last run, as words; see repeat.py."""

from __future__ import annotations

from enum import IntEnum, auto


class Known(IntEnum):
    """The words. Objects stand there as addresses."""

    REPEATED = 0  # how often ``repeat`` has run since Python asked
    MOST = auto()  # how often it may
    # what must hold
    STATE = auto()  # the words of ``match``
    CALLS = auto()  # how many calls the trace has
    SLOTS = auto()
    USUAL = auto()  # a list: the references to each slot
    RUN = auto()  # the last run: only the recorder and who wrote these words refer to it, ...
    RUN_SLOTS = auto()  # and nobody else to its tensors
    RUN_STORAGES = auto()  # a dictionary, empty
    ARRAYS = auto()  # the outputs
    FREE = auto()  # a list: the references to each of them
    RUNS = auto()  # lists that are empty
    PENDING = auto()
    EXECUTE = auto()  # the names of the module, ...
    TOUCHES = auto()  # and what they count
    FLUSHES = auto()
    PLAN = auto()
    BINDING = auto()  # the plan's user
    BLOCK = auto()  # the thread's memory, ...
    ADDRESS = auto()  # which is where it was
    FLAGS = auto()
    # what is done
    NUMBERS = auto()  # the list of the run's numbers
    CELLS = auto()  # address of (address, bytes, which number)
    CELL_COUNT = auto()
    RUNNER = auto()  # native, for a plan that runs on the calling thread alone; else 0
    TEAM = auto()  # a function, ...
    ALL_ROWS = auto()  # and its arguments: table and rows, ...
    OTHER_ROWS = auto()  # and those without the first row
    TABLE = auto()
    ROWS = auto()
    STOPS = auto()  # words that are 0 unless a check has failed
    STOP_COUNT = auto()
    FIRST = auto()  # address of the first entry
    BOUND = auto()
    LAST = auto()
    GROUPS = auto()
    LAST_GROUPS = auto()
    NO_SLOTS = auto()
    NO_LEAVES = auto()
    TRUE = auto()
    FALSE = auto()
    # names of attributes
    USER = auto()
    DIRTY = auto()
    BUSY = auto()
    WHERE = auto()
    DEBUG = auto()
    COUNTS_TOUCHES = auto()
    COUNTS_FLUSHES = auto()
    OUTSTANDING = auto()
