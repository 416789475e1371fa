"""Module methods that change what all parameters and buffers are: dtype, device, gradients."""

from __future__ import annotations

from collections.abc import Callable

from ..base.device import device as Device
from ..base.dtype import dtype as DType
from .core import Tensor, empty_like, no_grad
from .parameter import is_lazy


def parse_to(args: tuple, kwargs: dict):
    """The arguments of ``to``: ``(device, dtype, non_blocking, memory_format)``.

    Accepts ``to(device, dtype, ...)``, ``to(dtype, ...)``, ``to(tensor, ...)`` and keywords.
    """
    rest = dict(kwargs)
    device, dtype = rest.pop("device", None), rest.pop("dtype", None)
    non_blocking, memory_format = rest.pop("non_blocking", False), rest.pop("memory_format", None)
    rest.pop("copy", None)
    tensor = rest.pop("tensor", rest.pop("other", None))
    if rest:
        raise TypeError(f"to() received an invalid combination of arguments: unexpected {rest}")
    positional = list(args)
    if positional and isinstance(positional[0], Tensor):
        tensor = positional.pop(0)
    elif positional and isinstance(positional[0], DType):
        dtype = positional.pop(0)
    elif positional and (positional[0] is None or isinstance(positional[0], (str, int, Device))
                         ) and not isinstance(positional[0], bool):
        device = positional.pop(0)
        if positional and (positional[0] is None or isinstance(positional[0], DType)):
            dtype = positional.pop(0)
    if positional and isinstance(positional[0], bool):
        non_blocking = positional.pop(0)
        if positional and isinstance(positional[0], bool):
            positional.pop(0)  # copy
    if positional:
        raise TypeError("to() received an invalid combination of arguments - got "
                        f"({', '.join(type(a).__name__ for a in args)}), but expected a device, a "
                        "dtype, a tensor, or keywords of these names")
    if tensor is not None:
        device, dtype = tensor.device, tensor.dtype
    return (Device(device) if device is not None else None), dtype, non_blocking, memory_format


class ConversionMixin:
    """``to``, ``float``, ``cuda``, ``requires_grad_``, ``zero_grad`` and what they share."""

    def _apply(self, fn: Callable, recurse: bool = True):
        """Replace every parameter, its gradient and every buffer ``t`` by ``fn(t)``.

        The Parameter objects stay, so optimizers made before keep working.
        """
        if recurse:
            for module in self.children():
                module._apply(fn)
        for param in self._parameters.values():
            if param is None:
                continue
            with no_grad():
                new = fn(param)
            if is_lazy(param):
                param._become(new)
                continue
            grad = param.grad
            if new is not param:
                param.data = new
            if grad is not None:
                with no_grad():
                    new_grad = fn(grad)
                param.grad = new_grad.requires_grad_(grad.requires_grad)
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def to(self, *args, **kwargs):
        """Move to a device and/or convert floating parameters and buffers to a dtype, in place.

        Called as ``to(device)``, ``to(dtype)``, ``to(device, dtype)``, ``to(tensor)`` or
        ``to(memory_format=...)``; integer tensors change their device only.

        Raises:
            TypeError: the dtype is neither floating nor complex.
        """
        device, dtype, non_blocking, memory_format = parse_to(args, kwargs)
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError("nn.Module.to only accepts floating point or complex dtypes, but got "
                            f"desired dtype={dtype}")

        def convert(t):
            floating = t.is_floating_point() or t.is_complex()
            if memory_format is not None and t.dim() in (4, 5):
                return t.to(device=device, dtype=dtype if floating else None,
                            non_blocking=non_blocking, memory_format=memory_format)
            if t.device.type == "meta" and device is not None and device.type != "meta":
                raise NotImplementedError(
                    "Cannot copy out of meta tensor; no data! Please use torch.nn.Module.to_empty()"
                    " instead of torch.nn.Module.to() when moving module from meta to a different "
                    "device.")
            return t.to(device=device, dtype=dtype if floating else None, non_blocking=non_blocking)

        return self._apply(convert)

    def _floating(self, convert: Callable):
        return self._apply(lambda t: convert(t) if t.is_floating_point() else t)

    def float(self):
        """Floating parameters and buffers as float32, in place."""
        return self._floating(lambda t: t.float())

    def double(self):
        """Floating parameters and buffers as float64, in place."""
        return self._floating(lambda t: t.double())

    def half(self):
        """Floating parameters and buffers as float16, in place."""
        return self._floating(lambda t: t.half())

    def bfloat16(self):
        """Floating parameters and buffers as bfloat16, in place."""
        return self._floating(lambda t: t.bfloat16())

    def type(self, dst_type):
        """All parameters and buffers as ``dst_type``, in place."""
        return self._apply(lambda t: t.type(dst_type))

    def cpu(self):
        """Move to the CPU, in place."""
        return self._apply(lambda t: t.cpu())

    def cuda(self, device=None):
        """Move to a GPU, in place."""
        return self._apply(lambda t: t.cuda(device))

    def to_empty(self, *, device, recurse: bool = True):
        """Move to a device without copying: values are unset afterwards."""
        return self._apply(lambda t: empty_like(t, device=device), recurse=recurse)

    def share_memory(self):
        """Move the values into memory that other processes can share."""
        return self._apply(lambda t: t.share_memory_())

    def requires_grad_(self, requires_grad: bool = True):
        """Set ``requires_grad`` of all parameters; False freezes the module."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of all parameters: None, or zeros with ``set_to_none=False``."""
        for param in self.parameters():
            grad = param.grad
            if grad is None:
                continue
            if set_to_none:
                param.grad = None
            elif grad.grad_fn is not None:
                param.grad = grad.detach().zero_()
            else:
                grad.requires_grad_(False)
                grad.zero_()
