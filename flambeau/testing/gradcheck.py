"""Derivatives compared with finite differences.

Complex numbers count as two real ones: both Jacobians are taken of the real and imaginary parts, so
one rule holds for every dtype.
"""

from __future__ import annotations

import warnings

import numpy as np

from ..base import dtype as dt
from ..tensor import Tensor, no_grad
from ..tensor.backward import grad as _grad
from ..tensor.convert import tensor
from .gradcheck_modes import batched_differs, forward_jacobians


class GradcheckError(RuntimeError):
    """The two Jacobians differ."""


def gradcheck(func, inputs, *, eps: float = 1e-6, atol: float = 1e-5, rtol: float = 1e-3,
              raise_exception: bool = True, nondet_tol: float = 0.0,
              check_undefined_grad: bool = True, check_grad_dtypes: bool = False,
              check_batched_grad: bool = False, check_batched_forward_grad: bool = False,
              check_forward_ad: bool = False, check_backward_ad: bool = True,
              fast_mode: bool = False, masked: bool | None = None) -> bool:
    """Compare the gradients of ``func`` with central finite differences.

    Args:
        func: takes ``inputs`` and returns a tensor or a tuple of tensors.
        inputs: a tensor or a tuple; those that require a gradient should be float64 or complex128.
        eps: step of the differences.
        atol, rtol: tolerance of an element of the Jacobian.
        raise_exception: False returns False instead of raising.
        nondet_tol: how much a second backward may differ from the first.
        check_undefined_grad: also run backward with the gradients of some outputs missing.
        check_grad_dtypes: a gradient must have its input's dtype.
        check_forward_ad: compare the derivatives along directions (``torch.func.jvp``) as well.
        check_batched_grad: gradients of a batch at once (vmap) must be those one by one.
        check_batched_forward_grad: accepted; the two checks above cover it.
        fast_mode: compare one random combination of the Jacobian's rows and columns only.
        masked: accepted; there are no sparse tensors.

    Raises:
        GradcheckError: the Jacobians differ.
        ValueError: no input requires a gradient.
    """
    args = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    try:
        _check_inputs(args)
        if check_backward_ad:
            _check(func, args, eps, atol, rtol, nondet_tol, fast_mode, check_grad_dtypes)
        if check_undefined_grad:
            _check_undefined(func, args)
        _check_modes(func, args, check_forward_ad, check_batched_grad, eps, atol, rtol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(func, inputs, grad_outputs=None, *, eps: float = 1e-6, atol: float = 1e-5,
                  rtol: float = 1e-3, gen_non_contig_grad_outputs: bool = False,
                  raise_exception: bool = True, nondet_tol: float = 0.0,
                  check_undefined_grad: bool = True, check_grad_dtypes: bool = False,
                  check_batched_grad: bool = False, check_fwd_over_rev: bool = False,
                  check_rev_over_rev: bool = True, fast_mode: bool = False,
                  masked: bool = False) -> bool:
    """:func:`gradcheck` of the gradients of ``func``, as a function of inputs and grad_outputs.

    Args:
        grad_outputs: what the gradients are taken with; random numbers when omitted.
        gen_non_contig_grad_outputs: give the generated ones a layout with gaps.
        others: as in :func:`gradcheck`.
    """
    args = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    if grad_outputs is None:
        rng = np.random.RandomState(0)
        given = []
        for out in _outputs(func(*args)):
            values = rng.standard_normal((*out.shape, 2)).astype(np.float64)
            if out.dtype.is_complex:
                values = values.view(np.complex128)
            t = tensor(values, dtype=out.dtype)
            t = t[..., 0] if gen_non_contig_grad_outputs else t[..., 0].contiguous()
            given.append(t.detach().requires_grad_())
    else:
        given = list(grad_outputs) if isinstance(grad_outputs, (tuple, list)) else [grad_outputs]
    wanted = [i for i, x in enumerate(args) if isinstance(x, Tensor) and x.requires_grad]
    count = len(args)

    def gradients(*both):
        these = tuple(x.detach().requires_grad_() if i in wanted and not x.requires_grad else x
                      for i, x in enumerate(both[:count]))
        results = _outputs(func(*these))
        found = _grad(results, [these[i] for i in wanted], both[count:], create_graph=True,
                      allow_unused=True)
        return tuple(g for g in found if g is not None and g.requires_grad)

    if not gradients(*args, *given):
        return True  # linear functions of nothing: the second derivative is zero everywhere
    return gradcheck(gradients, (*args, *given), eps=eps, atol=atol, rtol=rtol,
                     raise_exception=raise_exception, nondet_tol=nondet_tol,
                     check_undefined_grad=check_undefined_grad,
                     check_grad_dtypes=check_grad_dtypes, fast_mode=fast_mode,
                     check_batched_grad=check_batched_grad, check_forward_ad=check_fwd_over_rev,
                     check_backward_ad=check_rev_over_rev)


def _check_inputs(args: tuple) -> None:
    found = False
    for i, x in enumerate(args):
        if isinstance(x, Tensor) and x.requires_grad:
            found = True
            if x.dtype not in (dt.float64, dt.complex128):
                warnings.warn(
                    f"Input #{i} requires gradient and is not a double precision floating point or "
                    "complex. This check will likely fail if all the inputs are not of double "
                    "precision floating point or complex. ", stacklevel=4)
    if not found:
        raise ValueError("gradcheck expects at least one input tensor to require gradient, but "
                         "none of the them have requires_grad=True.")


def _outputs(result) -> list[Tensor]:
    many = result if isinstance(result, (tuple, list)) else (result,)
    return [t for t in many if isinstance(t, Tensor) and t.requires_grad]


def _check(func, args, eps, atol, rtol, nondet_tol, fast_mode, check_dtypes) -> None:
    results = _outputs(func(*args))
    wanted = [x for x in args if isinstance(x, Tensor) and x.requires_grad]
    if not results:
        _check_constant(func, args, wanted, eps, atol)
        return
    if fast_mode:
        _check_fast(func, args, results, wanted, eps, atol, rtol)
        return
    for o, out in enumerate(results):
        numerical = _numerical(func, args, wanted, o, eps)
        analytical = _analytical(out, wanted, check_dtypes)
        again = _analytical(out, wanted, False)
        for i, (n, a, b) in enumerate(zip(numerical, analytical, again, strict=True)):
            if not np.allclose(a, n, rtol, atol):
                raise _mismatch(o, i, tensor(n), tensor(a))
            if a.size and np.abs(a - b).max() > nondet_tol:
                raise GradcheckError(
                    "Backward is not reentrant, i.e., running backward with same input and "
                    "grad_output multiple times gives different values, although analytical "
                    f"gradient matches numerical gradient.The tolerance for nondeterminism was "
                    f"{nondet_tol}.")


def _mismatch(o: int, i: int, numerical, analytical, more: str = "") -> GradcheckError:
    return GradcheckError(f"Jacobian mismatch for output {o} with respect to input {i},\n"
                          f"numerical:{numerical}\nanalytical:{analytical}\n{more}")


def _check_constant(func, args, wanted, eps, atol) -> None:
    """Results that carry no gradient must not depend on the inputs."""
    result = func(*args)
    many = result if isinstance(result, (tuple, list)) else (result,)
    for o, out in enumerate(many):
        if isinstance(out, Tensor) and out.dtype.category >= dt.dtype.FLOAT:
            for n in _numerical(func, args, wanted, o, eps, all_results=True):
                if n.size and np.abs(n).max() > atol:
                    raise GradcheckError("Numerical gradient for function expected to be zero")


def _real(t: Tensor) -> np.ndarray:
    """The elements as a flat vector of real numbers."""
    array = np.ascontiguousarray(t.detach().resolve_conj().numpy() if t.dtype.is_complex
                                 else t.detach().numpy()).reshape(-1)
    return array.view(array.real.dtype) if t.dtype.is_complex else array


def _evaluate(func, args, o: int, all_results: bool) -> np.ndarray:
    result = func(*args)
    many = result if isinstance(result, (tuple, list)) else (result,)
    if not all_results:
        many = [t for t in many if isinstance(t, Tensor) and t.requires_grad]
    return _real(many[o]).astype(np.float64)


def _numerical(func, args, wanted, o: int, eps: float, all_results: bool = False) -> list:
    """For each input the Jacobian [input elements, output elements] by central differences."""
    found = []
    for x in wanted:
        start = _real(x).copy()
        rows = []
        for k in range(start.size):
            ends = []
            for step in (eps, -eps):
                moved = start.copy()
                moved[k] += step
                _assign(x, moved)
                ends.append(_evaluate(func, args, o, all_results))
            rows.append((ends[0] - ends[1]) / (2 * eps))
        _assign(x, start)
        size = _evaluate(func, args, o, all_results).size
        found.append(np.array(rows).reshape(start.size, size))
    return found


def _assign(x: Tensor, values: np.ndarray) -> None:
    """Write real numbers into a leaf, behind autograd's back."""
    array = values.view(x.dtype.np) if x.dtype.is_complex else values
    with no_grad():
        x.detach().data.copy_(tensor(array.reshape(x.shape).copy(), dtype=x.dtype))


def _analytical(out: Tensor, wanted, check_dtypes: bool) -> list:
    """For each input the Jacobian by backward, one output element at a time."""
    size = _real(out).size
    jacobians = [np.zeros((_real(x).size, size)) for x in wanted]
    for k in range(size):
        seed = np.zeros(size, out.dtype.to_real().np)
        seed[k] = 1
        found = _grad([out], list(wanted), [_like(out, seed)], retain_graph=True, allow_unused=True)
        for j, x, g in zip(jacobians, wanted, found, strict=True):
            if g is not None:
                if check_dtypes and g.dtype is not x.dtype:
                    raise GradcheckError(f"Gradient has dtype {g.dtype} instead of {x.dtype}")
                j[:, k] = _real(g)
    return jacobians


def _like(out: Tensor, values: np.ndarray) -> Tensor:
    array = values.view(out.dtype.np) if out.dtype.is_complex else values
    return tensor(array.reshape(out.shape), dtype=out.dtype)


def _check_fast(func, args, results, wanted, eps, atol, rtol) -> None:
    """One number for each pair of input and output: v . J . u with random v, u."""
    rng = np.random.RandomState(0)
    for o, out in enumerate(results):
        v = rng.random_sample(_real(out).size)
        found = _grad([out], list(wanted), [_like(out, v.astype(out.dtype.to_real().np))],
                      retain_graph=True, allow_unused=True)
        for i, (x, g) in enumerate(zip(wanted, found, strict=True)):
            start = _real(x).copy()
            u = rng.random_sample(start.size)
            u /= np.linalg.norm(u) + 1e-30
            ends = []
            for step in (eps, -eps):
                _assign(x, start + step * u)
                ends.append(_evaluate(func, args, o, False))
            _assign(x, start)
            n = float(v @ (ends[0] - ends[1]) / (2 * eps))
            a = 0.0 if g is None else float(_real(g) @ u)
            if not np.isclose(a, n, rtol, atol * max(1.0, v.sum())):
                raise _mismatch(o, i, n, a, "The above quantities relating the numerical and "
                                            "analytical jacobians are computed in fast mode.")


def _check_modes(func, args, forward: bool, batched: bool, eps, atol, rtol) -> None:
    wanted = [x for x in args if isinstance(x, Tensor) and x.requires_grad]
    for o, out in enumerate(_outputs(func(*args))):
        if forward:
            numerical = _numerical(func, args, wanted, o, eps)
            found = forward_jacobians(func, args, wanted, o, _real, _like)
            for i, (n, a) in enumerate(zip(numerical, found, strict=True)):
                if not np.allclose(a, n, rtol, atol):
                    raise _mismatch(o, i, tensor(n), tensor(a), "by forward mode")
        if batched and (why := batched_differs(out, wanted, _real, _like)):
            raise GradcheckError(f"gradcheck or gradgradcheck failed while testing batched "
                                 f"gradient computation, output {o}: {why}")


def _check_undefined(func, args) -> None:
    """Backward must work when some outputs' gradients are missing."""
    results = _outputs(func(*args))
    wanted = [x for x in args if isinstance(x, Tensor) and x.requires_grad]
    if len(results) < 2:
        return
    for out in results:
        _grad([out], wanted, [_like(out, np.zeros(_real(out).size, out.dtype.to_real().np))],
              retain_graph=True, allow_unused=True)
