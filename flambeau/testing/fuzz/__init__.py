"""Random programs, run under PyTorch and under flambeau: ``python -m flambeau.testing.fuzz``.

A program is a text: it sets a few things up and runs a body several times, so that
interpretation, compilation and trace following all take part; some rounds differ (other data, a
branch, a value that is read, memory that NumPy writes). What it appends to ``log`` must be the same
under both frameworks, up to what rounding explains (``judging.py``), and the same in every bit as
what flambeau gives when NumPy interprets everything and no trace is followed. A failing program is
made as small as possible and printed as a program that can be run by itself.

Families of programs, one file each: ``tensors`` (straight lines), ``steps`` (loops whose rounds are
mostly alike), ``modules``, ``optimizers``, ``loaders``, ``training`` (all of them together),
``timelines`` (several ``networks`` in turn, changed between rounds), ``memories`` (what is written
in place from step to step).
"""

from .command import main as main
from .families import FAMILIES as FAMILIES
from .families import program as program
