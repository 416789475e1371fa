"""What ``import torch`` finds in processes that a program under ``python -m flambeau`` starts."""

import importlib.util
import os
import sys

if importlib.util.find_spec("flambeau") is None:
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from flambeau import standin

standin.install()
