"""The random number generator: PyTorch's CPU generator on NumPy's Mersenne twister.

A generator hands out 32-bit words of MT19937; every distribution is a recipe over them
(``random.py``). Its saved state has PyTorch's layout, so that states travel between the two.
"""

from __future__ import annotations

import contextlib
import os
import struct

import numpy as np

from ..base.device import device as Device

_STATE_BYTES = 5056
_WORDS = 624
#: offsets in the saved state: seed, left, seeded, next, 624 words of 8 bytes, normal_x, normal_y,
#: normal_rho, normal_is_valid, next_float_normal, next_float_normal_is_valid
_HEAD, _TAIL = struct.Struct("<QiiQ"), struct.Struct("<dddiifi")
_DEFAULT_SEED = 67280421310721
_MASK64 = 2**64 - 1


class Generator:
    """A stream of random numbers, ``torch.Generator``.

    Args:
        device: "cpu" (the default).

    Raises:
        RuntimeError: a device that has no generator.
    """

    # _bits is the twister, _numpy draws many words of it (both are made when something is drawn:
    # a program that draws nothing need not import numpy.random), _fresh says that nothing was drawn
    # since it was seeded, cached_normal is the second value of the last Box-Muller pair
    __slots__ = ("__weakref__", "_bits", "_device", "_fresh", "_made", "_numpy", "_seed",
                 "cached_normal")

    def __init__(self, device="cpu"):
        device = Device(device)
        if device.type != "cpu":
            raise RuntimeError(f"Device type {device.type} is not supported for torch.Generator() "
                               "api: only 'cpu' generators exist.")
        self._device = device
        self._made = False
        self._start(_DEFAULT_SEED)

    def __getattr__(self, name: str):
        if name not in ("_bits", "_numpy"):
            raise AttributeError(f"'Generator' object has no attribute '{name}'")
        self._made = True
        self._bits = np.random.MT19937()
        self._numpy = np.random.Generator(self._bits)
        self._bits._legacy_seeding(self._seed & 0xFFFFFFFF)
        return self._bits if name == "_bits" else self._numpy

    def _start(self, seed: int) -> None:
        self._seed = seed
        self._fresh = True
        self.cached_normal = None
        if self._made:
            self._bits._legacy_seeding(seed & 0xFFFFFFFF)

    @property
    def device(self):
        """The device it draws for."""
        return self._device

    def manual_seed(self, seed) -> Generator:
        """Restart the stream from a seed in [-2**63, 2**64); negative ones count as 2**64 + seed.

        Raises:
            RuntimeError: the seed is not an int.
            ValueError: the seed is outside that range.
        """
        if type(seed) is not int:
            if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
                raise RuntimeError(
                    f"manual_seed expected a long, but got {type(seed).__name__}")
            seed = int(seed)
        if not -2**63 <= seed <= _MASK64:
            raise ValueError("Overflow when unpacking long long: a seed must lie in "
                             f"[-2**63, 2**64), got {seed}")
        self._start(seed & _MASK64)
        return self

    def initial_seed(self) -> int:
        """The seed that the stream started from."""
        return self._seed

    def seed(self) -> int:
        """Restart from a seed taken from the operating system, which is returned."""
        seed = int.from_bytes(os.urandom(8), "little")
        self._start(seed)
        return seed

    # -- drawing -----------------------------------------------------------------------------

    def words(self, n: int) -> np.ndarray:
        """The next ``n`` 32-bit words (as uint64 when few, as uint32 when many)."""
        if n:
            self._fresh = False
        if n <= 256:
            return self._bits.random_raw(n)
        return self._numpy.integers(0, 0x100000000, n, np.uint32)

    def twister(self) -> np.random.MT19937:
        """The source of the words, for who draws from it at once."""
        self._fresh = False
        return self._bits

    def word(self) -> int:
        """The next 32-bit word."""
        self._fresh = False
        return self._bits.random_raw()

    def words64(self, n: int) -> np.ndarray:
        """The next ``n`` 64-bit words (uint64), each of two draws, the first one in front."""
        w = self.words(2 * n)
        if w.dtype == np.uint32:
            w = w.view(np.uint64)
            if np.little_endian:
                w = (w << np.uint64(32)) | (w >> np.uint64(32))
            return w
        return (w[0::2] << np.uint64(32)) | w[1::2]

    def word64(self) -> int:
        """The next 64-bit word."""
        self._fresh = False
        draw = self._bits.random_raw
        return (draw() << 32) | draw()

    # -- state -------------------------------------------------------------------------------

    def state_bytes(self) -> np.ndarray:
        """The state in PyTorch's layout: 5056 bytes (uint8)."""
        state = self._bits.state["state"]
        at = int(state["pos"])
        left, following = (1, 0) if self._fresh else (_WORDS - at + 1, at)
        cached = self.cached_normal
        tail = _TAIL.pack(0.0, cached or 0.0, 0.0, cached is not None, 0, 0.0, 0)
        raw = (_HEAD.pack(self._seed, left, 1, following)
               + state["key"].astype("<u8").tobytes() + tail)
        return np.frombuffer(bytearray(raw), np.uint8)

    def set_state_bytes(self, raw: np.ndarray) -> None:
        """Continue from a state that :meth:`state_bytes` (or PyTorch) gave.

        Raises:
            RuntimeError: not 5056 bytes, or not a state of the Mersenne twister.
        """
        data = np.ascontiguousarray(raw, np.uint8).tobytes()
        if len(data) != _STATE_BYTES:
            raise RuntimeError(f"Expected a CPUGeneratorImplState of size {_STATE_BYTES} but found "
                               f"the input RNG state size to be {len(data)}")
        seed, left, seeded, following = _HEAD.unpack_from(data)
        if not (seeded and 1 <= left <= _WORDS and 0 <= following <= _WORDS):
            raise RuntimeError("Invalid mt19937 state")
        end = _HEAD.size + 8 * _WORDS
        key = np.frombuffer(data, "<u8", _WORDS, _HEAD.size).astype(np.uint32)
        _, normal, _, valid, _, _, _ = _TAIL.unpack_from(data, end)
        self._seed = seed
        self._fresh = left == 1 and following == 0
        self.cached_normal = normal if valid else None
        # left == 1 asks for a new block of words whatever `following` says
        self._bits.state = {"bit_generator": "MT19937",
                            "state": {"key": key, "pos": _WORDS if left == 1 else following}}

    def clone_state(self) -> Generator:
        """A second generator that goes on from the same place."""
        other = Generator(self._device)
        other.set_state_bytes(self.state_bytes())
        return other

    def graphsafe_get_state(self) -> Generator:
        """The state as a generator (PyTorch's name for :meth:`clone_state`)."""
        return self.clone_state()

    def graphsafe_set_state(self, other: Generator) -> Generator:
        """Continue from another generator's state."""
        self.set_state_bytes(other.state_bytes())
        return self

    def __reduce__(self):
        return _restore, (str(self._device), self.state_bytes().tobytes())

    def __repr__(self) -> str:
        return f"<torch._C.Generator object at {hex(id(self))}>"


def _restore(device: str, state: bytes) -> Generator:
    generator = Generator(device)
    generator.set_state_bytes(np.frombuffer(state, np.uint8))
    return generator


default_generator = Generator()
default_generator.seed()  # a program that sets no seed gets other numbers on each run


def manual_seed(seed) -> Generator:
    """Restart the default generator from a seed (anything that ``int`` accepts); returns it."""
    return default_generator.manual_seed(int(seed))


def seed() -> int:
    """Restart the default generator from a random seed, which is returned."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed that the default generator started from."""
    return default_generator.initial_seed()


@contextlib.contextmanager
def fork_rng(devices=None, enabled: bool = True, _caller="fork_rng", _devices_kw="devices",
             device_type: str = "cuda"):
    """Leave the default generator as it was before the ``with`` block."""
    if not enabled:
        yield
        return
    before = default_generator.state_bytes()
    try:
        yield
    finally:
        default_generator.set_state_bytes(before)
