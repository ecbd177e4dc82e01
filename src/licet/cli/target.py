"""``MODULE:attribute``: the AgentOS that a command is about, found in the user's program."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from licet.errors import ConfigurationError

if TYPE_CHECKING:
    from licet.os.agent_os import AgentOS


class TargetError(ConfigurationError):
    """Nothing can be said of the program: it is not there, or has no AgentOS."""


_USUAL_ATTRIBUTES = ("app", "agent_os")


def load_agent_os(target: str) -> AgentOS:
    """Import the program that ``target`` names, and find its AgentOS.

    Args:
        target: ``package.module:attribute`` or ``path/program.py:attribute``. The attribute is an
            AgentOS or the app of one; without it, ``app`` and then ``agent_os`` is tried.

    Raises:
        TargetError: there is no such module, file or attribute, or it is something else.
        ConfigurationError: the program itself refuses one of its settings.
    """
    module_name, attribute = _split(target)
    module = _import(module_name)
    names = (attribute,) if attribute else _USUAL_ATTRIBUTES
    found = {name: value for name in names if (value := _attribute(module, name)) is not None}
    if not found:
        raise TargetError(
            f"{module_name} has no attribute {' or '.join(repr(name) for name in names)}; "
            f"name the AgentOS or its app: {module_name}:NAME"
        )
    for value in found.values():
        agent_os = _agent_os_of(value)
        if agent_os is not None:
            return agent_os
    raise TargetError(
        f"{module_name}:{next(iter(found))} is neither an AgentOS nor the app of one "
        f"({type(next(iter(found.values()))).__name__}), so nothing would guard it; "
        "an app of your own is served through AgentOS(base_app=app)"
    )


def _split(target: str) -> tuple[str, str]:
    name, colon, attribute = target.rpartition(":")
    # The colon of C:\program.py separates no attribute.
    if colon and all(part.isidentifier() for part in attribute.split(".")):
        return name, attribute
    return target, ""


def _import(name: str) -> ModuleType:
    if name.endswith(".py"):
        return _import_file(Path(name))
    _search_first(Path.cwd())
    if not all(part.isidentifier() for part in name.split(".")):
        raise TargetError(f"{name!r} is neither the name of a module nor a .py file")
    return _import_module(name)


def _import_file(file: Path) -> ModuleType:
    if not file.is_file():
        raise TargetError(f"there is no file {str(file)!r}")
    path = file.resolve()
    parts, folder = [path.stem], path.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    _search_first(folder)
    if "." in path.stem:
        raise TargetError(f"{file.name!r} cannot be imported: its name has a dot in it")
    module = _import_module(".".join(parts))
    origin = getattr(module, "__file__", None)
    if origin is None or Path(origin).resolve() != path:
        raise TargetError(
            f"{str(file)!r} cannot be imported: another module is called {module.__name__!r} "
            f"({origin or 'built in'}); rename the file"
        )
    return module


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # What the program itself misses is told by its traceback.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise TargetError(
            f"there is no module {error.name!r}; looked in {str(Path.cwd())!r} and in what is "
            "installed. A file is named with its ending: program.py"
        ) from None


def _search_first(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _attribute(module: ModuleType, dotted: str) -> Any:
    value: Any = module
    for part in dotted.split("."):
        value = getattr(value, part, None)
    return value


def _agent_os_of(value: Any) -> AgentOS | None:
    from licet.os.agent_os import AgentOS

    if isinstance(value, AgentOS):
        return value
    own = getattr(getattr(value, "state", None), "agent_os", None)
    return own if isinstance(own, AgentOS) else None
