"""The words of a followed trace: what ``match`` (match_native.py) reads and steps.py writes.

An entry is a header and operations of ``OP_WORDS`` words each: (code, source, index, a, b, c). Most
look at one object, which ``source`` and ``index`` name: an argument, an item of the list opened
last, a leaf's gradient. Objects stand in the words as addresses; whoever wrote the words keeps them
alive.
"""

from __future__ import annotations

from enum import IntEnum, auto


class State(IntEnum):
    """Words of the state, whose address ``match`` has for its ``self``."""

    THREAD = 0  # whose calls are followed: its dictionary
    ENTRY = auto()  # the words of the expected call, 0 for none
    POS = auto()  # its number
    AROUND = auto()  # what else decides about that thread's calls, see record.py
    MODES = auto()  # what that thread has set of the gradient modes, a dictionary
    # objects
    MISS = auto()
    USUAL = auto()  # whether gradients are on where a thread has set nothing
    EXECUTE = auto()
    TENSOR = auto()
    FLOAT = auto()
    NONE = auto()
    TRUE = auto()
    # names of attributes
    GRAD = auto()
    OUTSTANDING = auto()
    FN = auto()
    REQUIRES = auto()
    HOOKS = auto()
    GRADIENT = auto()
    SHAPE = auto()
    DTYPE = auto()
    RUN = auto()
    INFERENCE = auto()


class Header(IntEnum):
    """Words at the beginning of an entry."""

    NEXT = 0  # address of the entry after it
    FUNCTION = auto()
    MODE = auto()  # True or False: whether gradients are on
    AROUND = auto()
    ARGS = auto()  # how many
    KWARGS = auto()
    LISTS = auto()  # address of the trace's lists
    AFTER = auto()  # number of the entry after it
    OPS = auto()  # how many
    RESULT = auto()  # one of Result
    WHICH = auto()


class Lists(IntEnum):
    """The lists of a trace."""

    SLOTS = 0
    BOUND = auto()
    LAST = auto()
    NUMBERS = auto()
    GROUPS = auto()
    LAST_GROUPS = auto()


class Source(IntEnum):
    """Where an operation's object comes from."""

    NOTHING = 0
    ARG = auto()
    KWARG = auto()  # the index is the address of its name
    LIST_ITEM = auto()
    TUPLE_ITEM = auto()
    GRADIENT = auto()  # of the tensor bound to a leaf


class Code(IntEnum):
    """What an operation does."""

    SLOT = 0
    AGAIN = auto()
    LEAF = auto()
    FRESH = auto()
    SAME = auto()
    CHECK = auto()
    NUMBER = auto()
    OPEN_LIST = auto()
    OPEN_TUPLE = auto()
    GROUP = auto()
    KEEP_GROUP = auto()
    WANTS = auto()
    DO = auto()
    BARE = auto()
    MARK = auto()
    GIVE = auto()


class Result(IntEnum):
    """What a call returns."""

    NONE = 0
    SLOT = auto()
    ARG = auto()
    BUILT = auto()  # by a function without arguments


HEADER, OP_WORDS = len(Header), 6
