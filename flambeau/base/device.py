"""Devices: where a tensor's elements live."""

from __future__ import annotations

_TYPES = ("cpu", "cuda", "meta", "mps", "xpu", "xla", "hpu", "mtia", "ipu", "vulkan",
          "privateuseone")


class device:  # noqa: N801  (PyTorch's spelling)
    """A device such as ``torch.device("cpu")``, ``torch.device("cuda", 1)`` or ``"meta"``."""

    __slots__ = ("type", "index")

    type: str
    index: int | None

    def __init__(self, type, index=None):  # noqa: A002
        kind = type
        if isinstance(type, device):
            kind, index = type.type, type.index
        elif isinstance(type, int):
            kind, index = "cuda", type
        elif not isinstance(type, str):
            raise TypeError("device(): argument 'type' must be a str, an int or a device, "
                            f"not {type.__class__.__name__}")
        elif ":" in type:
            if index is not None:
                raise RuntimeError(f"type (string) must not include an index because index was "
                                   f"passed explicitly: {type}")
            kind, _, text = type.partition(":")
            if not text.isdigit():
                raise RuntimeError(f"Invalid device string: '{type}'")
            index = int(text)
        if kind not in _TYPES:
            raise RuntimeError(f"Expected one of {', '.join(_TYPES)} device type at start of "
                               f"device string: {kind}")
        object.__setattr__(self, "type", kind)
        object.__setattr__(self, "index", index)

    def __setattr__(self, name, value):
        raise AttributeError(f"attribute '{name}' of 'torch.device' objects is not writable")

    def __repr__(self) -> str:
        at = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{at})"

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __enter__(self) -> device:
        """``with torch.device("meta"):`` makes it the default of factory functions."""
        _defaults.append(self)
        return self

    def __exit__(self, *_) -> None:
        _defaults.pop()

    def __reduce__(self):
        return (device, (self.type, self.index) if self.index is not None else (self.type,))


CPU = device("cpu")
META = device("meta")

#: the process's default device, then those of the ``with`` blocks that are open
_defaults: list[device] = [CPU]


def current() -> device:
    """The device that factory functions use when they are not told."""
    return _defaults[-1]


def set_base(to: device) -> None:
    """Change the process's default device."""
    _defaults[0] = to
