"""torch.signal: window functions; the frequencies of torch.fft."""

from . import frequencies as frequencies
from . import windows as windows
