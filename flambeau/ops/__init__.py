"""Layer 2: what can be computed. ``prim/``: graph primitives by class with their operations;
``lib/``: composites, plain functions over operations.

Importing this package declares every operation: a new file in ``prim/`` or ``lib/`` needs no entry
anywhere.
"""

import importlib
import os

from . import lib, prim

for _package in (prim, lib):
    for _name in sorted({n.partition(".")[0] for n in os.listdir(_package.__path__[0])
                         if n.endswith((".py", ".pyc"))} - {"__init__"}):
        importlib.import_module(f"{_package.__name__}.{_name}")
