"""Running a program file as ``python file.py`` does, with the alias in all of its processes.

Processes that multiprocessing *spawns* (uvicorn's reloader and workers are such) start with a fresh
interpreter and read the parent's main module again, before anything else. The main module made here
carries the name of ``licet.compat.worker`` in its spec: so that is what a child reads, and it
installs the alias first and then reads the program. What it has to know stands in two environment
variables, ``LICET_ALIAS`` and ``LICET_SCRIPT``. They are set while an alias is in use only, and
mean nothing to any other program.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from licet.compat.alias import install
from licet.errors import ConfigurationError

ALIAS_VARIABLE = "LICET_ALIAS"
SCRIPT_VARIABLE = "LICET_SCRIPT"

_WORKER = "licet.compat.worker"


def run_script(path: str, *, alias: str | None, argv: Sequence[str] = ()) -> None:
    """Run a Python file as the main program. It takes the process over, as ``python`` would.

    The file's folder comes first in ``sys.path``, ``sys.argv`` is the path and ``argv``, and the
    file becomes the module ``__main__``; all of it stays so afterwards. An exception that the file
    does not catch is printed with its own frames only, and ends in ``SystemExit(1)``.

    Args:
        path: of the file.
        alias: a second name for licet, e.g. ``"agno"``, there and in every spawned process.
        argv: the program's arguments.

    Raises:
        ConfigurationError: there is no such file, or the alias cannot be installed.
        SystemExit: the program ended itself, or failed.
    """
    if not Path(path).is_file():
        raise ConfigurationError(f"{path!r} is not a Python file")
    for variable in (ALIAS_VARIABLE, SCRIPT_VARIABLE):
        os.environ.pop(variable, None)
    file = str(Path(path).absolute())
    if alias is not None:
        install(alias)
        os.environ[ALIAS_VARIABLE] = alias
        os.environ[SCRIPT_VARIABLE] = file
    sys.argv = [path, *argv]
    if not sys.flags.safe_path:
        sys.path.insert(0, str(Path(path).resolve().parent))
    main = ModuleType("__main__")
    _dress(vars(main), file, spawns_worker=alias is not None)
    sys.modules["__main__"] = main
    # What a child sends back names its classes so. multiprocessing sets this when it is imported,
    # which may have been long ago.
    sys.modules["__mp_main__"] = main
    try:
        exec(_compiled(file), vars(main))  # noqa: S102 - this is what the function is for
    except Exception as error:  # noqa: BLE001 - whatever the program did not catch
        _report(error, file)
        raise SystemExit(1) from None


def enter_worker(namespace: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Read the program again, in a spawned process, into the namespace of its main module.

    Raises:
        ConfigurationError: the environment does not say which program.
    """
    alias, file = environ.get(ALIAS_VARIABLE), environ.get(SCRIPT_VARIABLE)
    if not alias or not file:
        raise ConfigurationError(
            f"A process was spawned without {ALIAS_VARIABLE} and {SCRIPT_VARIABLE} in its "
            "environment; let programs that run under an alias leave these variables as they are"
        )
    install(alias)
    for name in [name for name in namespace if name != "__name__"]:
        del namespace[name]
    _dress(namespace, file, spawns_worker=True)
    # runpy has put the worker's path here for as long as this takes.
    sys.argv[0] = file
    exec(_compiled(file), namespace)  # noqa: S102 - this is what the function is for


class _WorkerSpec(ModuleSpec):
    """Names the module that spawned processes shall read; of itself the program has no package."""

    @property
    def parent(self) -> str:
        return ""


def _dress(namespace: dict[str, Any], file: str, *, spawns_worker: bool) -> None:
    """Give a main module's namespace what the interpreter gives it."""
    loader = SourceFileLoader("__main__", file)
    namespace.update(
        __doc__=None,
        __package__=None,
        __loader__=loader,
        __spec__=_WorkerSpec(_WORKER, loader, origin=file) if spawns_worker else None,
        __file__=file,
        __cached__=None,
    )


def _compiled(file: str) -> CodeType:
    with io.open_code(file) as source:
        return compile(source.read(), file, "exec", dont_inherit=True)


def _report(error: Exception, file: str) -> None:
    """Print an exception as the interpreter would, without the frames that led to the program."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_frame.f_code.co_filename != file:
        traceback = traceback.tb_next
    sys.excepthook(type(error), error.with_traceback(traceback), traceback)
