"""vmap of every declared function gives what calls on single examples give, gradients too."""

import pytest

import flambeau as torch
from flambeau.func import vmap
from flambeau.ir import batch
from flambeau.ir.api import API
from flambeau.testing.op_cases import RANDOM, Maker

SIZE = 3

#: what cannot be told for a whole batch: a shape or a result that depends on values
HOST = {
    "nonzero", "argwhere", "masked_select", "unique", "unique_consecutive", "bincount", "equal",
    "allclose", "is_nonzero", "repeat_interleave", "combinations", "histogramdd", "tensor_split",
    "Tensor.tolist", "Tensor.item", "is_same_size", "linalg.lstsq", "lstsq",
    "nonzero_static", "nn.functional.gaussian_nll_loss", "segment_reduce"}
#: what looks at the memory around its operand
MEMORY = {"as_strided", "as_strided_scatter", "as_strided_copy"}
#: gradients only by the first operand, or by none
FIRST_ONLY = {"igamma", "igammac", "nn.functional.nll_loss", "nn.functional.cross_entropy",
              "nn.functional.soft_margin_loss", "nn.functional.batch_norm"}
NO_GRADIENT = {"igamma", "igammac", "scatter"}


def _cases():
    for label, entry in API.items():
        if entry.cases is None or label.rpartition(".")[2] in RANDOM:
            continue
        for i in range(len(entry.cases(Maker(torch)))):
            yield pytest.param(label, i, id=f"{label}-{i}")


def _swap(value, tensors):
    """The arguments with their tensors replaced, in order."""
    if isinstance(value, torch.Tensor):
        return next(tensors)
    if isinstance(value, (list, tuple)):
        items = [_swap(v, tensors) for v in value]
        return type(value)(items) if type(value) in (list, tuple) else value
    if isinstance(value, dict):
        return {k: _swap(v, tensors) for k, v in value.items()}
    return value


def _leaves(out):
    if isinstance(out, torch.Tensor):
        return [out]
    if isinstance(out, (list, tuple)):
        return [x for o in out for x in _leaves(o)]
    return []


def _gradients(outputs, inputs, weights) -> list:
    """Gradients; nothing where the operation has none."""
    try:
        return torch.autograd.grad(outputs, inputs, weights, allow_unused=True)
    except RuntimeError as error:
        if "derivative for" not in str(error):
            raise
        return [None] * len(inputs)


def _check(function, calls, mapped: list[bool], grad: int):
    """One call for all examples against one for each; gradients by the first ``grad`` operands."""
    template = calls[0]
    columns = list(zip(*[c.tensors() for c in calls], strict=True))
    given = [torch.stack(list(c)) if m else c[0] for c, m in zip(columns, mapped, strict=True)]
    given = [g.detach().requires_grad_(k < grad and g.is_floating_point())
             for k, g in enumerate(given)]

    def one(*tensors):
        it = iter(tensors)
        args = _swap(template.args, it)
        kwargs = _swap(template.kwargs, it)
        return tuple(_leaves(function(*args, **kwargs)))

    got = vmap(one, in_dims=tuple(0 if m else None for m in mapped))(*given)
    rows = [one(*[g[b] if m else g for g, m in zip(given, mapped, strict=True)])
            for b in range(SIZE)]
    want = [torch.stack(column) for column in zip(*rows, strict=True)]
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        assert a.shape == b.shape and a.dtype is b.dtype
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5, equal_nan=True)
    if grad:
        live = [t for t in given if t.requires_grad]
        pairs = [(a, b) for a, b in zip(got, want, strict=True) if b.requires_grad]
        assert all(a.requires_grad for a, _ in pairs)
        if live and pairs:
            weights = [torch.linspace(0.5, 1.5, a.numel()).reshape(a.shape).to(a.dtype)
                       for a, _ in pairs]
            ours, theirs = (_gradients([p[k] for p in pairs], live, weights) for k in (0, 1))
            for a, b in zip(ours, theirs, strict=True):
                a, b = (torch.zeros(()) if g is None else g for g in (a, b))
                torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4, equal_nan=True)


@pytest.mark.parametrize("label, i", _cases())
def test_as_a_loop(label, i):
    entry = API[label]
    if entry.name in HOST or label in HOST or label in MEMORY:
        pytest.skip("depends on values or memory")
    calls = [entry.cases(Maker(torch, "float32", seed=s))[i] for s in range(SIZE)]
    count = len(calls[0].tensors())
    if not count or any(c.tensors()[k].shape != calls[0].tensors()[k].shape
                        for c in calls for k in range(count)):
        pytest.skip("no tensors, or of random shapes")
    grad = 0 if label in NO_GRADIENT else 1 if label in FIRST_ONLY else count
    for mapped in {(True,) * count, (True,) + (False,) * (count - 1),
                   (False,) * (count - 1) + (True,)}:
        _check(entry.function, calls, list(mapped), grad)
    assert not batch.state.stack

