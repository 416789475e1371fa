"""Layer 2: what can be computed. ``prim/``: graph primitives by class with their operations;
``lib/``: composites, plain functions over operations.

Importing this package declares every operation: a new file in ``prim/`` or ``lib/`` needs no entry
anywhere.
"""

import importlib
import pkgutil

from . import lib, prim

for _package in (prim, lib):
    for _module in pkgutil.iter_modules(_package.__path__):
        importlib.import_module(f"{_package.__name__}.{_module.name}")
