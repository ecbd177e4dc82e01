"""licet under a second name: ``import agno.agent`` gives the module ``licet.agent`` itself."""

from __future__ import annotations

import importlib
import importlib.util
import keyword
import sys
import threading
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from licet.errors import ConfigurationError

_PACKAGE = "licet"

_lock = threading.Lock()


def install(name: str) -> None:
    """Let ``name`` and every ``name.…`` be imported as the licet modules of the same path.

    They are the same objects under two names, imported when first asked for: classes, settings and
    pickles are the same ones. While the alias is active it hides an installed package of that name.
    It stays for the life of the process; installing it again changes nothing.

    Args:
        name: a top-level module name, e.g. ``"agno"``.

    Raises:
        ConfigurationError: the name is taken, is no module name, or another alias is active.
    """
    with _lock:
        current = active()
        if current == name:
            return
        if current is not None:
            raise ConfigurationError(
                f"alias {name!r}: {current!r} is active already; one at a time"
            )
        _check(name)
        sys.meta_path.insert(0, _AliasFinder(name))


def active() -> str | None:
    """The alias that is installed in this process, or None."""
    for finder in sys.meta_path:
        if isinstance(finder, _AliasFinder):
            return finder.name
    return None


def _check(name: str) -> None:
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ConfigurationError(f"alias {name!r}: not the name of a top-level module")
    if name == _PACKAGE:
        raise ConfigurationError(f"alias {name!r}: that is the package itself")
    if name in sys.stdlib_module_names:
        raise ConfigurationError(f"alias {name!r}: a module of the standard library has that name")
    if name in sys.modules:
        raise ConfigurationError(
            f"alias {name!r}: a module of that name is imported already; install the alias first"
        )


class _AliasFinder(MetaPathFinder):
    """Answers for one top-level name, and for nothing else."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - the finder protocol
        target: ModuleType | None = None,  # noqa: ARG002 - the finder protocol
    ) -> ModuleSpec | None:
        top, _, rest = fullname.partition(".")
        if top != self.name:
            return None
        real = f"{_PACKAGE}.{rest}" if rest else _PACKAGE
        found = importlib.util.find_spec(real)
        if found is None:
            # None would let the next finder load a second copy from licet's own folder.
            raise ModuleNotFoundError(f"{fullname}: licet has no module {real}", name=fullname)
        return ModuleSpec(
            fullname,
            _AliasLoader(real),
            origin=found.origin,
            is_package=found.submodule_search_locations is not None,
        )


class _AliasLoader(Loader):
    """Imports the real module, and puts it in the place that importlib made for the alias.

    importlib writes a spec onto the module that a loader creates. So it gets an empty one, and the
    real one replaces that in ``sys.modules``, which importlib allows for; licet's modules keep the
    names and specs that they have.
    """

    def __init__(self, real: str) -> None:
        self._real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        # Imported before importlib shows the stand-in to other threads: only for the moment until
        # exec_module might one of them see it, and then it reads from the real one.
        return _StandIn(spec.name, importlib.import_module(self._real))

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = importlib.import_module(self._real)


class _StandIn(ModuleType):
    def __init__(self, name: str, real: ModuleType) -> None:
        super().__init__(name)
        self.__real = real

    def __getattr__(self, name: str) -> object:
        return getattr(self.__real, name)
