"""torch.utils.checkpoint: activations are computed again in backward instead of being kept."""

from __future__ import annotations

import contextlib
import threading
import warnings

from ..amp import autocast
from ..autograd.modes import enable_grad, is_grad_enabled, no_grad
from ..ir.autocast import state as autocast_state
from ..nn.layers.container import Sequential
from ..tensor import Tensor
from ..tensor.backward import backward as run_backward
from ..tensor.function import Function
from ..tensor.generator import default_generator
from ..tensor.saved import saved_tensors_hooks

DefaultDeviceType = "cpu"


class CheckpointError(RuntimeError):
    """The function did something else when it was run again."""


class _Settings(threading.local):
    early_stop: bool | None = None


_settings = _Settings()
_debug: list[bool | None] = [None]


@contextlib.contextmanager
def set_checkpoint_early_stop(enable: bool):
    """Whether running again may end as soon as everything that was saved is there."""
    before, _settings.early_stop = _settings.early_stop, enable
    try:
        yield
    finally:
        _settings.early_stop = before


@contextlib.contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None):
    """Accepted for compatibility; errors always say what differed."""
    before, _debug[0] = _debug[0], enabled
    try:
        yield
    finally:
        _debug[0] = before


def noop_context_fn():
    """The default ``context_fn``: two contexts that do nothing."""
    return contextlib.nullcontext(), contextlib.nullcontext()


@contextlib.contextmanager
def _surroundings(rng, lower):
    """Random numbers and autocast as they were in the first run."""
    now = None
    if rng is not None:
        now = default_generator.get_state()
        default_generator.set_state(rng)
    cast = autocast("cpu", enabled=lower is not None, **({"dtype": lower} if lower else {}))
    try:
        with cast:
            yield
    finally:
        if now is not None:
            default_generator.set_state(now)


def check_backward_validity(inputs) -> None:
    """Warn when no input requires a gradient, so that nothing would be trained."""
    if not any(isinstance(x, Tensor) and x.requires_grad for x in inputs):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None",
                      UserWarning, stacklevel=4)


def detach_variable(inputs: tuple) -> tuple:
    """The inputs as leaves that require gradients as the originals do."""
    if not isinstance(inputs, tuple):
        raise RuntimeError("Only tuple of tensors is supported. Got Unsupported input type: "
                           f"{type(inputs).__name__}")
    out = []
    for x in inputs:
        if isinstance(x, Tensor):
            needs, x = x.requires_grad, x.detach()
            if needs:
                x.requires_grad_()
        out.append(x)
    return tuple(out)


class CheckpointFunction(Function):
    """The reentrant form: a custom function whose backward runs ``function`` with a tape."""

    @staticmethod
    def forward(ctx, run_function, preserve_rng_state, *args):
        """Run without a tape."""
        check_backward_validity(args)
        ctx.run_function, ctx.lower = run_function, autocast_state.dtype
        ctx.rng = default_generator.get_state() if preserve_rng_state else None
        ctx.tensor_at = [i for i, a in enumerate(args) if isinstance(a, Tensor)]
        ctx.inputs = [None if isinstance(a, Tensor) else a for a in args]
        ctx.save_for_backward(*[args[i] for i in ctx.tensor_at])
        with no_grad():
            return run_function(*args)

    @staticmethod
    def backward(ctx, *grads):
        """Run again with a tape, and go back through it."""
        inputs = list(ctx.inputs)
        for i, t in zip(ctx.tensor_at, ctx.saved_tensors, strict=True):
            inputs[i] = t
        inputs = detach_variable(tuple(inputs))
        with _surroundings(ctx.rng, ctx.lower), enable_grad():
            outputs = ctx.run_function(*inputs)
        if isinstance(outputs, Tensor):
            outputs = (outputs,)
        pairs = [(o, g) for o, g in zip(outputs, grads, strict=True)
                 if isinstance(o, Tensor) and o.requires_grad]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not "
                               "necessary")
        run_backward([o for o, _ in pairs], [g for _, g in pairs])
        return (None, None, *[x.grad if isinstance(x, Tensor) else None for x in inputs])


class _Stop(Exception):
    """Everything that was saved has been computed again."""


class _Frame:
    """One checkpointed call: what it saved (by number), and what running again gave."""

    def __init__(self, again, early_stop: bool, check: bool):
        self.again, self.early_stop, self.check = again, early_stop, check
        self.metas: list = []
        self.values: list[Tensor | None] | None = None

    def pack(self, t: Tensor) -> int:
        self.metas.append((t.shape, t.dtype, t.device))
        return len(self.metas) - 1

    def unpack(self, number: int) -> Tensor:
        if self.values is None:
            self._compute()
        value = self.values[number]
        if value is None:
            raise CheckpointError(
                "torch.utils.checkpoint: Unpack is being triggered for a tensor that was already "
                "unpacked once. If you are calling ctx.saved_tensors in backward, make sure to do "
                "so only once. Otherwise please open an issue with details on your use case.")
        return value

    def _compute(self) -> None:
        found: list[Tensor] = []

        def keep(t):
            number = len(found)
            found.append(t.detach())
            if self.early_stop and len(found) == len(self.metas):
                self._compare(found)
                self.values = found
                raise _Stop
            return number

        def refuse(number):
            return found[number]

        with contextlib.suppress(_Stop), saved_tensors_hooks(keep, refuse), enable_grad():
            self.again()
        if self.values is None:
            self._compare(found)
            self.values = found

    def _compare(self, found: list) -> None:
        if not self.check:
            return
        if len(found) != len(self.metas):
            raise CheckpointError(
                "torch.utils.checkpoint: A different number of tensors was saved during the "
                "original forward and recomputation.\n"
                f"Number of tensors saved during forward: {len(self.metas)}\n"
                f"Number of tensors saved during recomputation: {len(found)}.")
        names = ("shape", "dtype", "device")
        lines = []
        for i, (meta, t) in enumerate(zip(self.metas, found, strict=True)):
            now = (t.shape, t.dtype, t.device)
            if now != meta:
                lines.append(f"tensor at position {i}:\nsaved metadata: "
                             f"{dict(zip(names, meta, strict=True))}\nrecomputed metadata: "
                             f"{dict(zip(names, now, strict=True))}\n")
        if lines:
            raise CheckpointError(
                "torch.utils.checkpoint: Recomputed values for the following tensors have "
                "different metadata than during the forward pass.\n" + "".join(lines))


def _checkpoint_with_hooks(function, args, kwargs, preserve: bool, context_fn, check: bool,
                           early_stop: bool):
    rng = default_generator.get_state() if preserve else None
    lower = autocast_state.dtype
    first, second = context_fn()

    def again():
        with _surroundings(rng, lower), second:
            function(*args, **kwargs)

    frame = _Frame(again, early_stop, check)
    with saved_tensors_hooks(frame.pack, frame.unpack), first:
        return function(*args, **kwargs)


_ADVICE = ("use_reentrant=False is recommended, but if you need to preserve the current default "
           "behavior, you can pass use_reentrant=True. Refer to docs for more details on the "
           "differences between the two variants.")


def checkpoint(function, *args, use_reentrant: bool | None = None, context_fn=noop_context_fn,
               determinism_check: str = "default", debug: bool = False, early_stop: bool = True,
               **kwargs):
    """``function(*args, **kwargs)``, whose inside is not kept for backward but run again there.

    Args:
        use_reentrant: False (recommended) supports keyword arguments, nested structures and
            ``autograd.grad``; True is PyTorch's older form.
        preserve_rng_state: (keyword, default True) the second run draws the same random numbers.
        context_fn: gives a pair of contexts for the first and the second run.
        determinism_check: "default" compares shapes, dtypes and devices of both runs; "none" not.
        early_stop: the second run may end as soon as it has computed what is needed.

    Raises:
        CheckpointError: (in backward) the second run saved other tensors than the first.
        ValueError: arguments that the reentrant form does not take.
    """
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. "
            "Starting in PyTorch 2.9, calling checkpoint without use_reentrant will raise an "
            "exception. " + _ADVICE, UserWarning, stacklevel=2)
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if use_reentrant:
        if kwargs:
            raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
        if context_fn is not noop_context_fn or debug is not False:
            raise ValueError("Passing `context_fn` or `debug` is only supported when "
                             "use_reentrant=False.")
        return CheckpointFunction.apply(function, preserve, *args)
    if determinism_check not in ("default", "none"):
        raise ValueError("determinism_check should be one of ['default', 'none'] but got "
                         f"{determinism_check}")
    if not is_grad_enabled():
        return function(*args, **kwargs)
    if _settings.early_stop is not None:
        early_stop = _settings.early_stop
    return _checkpoint_with_hooks(function, args, kwargs, preserve, context_fn,
                                  determinism_check == "default", early_stop)


def checkpoint_sequential(functions, segments: int, input, use_reentrant=None,  # noqa: A002
                          **kwargs):
    """A Sequential (or list of functions) in ``segments`` parts, all but the last checkpointed."""
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint.checkpoint_sequential: the use_reentrant parameter should be "
            "passed explicitly. In version 2.9 we will raise an exception if use_reentrant is not "
            "passed. " + _ADVICE, UserWarning, stacklevel=2)
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    if isinstance(functions, Sequential):
        functions = list(functions.children())
    size = len(functions) // segments

    def run(start, end):
        def forward(value):
            for function in functions[start:end]:
                value = function(value)
            return value

        return forward

    x, start = input, 0
    for _ in range(segments - 1):
        x = checkpoint(run(start, start + size), x, use_reentrant=use_reentrant,
                       preserve_rng_state=preserve)
        start += size
    return run(start, len(functions))(x)
