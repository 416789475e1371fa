"""torch.nn.utils."""

from __future__ import annotations

from . import rnn as rnn
