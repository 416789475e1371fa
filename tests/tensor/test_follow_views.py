"""Followed reads of views: what an earlier flush copied for a view is no constant."""

import numpy as np

import flambeau as torch


def test_a_copied_view_is_read_anew():
    values = np.arange(9, dtype=np.float32)
    for n in range(8):
        now = values if n < 6 else values + n  # equal long enough to look constant
        view = torch.tensor(now).to(torch.bfloat16)[0:9:2]
        view.tolist()
        np.testing.assert_array_equal(view.to(torch.float32).numpy(), now[::2])
