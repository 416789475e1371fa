"""torch.hub: nothing is downloaded; ``load_state_dict_from_url`` reads files that are there."""

from __future__ import annotations

import os as _os
from urllib.parse import urlparse as _urlparse

from .serialization import load as _load

_hub_dir: list[str | None] = [None]


def _get_torch_home() -> str:
    """``$TORCH_HOME`` or ``~/.cache/torch``; libraries of models import it by this name."""
    home = _os.environ.get("TORCH_HOME") or _os.path.join(
        _os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch")
    return _os.path.expanduser(home)


def get_dir() -> str:
    """The folder of downloaded files: ``$TORCH_HOME/hub`` or ``~/.cache/torch/hub``."""
    return _hub_dir[0] or _os.path.join(_get_torch_home(), "hub")


def set_dir(d) -> None:
    """Choose the folder of downloaded files."""
    _hub_dir[0] = _os.path.expanduser(d)


def _refuse(name: str):
    def call(*args, **kwargs):
        raise NotImplementedError(f"torch.hub.{name}: flambeau downloads nothing; get the code and "
                                  "the weights yourself and use torch.load")

    call.__name__ = name
    call.__doc__ = f"torch.hub.{name}: raises NotImplementedError, nothing is downloaded."
    return call


load, list, help, download_url_to_file = map(  # noqa: A001
    _refuse, ("load", "list", "help", "download_url_to_file"))


def load_state_dict_from_url(url: str, model_dir=None, map_location=None, progress: bool = True,
                             check_hash: bool = False, file_name=None, weights_only: bool = True):
    """A state dict that was downloaded before (by PyTorch, say) into ``get_dir()/checkpoints``.

    Raises:
        FileNotFoundError: it is not there; the message names where to put it.
    """
    folder = model_dir or _os.path.join(get_dir(), "checkpoints")
    path = _os.path.join(folder, file_name or _os.path.basename(_urlparse(url).path))
    if not _os.path.exists(path):
        raise FileNotFoundError(f"flambeau downloads nothing: put {url} at {path}")
    return _load(path, map_location=map_location, weights_only=weights_only)
