"""Mistakes that programs make: PyTorch's exception class, and a text that says what to do."""

import pytest

import flambeau as torch
from flambeau import nn

x23, x45 = torch.ones(2, 3), torch.ones(4, 5)
w = torch.ones(3, requires_grad=True)


def frozen_backward():
    torch.ones(3).sum().backward()


def twice():
    loss = (w * w).sum()
    loss.backward()
    loss.backward()


def overwritten():
    y = w.exp()
    y.add_(1)
    y.sum().backward()


def labels_out_of_range():
    return nn.functional.cross_entropy(torch.ones(2, 3), torch.tensor([0, 3])).item()


MISTAKES = [
    ("matmul", lambda: x23 @ x45, RuntimeError, "cannot be multiplied"),
    ("add", lambda: torch.ones(2) + torch.ones(3), RuntimeError, "must match the size"),
    ("linear", lambda: nn.Linear(3, 2)(x45), RuntimeError, "cannot be multiplied"),
    ("no gradient", frozen_backward, RuntimeError, "does not require grad"),
    ("twice", twice, RuntimeError, "second time"),
    ("overwritten", overwritten, RuntimeError, "modified by an inplace operation"),
    ("not a scalar", lambda: (w * 2).backward(), RuntimeError, "only for scalar outputs"),
    ("numpy", lambda: w.numpy(), RuntimeError, r"detach\(\)"),
    ("bool", lambda: bool(x23), RuntimeError, "ambiguous"),
    ("integers", lambda: torch.tensor([1, 2], requires_grad=True), RuntimeError, "floating point"),
    ("dimension", lambda: x23.sum(2), IndexError, "Dimension out of range"),
    ("labels", labels_out_of_range, IndexError, "out of bounds"),
    ("view", lambda: x23.t().view(6), RuntimeError, "reshape"),
    ("cat", lambda: torch.cat([x23, x45]), RuntimeError, "Sizes of tensors must match"),
    ("no parameters", lambda: torch.optim.SGD([], 0.1), ValueError, "empty parameter list"),
    ("item", lambda: x23.item(), RuntimeError, "cannot be converted to Scalar"),
    ("reshape", lambda: x23.reshape(4), RuntimeError, "invalid for input of size 6"),
    ("float and double", lambda: nn.Linear(3, 2)(x23.double()), RuntimeError, "dtype"),
]


@pytest.mark.parametrize("make, error, text", [m[1:] for m in MISTAKES],
                         ids=[m[0] for m in MISTAKES])
def test_mistake(make, error, text):
    with pytest.raises(error, match=text) as caught:
        make()
    assert type(caught.value) is error
