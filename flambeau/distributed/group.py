"""Process groups: who takes part. Here a world has one member."""

from __future__ import annotations

import datetime
import os
import threading
from urllib.parse import parse_qs, urlparse

BACKENDS = ("gloo", "nccl", "mpi", "ucc", "xccl")
default_pg_timeout = datetime.timedelta(seconds=1800)


class DistError(RuntimeError):
    """Something in the distributed package went wrong."""


class DistBackendError(DistError):
    """A backend failed."""


class DistNetworkError(DistError):
    """The network failed."""


class DistStoreError(DistError):
    """The store failed."""


class Backend(str):
    """A backend's name, in lower case: ``Backend("GLOO") == "gloo"``."""

    UNDEFINED, GLOO, NCCL, MPI, UCC, XCCL = "undefined", "gloo", "nccl", "mpi", "ucc", "xccl"

    def __new__(cls, name: str):
        if not isinstance(name, str):
            raise ValueError("Backend constructor parameter must be string-ish")
        return super().__new__(cls, name.lower())


class Store:
    """Keys and values that the processes of a world share; here a dictionary."""

    def __init__(self, *args, **kwargs):
        self._data: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self.timeout = default_pg_timeout

    def set(self, key: str, value) -> None:
        """Write a value."""
        self._data[key] = value if isinstance(value, bytes) else str(value).encode()

    def get(self, key: str) -> bytes:
        """Read a value.

        Raises:
            DistStoreError: there is none, and nobody else who could write it.
        """
        if key not in self._data:
            raise DistStoreError(f"wait timeout: key {key!r} was never set")
        return self._data[key]

    def add(self, key: str, amount: int) -> int:
        """Add to a counter and return it."""
        with self._lock:
            value = int(self._data.get(key, b"0")) + amount
            self._data[key] = str(value).encode()
        return value

    def compare_set(self, key: str, expected, desired) -> bytes:
        """Write ``desired`` where the value is ``expected``; the value afterwards."""
        expected = expected if isinstance(expected, bytes) else str(expected).encode()
        if self._data.get(key, b"") == expected:
            self.set(key, desired)
        return self._data.get(key, expected)

    def wait(self, keys, timeout=None) -> None:
        """Return when all keys are there."""
        for key in keys:
            self.get(key)

    def check(self, keys) -> bool:
        """Whether all keys are there."""
        return all(k in self._data for k in keys)

    def delete_key(self, key: str) -> bool:
        """Remove a key; whether it was there."""
        return self._data.pop(key, None) is not None

    def num_keys(self) -> int:
        """How many keys there are."""
        return len(self._data)

    def set_timeout(self, timeout) -> None:
        """How long get() may wait; kept, nothing ever waits here."""
        self.timeout = timeout


class HashStore(Store):
    """A store in this process."""


class FileStore(Store):
    """A store in a file; in a world of one, in this process."""


class TCPStore(Store):
    """A store behind a port; in a world of one, in this process."""


class PrefixStore(Store):
    """A store whose keys get a prefix."""

    def __init__(self, prefix: str, store: Store):
        super().__init__()
        self.prefix, self.underlying_store = prefix, store

    def set(self, key: str, value) -> None:
        """Write a value."""
        self.underlying_store.set(f"{self.prefix}/{key}", value)

    def get(self, key: str) -> bytes:
        """Read a value."""
        return self.underlying_store.get(f"{self.prefix}/{key}")

    def add(self, key: str, amount: int) -> int:
        """Add to a counter and return it."""
        return self.underlying_store.add(f"{self.prefix}/{key}", amount)


class ProcessGroup:
    """The members of a collective: rank 0 of 1."""

    def __init__(self, backend: str, name: str = ""):
        self._backend, self.group_name = backend, name or "default_pg"

    def rank(self) -> int:
        """This process's number: 0."""
        return 0

    def size(self) -> int:
        """How many take part: 1."""
        return 1

    def name(self) -> str:
        """The backend's name."""
        return self._backend

    def __repr__(self) -> str:
        return f"<flambeau.distributed.ProcessGroup: rank 0 of 1, {self._backend}>"


NON_MEMBER = object()


class _World:
    group: ProcessGroup | None = None
    store: Store | None = None
    groups: list[ProcessGroup] = []


class _GroupMeta(type):
    @property
    def WORLD(cls):  # noqa: N802
        """The group of all processes; None before init_process_group()."""
        return _World.group


class group(metaclass=_GroupMeta):  # noqa: N801
    """``group.WORLD``: the group of all processes."""


class GroupMember(metaclass=_GroupMeta):
    """``GroupMember.WORLD`` and the mark of a process that is not in a group."""

    NON_GROUP_MEMBER = NON_MEMBER


def is_available() -> bool:
    """Whether this package can be used: yes, in a world of one."""
    return True


def is_initialized() -> bool:
    """Whether init_process_group() was called."""
    return _World.group is not None


def is_gloo_available() -> bool:
    """Whether the "gloo" name is understood."""
    return True


def is_nccl_available() -> bool:
    """Whether NCCL is there: no."""
    return False


def is_mpi_available() -> bool:
    """Whether MPI is there: no."""
    return False


def is_ucc_available() -> bool:
    """Whether UCC is there: no."""
    return False


def is_xccl_available() -> bool:
    """Whether XCCL is there: no."""
    return False


def is_backend_available(backend: str) -> bool:
    """Whether a backend can be used."""
    return backend.lower() in ("gloo", "fake")


def is_torchelastic_launched() -> bool:
    """Whether a launcher started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def supports_complex(reduce_op) -> bool:
    """Whether a reduction takes complex numbers."""
    return str(reduce_op).rsplit(".", 1)[-1] in ("SUM", "AVG", "PRODUCT")


def _rendezvous(init_method: str | None, world_size: int, rank: int) -> tuple[int, int]:
    """World size and rank from the method's query or the environment.

    Raises:
        ValueError: neither says them.
    """
    parsed = urlparse(init_method or "env://")
    if parsed.scheme not in ("env", "tcp", "file"):
        raise RuntimeError(f"No rendezvous handler for {parsed.scheme}://")
    query = {k: int(v[0]) for k, v in parse_qs(parsed.query).items() if v[0].isdigit()}
    rank = query.get("rank", rank) if rank < 0 else rank
    world_size = query.get("world_size", world_size) if world_size < 0 else world_size
    if parsed.scheme == "env":
        def needed(name):
            if name not in os.environ:
                raise ValueError(f"Error initializing torch.distributed using env:// rendezvous: "
                                 f"environment variable {name} expected, but not set")
            return os.environ[name]

        rank = int(needed("RANK")) if rank < 0 else rank
        world_size = int(needed("WORLD_SIZE")) if world_size < 0 else world_size
        needed("MASTER_ADDR"), needed("MASTER_PORT")
    if rank < 0:
        raise ValueError(f"Error initializing torch.distributed using {parsed.scheme}:// "
                         "rendezvous: rank parameter missing")
    if world_size < 0:
        raise ValueError(f"Error initializing torch.distributed using {parsed.scheme}:// "
                         "rendezvous: world size parameter missing")
    return world_size, rank


def init_process_group(backend: str | None = None, init_method: str | None = None, timeout=None,
                       world_size: int = -1, rank: int = -1, store: Store | None = None,
                       group_name: str = "", pg_options=None, device_id=None) -> None:
    """Join the world: this process alone.

    Raises:
        ValueError: called twice, or world size and rank are not known.
        NotImplementedError: the world has more than one process.
        RuntimeError: the backend is not part of this build.
    """
    if _World.group is not None:
        raise ValueError("trying to initialize the default process group twice!")
    name = Backend(backend or "gloo")
    if store is not None and init_method is not None:
        raise AssertionError("Cannot specify both init_method and store.")
    if store is not None and (world_size <= 0 or rank < 0):
        raise AssertionError("world_size must be positive and rank non-negative if using store")
    if store is None:
        world_size, rank = _rendezvous(init_method, world_size, rank)
    for part in name.split(","):
        part = part.rpartition(":")[2]
        if part not in (*BACKENDS, "fake"):
            raise ValueError(f"Invalid backend: '{part}'")
        if not is_backend_available(part) and "," not in name:
            raise RuntimeError(f"Distributed package doesn't have {part.upper()} built in: use "
                               "backend='gloo'")
    if world_size != 1:
        raise NotImplementedError(
            f"torch.distributed with world_size={world_size}: this build has no transport between "
            "processes, only worlds of one; run with WORLD_SIZE=1")
    if rank != 0:
        raise ValueError(f"rank {rank} is outside a world of size 1")
    _World.group, _World.store = ProcessGroup(name, group_name), store or HashStore()


def destroy_process_group(group: ProcessGroup | None = None) -> None:
    """Leave a group, or the world."""
    if _World.group is None:
        raise AssertionError("Invalid process group specified")
    if group is None or group is _World.group:
        _World.group = _World.store = None
        _World.groups = []
    elif group in _World.groups:
        _World.groups.remove(group)
    else:
        raise ValueError("Invalid process group specified")


def resolve(group: ProcessGroup | None) -> ProcessGroup | None:
    """The group meant by a ``group=`` argument; None for one this process is not in.

    Raises:
        ValueError: there is no world yet.
    """
    if group is NON_MEMBER:
        return None
    if group is not None:
        return group
    if _World.group is None:
        raise ValueError("Default process group has not been initialized, please make sure to call "
                         "init_process_group.")
    return _World.group


def get_rank(group: ProcessGroup | None = None) -> int:
    """This process's number in the group; -1 outside it."""
    found = resolve(group)
    return -1 if found is None else found.rank()


def get_world_size(group: ProcessGroup | None = None) -> int:
    """How many processes the group has; -1 outside it."""
    found = resolve(group)
    return -1 if found is None else found.size()


def get_backend(group: ProcessGroup | None = None) -> str:
    """The backend's name."""
    found = resolve(group)
    if found is None:
        raise ValueError("Invalid process group specified")
    return found.name()


def new_group(ranks=None, timeout=None, backend=None, pg_options=None,
              use_local_synchronization: bool = False, group_desc=None, device_id=None):
    """A group of some processes of the world."""
    world = resolve(None)
    ranks = [0] if ranks is None else sorted(ranks)
    for r in ranks:
        if r != 0:
            raise ValueError("The new group's rank should be within the world_size set by "
                             "init_process_group")
    if not ranks:
        return NON_MEMBER
    made = ProcessGroup(Backend(backend) if backend else world.name(), str(len(_World.groups)))
    _World.groups.append(made)
    return made


def get_process_group_ranks(group: ProcessGroup | None) -> list[int]:
    """The members' numbers in the world."""
    return [] if resolve(group) is None else [0]


def get_global_rank(group: ProcessGroup, group_rank: int) -> int:
    """The number in the world of a member."""
    return _only(group_rank)


def get_group_rank(group: ProcessGroup, global_rank: int) -> int:
    """The number in the group of a process of the world."""
    return _only(global_rank)


def _only(rank: int) -> int:
    if rank != 0:
        raise ValueError(f"Global rank {rank} is not part of group")
    return 0
