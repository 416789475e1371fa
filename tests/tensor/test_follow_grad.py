"""autograd.grad through histories from before the step: each walks its own tape."""

import numpy as np

import flambeau as torch


def test_gradients_of_several_results_of_one_leaf():
    x = torch.ones(4, requires_grad=True)
    results = [(x * 2, 2), (x * 3, 3), (x * x * 5, 10), (x * x * 7, 14)]
    for _ in range(3):
        for result, slope in results:
            for k in range(4):
                one = np.eye(4, dtype=np.float32)[k]
                g, = torch.autograd.grad(result, x, torch.tensor(one), retain_graph=True)
                np.testing.assert_array_equal(g.numpy(), one * slope)
