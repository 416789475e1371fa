"""Looking inside: what was recorded, compiled and run. See docs/debugging.md."""

from .compiled import compiled as compiled
from .explain import Explanation as Explanation
from .explain import explain as explain
from .stages import Stages as Stages
from .stages import stages as stages
