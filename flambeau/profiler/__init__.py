"""torch.profiler: where the time goes.

Operations are recorded first and run later, together: an operation's own row is the time it takes
to record; what was computed stands in the rows ``flambeau::run``. While a profile is taken, steps
that repeat are recorded again instead of being followed, so that every operation shows.
"""

from __future__ import annotations

from .events import DeviceType as DeviceType
from .events import EventList as EventList
from .profile import ExecutionTraceObserver as ExecutionTraceObserver
from .profile import kineto_available as kineto_available
from .profile import profile as profile
from .profile import ProfilerAction as ProfilerAction
from .profile import ProfilerActivity as ProfilerActivity
from .profile import record_function as record_function
from .profile import schedule as schedule
from .profile import supported_activities as supported_activities
from .profile import tensorboard_trace_handler as tensorboard_trace_handler
