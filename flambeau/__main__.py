"""``python -m flambeau script.py args...``: run a PyTorch program with flambeau as its ``torch``.

    python -m flambeau script.py args...     a script
    python -m flambeau -m module args...     a module
    python -m flambeau -c "code" args...     a line of code
    python -m flambeau --version
    python -m flambeau --help

``import torch`` gives flambeau in the program and in the processes it starts. Everything after the
script, module or code belongs to the program.
"""

from __future__ import annotations

import builtins
import io
import os
import runpy
import signal
import sys
import types

from . import standin, version


def _module(file: str | None) -> types.ModuleType:
    """A fresh ``__main__``."""
    module = types.ModuleType("__main__")
    module.__dict__.update(__builtins__=builtins, __file__=file, __cached__=None)
    if file is None:
        del module.__dict__["__file__"]
    sys.modules["__main__"] = module
    return module


def _run_script(path: str) -> None:
    if os.path.isdir(path) or path.endswith((".zip", ".pyz")):
        sys.path[0] = path
        runpy.run_path(path, run_name="__main__")
        return
    sys.path[0] = os.path.dirname(os.path.abspath(path))
    try:
        with io.open_code(path) as file:
            source = file.read()
    except OSError as error:
        print(f"python -m flambeau: can't open file {path!r}: [Errno {error.errno}] "
              f"{error.strerror}", file=sys.stderr)
        sys.exit(2)
    exec(compile(source, path, "exec"), _module(path).__dict__)


def _run_code(code: str) -> None:
    sys.path[0] = ""
    exec(compile(code, "<string>", "exec"), _module(None).__dict__)


def _run_module(name: str) -> None:
    sys.path[0] = os.getcwd()
    runpy.run_module(name, run_name="__main__", alter_sys=True)


def _strip(traceback):
    """The traceback from the program's first frame on."""
    here = (__file__, runpy.__file__, "<frozen runpy>")
    while traceback is not None and traceback.tb_frame.f_code.co_filename in here:
        traceback = traceback.tb_next
    return traceback


def _run(action, argument: str, argv: list[str]) -> None:
    sys.argv[:] = argv
    standin.install()
    try:
        action(argument)
    except SystemExit:
        raise
    except BaseException as error:
        sys.last_type, sys.last_value = type(error), error
        sys.excepthook(type(error), error.with_traceback(_strip(error.__traceback__)),
                       error.__traceback__)
        if isinstance(error, KeyboardInterrupt):
            sys.stdout.flush()
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        sys.exit(1)


def main(argv: list[str]) -> None:
    """What the command line says."""
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__.strip())
        sys.exit(0 if argv else 2)
    first = argv[0]
    if first in ("-V", "--version"):
        print(f"flambeau {version.release}, as torch {version.__version__}")
    elif first in ("-m", "-c"):
        if len(argv) < 2:
            print(f"python -m flambeau: argument expected for the {first} option", file=sys.stderr)
            sys.exit(2)
        action = _run_module if first == "-m" else _run_code
        _run(action, argv[1], ["-c" if first == "-c" else argv[1], *argv[2:]])
    elif first.startswith("-"):
        print(f"python -m flambeau: unknown option {first}; see --help", file=sys.stderr)
        sys.exit(2)
    else:
        _run(_run_script, first, argv)


if __name__ == "__main__":
    main(sys.argv[1:])
