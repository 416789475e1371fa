"""torch.utils.collect_env: what a report about a problem should say of the machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys

from ..codegen.host import available_kinds
from ..version import release


def get_pretty_env_info() -> str:
    """Versions and the processor, one per line."""
    def version(name: str) -> str:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return "not installed"

    lines = {"flambeau": release, "Python": sys.version.replace("\n", " "),
             "platform": platform.platform(), "processor": platform.machine(),
             "cores": os.cpu_count(), "vectors": ", ".join(available_kinds()),
             **{name: version(name) for name in ("numpy", "llvmlite", "ml_dtypes")},
             "CUDA": "not used"}
    return "\n".join(f"{key}: {value}" for key, value in lines.items())


def main() -> None:
    """Print it."""
    print("Collecting environment information...")
    print(get_pretty_env_info())


if __name__ == "__main__":
    main()
