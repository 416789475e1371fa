"""What errors say: PyTorch's class and key phrase, the shapes, the line, the reason and the cure.

Lines that a message must name end in a comment ``#@name``; ``at("name")`` is how it names them.
"""

import pathlib
import re

import numpy as np
import pytest

import flambeau as torch
from flambeau import nn
from flambeau.nn import functional as F  # noqa: N812

LINES = {found.group(1): number
         for number, line in enumerate(pathlib.Path(__file__).read_text().splitlines(), 1)
         if (found := re.search(r"#@(\w+)$", line))}


def at(name):
    return f"test_messages.py:{LINES[name]}"


def message(cls, program, *fragments, absent=()):
    """The text of the error that ``program`` raises: of exactly that class, with all fragments."""
    with pytest.raises(Exception) as caught:
        program()
    error = caught.value
    assert type(error) is cls, (type(error), error)
    for fragment in fragments:
        assert fragment in str(error), f"{fragment!r} is not in: {error}"
    for fragment in absent:
        assert fragment not in str(error)
    return str(error)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(nn.Linear(343, 4), nn.ReLU(), nn.Linear(5, 2))

    def forward(self, x):
        x = self.pool(x)  #@pool
        return self.classifier(x)


# --- sizes of matrices ----------------------------------------------------------------------------


def test_matrix_sizes_name_layer_and_origin():
    message(RuntimeError, lambda: Net()(torch.zeros(2, 7, 14, 14)),
            "mat1 and mat2 shapes cannot be multiplied (98x7 and 343x4)", "(2, 7, 7, 7)",
            at("pool"), "in Net.classifier[0] Linear(in_features=343, out_features=4",
            "its input came from Net.pool AdaptiveAvgPool2d", "x.flatten(1)")


def test_matrix_sizes_within_a_sequential():
    message(RuntimeError, lambda: Net().classifier(torch.zeros(1, 343)),
            "shapes cannot be multiplied (1x4 and 5x2)", "in Sequential[2] Linear(in_features=5",
            "its input came from Sequential[1] ReLU()", "in_features=4 would fit")


def test_matrix_sizes_of_plain_products():
    def program():
        a = torch.zeros(2, 3) + 1  #@mat1
        b = torch.zeros(4, 5) * 2  #@mat2
        return a @ b

    message(RuntimeError, program, "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)",
            "3 and 4 differ", at("mat1"), at("mat2"))
    message(RuntimeError, lambda: torch.zeros(2, 3, 4) @ torch.zeros(2, 3, 4),
            "Expected size for first two dimensions of batch2 tensor to be: [2, 4] but got: [2, 3]")


# --- no history -----------------------------------------------------------------------------------

NO_HISTORY = "element 0 of tensors does not require grad and does not have a grad_fn"


def test_no_history_frozen():
    def program():
        model = nn.Linear(2, 2)
        for p in model.parameters():
            p.requires_grad = False
        loss = model(torch.zeros(1, 2)).sum()  #@frozen
        loss.backward()

    message(RuntimeError, program, NO_HISTORY, "all 2 parameters", "requires_grad=False",
            at("frozen"))


def test_no_history_no_grad():
    def program():
        model = nn.Linear(2, 2)
        with torch.no_grad():  #@opened
            loss = model(torch.zeros(1, 2)).sum()
        loss.backward()

    message(RuntimeError, program, NO_HISTORY, "inside no_grad() opened at " + at("opened"))


@pytest.mark.parametrize("read_before", [False, True])
def test_no_history_argmax(read_before):
    def program():
        model = nn.Linear(2, 2)
        label = model(torch.zeros(1, 2)).argmax(1)  #@argmax
        loss = ((label.float() - 1) ** 2).mean()
        if read_before:  # what the graph knew is forgotten by then
            loss.item()
        loss.backward()

    message(RuntimeError, program, NO_HISTORY, "cut by argmax at " + at("argmax"))


def test_no_history_detach_comparison_and_numpy():
    model = nn.Linear(2, 2)

    def detached():
        out = model(torch.zeros(1, 2)).detach()  #@detach
        (out * 2).sum().backward()

    def compared():
        right = model(torch.zeros(1, 2)) > 0  #@compared
        right.float().mean().backward()

    def through_numpy():
        out = model(torch.zeros(1, 2)).detach().numpy()  #@numpy
        torch.from_numpy(out * 2).sum().backward()

    message(RuntimeError, detached, NO_HISTORY, "cut by detach() at " + at("detach"))
    message(RuntimeError, compared, NO_HISTORY, "cut by gt at " + at("compared"))
    message(RuntimeError, through_numpy, NO_HISTORY, "left it by numpy() at " + at("numpy"))


# --- overwritten, freed ---------------------------------------------------------------------------


def test_overwritten_names_three_lines():
    def program():
        x = torch.ones(2, 3, requires_grad=True)
        y = x.exp()  #@producer
        z = y * y  #@needs
        y += 1  #@overwrites
        z.sum().backward()

    text = message(RuntimeError, program,
                   "one of the variables needed for gradient computation has been modified by an "
                   "inplace operation: [torch.FloatTensor [2, 3]]", "output 0 of ExpBackward0",
                   "is at version 1; expected version 0", "x = x + 1")
    for word, name in (("produced", "producer"), ("needed by MulBackward0", "needs"),
                       ("overwritten", "overwrites")):
        assert re.search(rf"{word}[^\n]* at {at(name)} ", text), text


def test_overwritten_by_copy_names_its_line():
    def program():
        x = torch.ones(2, requires_grad=True)
        other = torch.zeros(2) + 1
        y = x.sigmoid()
        z = y * x
        y.copy_(other)  #@copies
        z.sum().backward()

    message(RuntimeError, program, "output 0 of SigmoidBackward0",
            f"overwritten at {at('copies')} ")


def test_overwritten_operand_of_a_custom_function():
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 2 * x * g

    def program():
        x = torch.ones(2, requires_grad=True)
        y = x * 3  #@custom_producer
        z = Square.apply(y)
        y.mul_(2)  #@custom_overwrites
        z.sum().backward()

    message(RuntimeError, program, "has been modified by an inplace operation",
            f"produced at {at('custom_producer')} ", f"overwritten at {at('custom_overwrites')} ")


def test_backward_twice():
    def program():
        x = torch.ones(2, requires_grad=True)
        y = (x * x).sum()
        y.backward()  #@first_backward
        y.backward()

    message(RuntimeError, program, "Trying to backward through the graph a second time",
            f"freed by the backward pass at {at('first_backward')} ", "retain_graph=True",
            "the same graph")


def test_carried_over():
    def program():
        cell = nn.RNNCell(2, 2)
        h = torch.zeros(1, 2)
        for _ in range(3):
            h = cell(torch.ones(1, 2), h)  #@carried
            loss = h.sum()
            loss.backward()  #@freeing

    message(RuntimeError, program, "Trying to backward through the graph a second time",
            f"freed by the backward pass at {at('freeing')} ", "`h`, the result of TanhBackward0",
            at("carried"), "h = h.detach()")


# --- dtypes ---------------------------------------------------------------------------------------


def test_float_and_double():
    def layer():
        x = torch.from_numpy(np.ones((3, 2)))  #@double
        nn.Linear(2, 2)(x)

    def product():
        x = torch.tensor(np.ones((2, 2)))  #@double_product
        torch.ones(2, 2) @ (x * 2)

    def convolution():
        nn.Conv2d(1, 1, 1)(torch.as_tensor(np.ones((1, 1, 2, 2))))  #@double_conv

    message(RuntimeError, layer, "mat1 and mat2 must have the same dtype, but got Double",
            "shape (3, 2) is float64, from " + at("double"), ".float()", "np.float32")
    message(RuntimeError, product, "expected m1 and m2 to have the same dtype, but got: float != "
            "double", at("double_product"))
    message(RuntimeError, convolution, "Input type (double) and ", "should be the same",
            at("double_conv"))


@pytest.mark.parametrize("target, cls, fragments", [
    (torch.zeros(4, 1, dtype=torch.int64), RuntimeError,
     ("0D or 1D target tensor expected, multi-target not supported", "(4, 1)", "squeeze(1)")),
    (torch.zeros(4), RuntimeError,
     ("expected target dtype to be Long or Byte, but got Float", ".long()", "(4, 3)")),
    (torch.zeros(4, dtype=torch.int32), RuntimeError,
     ("expected target dtype to be Long or Byte, but got Int", ".long()")),
    (torch.tensor([1, 2, 3, 1]), IndexError,
     ("Target 3 is out of bounds", "position [2]", "from 0 to 2", "count from 1", "subtract")),
    (torch.tensor([1, -1, 0, 1]), IndexError, ("Target -1 is out of bounds", "position [1]")),
    (torch.tensor([1, 2, 2]), ValueError,
     ("Expected input batch_size (4) to match target batch_size (3).".rstrip("."), "(4, 3)")),
    (torch.zeros(4, 3, dtype=torch.int64), RuntimeError,
     ("Expected floating point type for target with class probabilities, got Long", "one-hot",
      ".argmax(1)")),
])
def test_cross_entropy_targets(target, cls, fragments):
    message(cls, lambda: F.cross_entropy(torch.zeros(4, 3), target).item(), *fragments)


def test_channels_last():
    message(RuntimeError, lambda: nn.Conv2d(3, 4, 3)(torch.zeros(2, 32, 32, 3)),
            "expected input[2, 32, 32, 3] to have 3 channels, but got 32 channels instead",
            "channels-last", "x.permute(0, 3, 1, 2)")
    message(RuntimeError, lambda: nn.BatchNorm2d(3)(torch.zeros(2, 32, 32, 3)),
            "running_mean should contain 32 elements not 3", "x.permute(0, 3, 1, 2)")
    message(RuntimeError, lambda: nn.Conv2d(3, 4, 3)(torch.zeros(2, 1, 32, 32)),
            "to have 3 channels, but got 1 channels instead", absent=("channels-last",))


# --- models ---------------------------------------------------------------------------------------


def test_empty_parameter_list():
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [nn.Linear(1, 1), nn.Linear(1, 1)]

    message(ValueError, lambda: torch.optim.SGD(Hidden().parameters(), 0.1),
            "optimizer got an empty parameter list", "Hidden has 0 registered parameters",
            "4 inside the plain list `Hidden.layers`", "ModuleList")


def test_state_dict_mismatch_is_grouped():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3))
    prefixed = {"module." + k: v for k, v in model.state_dict().items()}
    other = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 4)).state_dict()
    message(RuntimeError, lambda: model.load_state_dict(prefixed),
            "Error(s) in loading state_dict for Sequential", "Missing key(s) in state_dict",
            '4 of 4 key(s) differ only by the prefix "module."')
    message(RuntimeError, lambda: model.load_state_dict(other), "size mismatch for 1.weight",
            "torch.Size([4, 2])", "torch.Size([3, 2])")


def test_numpy_of_what_requires_grad():
    def computed():
        w = torch.ones(2, requires_grad=True)  #@asked
        y = w * 2  #@result
        return y.numpy()

    message(RuntimeError, computed, "Can't call numpy() on Tensor that requires grad. Use "
            "tensor.detach().numpy() instead", "MulBackward0 at " + at("result"), at("asked"))
    message(RuntimeError, lambda: nn.Linear(2, 2).weight.numpy(),
            "Can't call numpy() on Tensor that requires grad", "a parameter of shape (2, 2)")


# --- shapes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("requires", [False, True])
def test_view_of_non_contiguous(requires):
    def program():
        x = torch.zeros(2, 3, 4, requires_grad=requires)
        y = x.transpose(1, 2)  #@transposed
        z = y.unsqueeze(0)
        z.view(2, 12)

    message(RuntimeError, program,
            "view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans across two contiguous subspaces)", "(1, 2, 4, 3)",
            "strides", f"not contiguous since {at('transposed')} ", ".reshape(...)",
            ".contiguous()")


def test_cat_and_stack():
    def cat():
        odd = torch.zeros(4, 5) + 1  #@odd
        torch.cat([torch.zeros(2, 3), torch.zeros(2, 3), odd], 1)

    message(RuntimeError, cat, "Sizes of tensors must match except in dimension 1. Expected size 2 "
            "but got size 4 for tensor number 2 in the list", "(2, 3) and (4, 5)", "dimension 0",
            at("odd"))
    message(RuntimeError, lambda: torch.cat([torch.zeros(2), torch.zeros(2, 1)]),
            "Tensors must have same number of dimensions: got 1 and 2", "number 1")
    message(RuntimeError, lambda: torch.stack([torch.zeros(3), torch.zeros(3), torch.zeros(4)]),
            "stack expects each tensor to be equal size, but got [3] at entry 0 and [4] at entry 2",
            "differ in dimension 0")


def test_two_devices():
    def program():
        a = torch.zeros(2, 3).to("meta")  #@moved
        b = torch.zeros(3) + 1  #@stayed
        return a + b

    message(RuntimeError, program, "Expected all tensors to be on the same device, but found at "
            "least two devices, meta and cpu!", "(2, 3) is on meta, put there at " + at("moved"),
            "(3,) is on cpu, put there at " + at("stayed"))


# --- positions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [1, 4])
def test_index_out_of_range_when_it_runs(rounds):
    """The position is computed, so that it is only known at the flush (compiled later on)."""
    table = nn.Embedding(10, 3)
    scores = torch.zeros(2, 3)

    def run(make, shift):
        index = torch.tensor([[1, 2]]) + shift
        out = make(index)
        return out.sum().item()

    for make, cls, bad, fragments in (
            (lambda i: table(i), IndexError, 8,
             ("index out of range in self", "10 at position [0, 1]", "0 to 9", at("embeds"))),
            (lambda i: scores.gather(1, i), RuntimeError, 1,
             ("index 3 is out of bounds for dimension 1 with size 3", at("gathers")))):
        for _ in range(rounds):
            run(make, 0)
        with pytest.raises(cls) as caught:
            run(make, bad)
        assert type(caught.value) is cls
        for fragment in fragments[:-1]:
            assert fragment in str(caught.value)


def test_pending_index_names_the_line_that_made_the_op():
    def embedding():
        index = (torch.rand(3) * 0 + 12).long()
        out = F.embedding(index, torch.zeros(10, 3))  #@embeds
        total = out.sum() + 1
        return total.item()

    def gather():
        index = (torch.rand(1, 3) * 0 + 7).long()
        out = torch.zeros(2, 3).gather(1, index)  #@gathers
        total = out.sum() + 1
        return total.item()

    def loss():
        target = (torch.rand(4) * 0 + 3).long()
        value = F.cross_entropy(torch.zeros(4, 3), target)  #@loses
        total = value + 1
        return total.item()

    message(IndexError, embedding, "index out of range in self", "12 at position [0]", at("embeds"))
    message(RuntimeError, gather, "index 7 is out of bounds for dimension 1 with size 3",
            "position [0, 0]", at("gathers"))
    message(IndexError, loss, "Target 3 is out of bounds", "position [0]", at("loses"))


# --- NaN ------------------------------------------------------------------------------------------


def test_anomaly_names_the_first_operation():
    def program():
        with torch.autograd.set_detect_anomaly(True):
            for scale in (1.0, -1.0):
                x = torch.tensor([4.0, 9.0], requires_grad=True)
                y = torch.log(x * scale)  #@log
                z = y * x  #@times
                z.sum().backward()

    message(RuntimeError, program, "Function 'MulBackward0' returned nan values in its 1th output",
            at("times"), "first in the operation log at " + at("log"), "[-9, -4]",
            "backward pass 2 under anomaly detection")


def test_anomaly_of_a_gradient_alone():
    def program():
        with torch.autograd.detect_anomaly():
            x = torch.zeros(2, requires_grad=True)
            y = torch.sqrt(x)  #@sqrt
            (y * 0).sum().backward()

    message(RuntimeError, program, "Function 'SqrtBackward0' returned nan values in its 0th output",
            at("sqrt"), "in [0, 0]", "forward values before it are finite",
            "under anomaly detection")


# --- the rest -------------------------------------------------------------------------------------


def test_ambiguous_truth():
    x = torch.zeros(3, 2)
    text = "Boolean value of Tensor with more than one value is ambiguous"
    message(RuntimeError, lambda: bool(x > 0), text, "(3, 2)", ".any()", ".all()")
    message(RuntimeError, lambda: (x > 0) and (x < 1), text, "& and |", "`and` and `or`")
    message(RuntimeError, lambda: bool(torch.zeros(0)), "Boolean value of Tensor with no values is "
            "ambiguous")


def test_only_floating_point_can_require_gradients():
    whole = "nly Tensors of floating point"
    cure = ("torch.int64", "1.", "torch.tensor([1, 2]) is int64", "dtype=")
    message(RuntimeError, lambda: torch.tensor([1, 2], requires_grad=True), whole, *cure)
    message(RuntimeError, lambda: torch.tensor([1, 2]).requires_grad_(), whole, *cure)
    message(RuntimeError, lambda: torch.ones(2, dtype=torch.int64, requires_grad=True), whole,
            *cure)


def test_scalar_outputs():
    x = torch.ones(2, 2, requires_grad=True)
    text = "grad can be implicitly created only for scalar outputs"
    message(RuntimeError, lambda: (x * 2).backward(), text, "(2, 2)", ".mean()", ".sum()",
            "gradient=")
    message(RuntimeError, lambda: torch.autograd.grad(x * 2, x), text, "grad_outputs=")


def test_followed_steps_name_their_own_lines():
    """A step that is replayed from a followed trace names the lines of its calls."""
    model = nn.Linear(2, 2)
    opt = torch.optim.SGD(model.parameters(), 0.1)

    def step(bad):
        h = model(torch.ones(1, 2)).tanh()  #@followed
        loss = (h * h).sum()
        if bad:
            h.add_(1)  #@followed_write
        loss.backward()
        opt.step()
        opt.zero_grad()

    for _ in range(6):
        step(False)
    message(RuntimeError, lambda: step(True), "has been modified by an inplace operation",
            f"produced at {at('followed')} ", f"overwritten at {at('followed_write')} ")
