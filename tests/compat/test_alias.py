from __future__ import annotations

import pytest

from licet.compat import active, install
from licet.errors import ConfigurationError
from tests.compat.programs import run_code

PRELUDE = "import sys; from licet.compat import active, install; install('agno')\n"


def passes(code: str) -> None:
    done = run_code(PRELUDE + code)
    assert done.returncode == 0, done.stderr


def test_an_aliased_module_is_the_same_object() -> None:
    passes("""
import agno, agno.tools.function, licet.tools.function
assert sys.modules["agno"] is sys.modules["licet"] is agno
assert sys.modules["agno.tools"] is sys.modules["licet.tools"] is agno.tools
assert agno.tools.function is licet.tools.function
""")


def test_names_can_be_imported_from_aliased_modules() -> None:
    passes("""
from agno.tools import Toolkit, tool
from agno.errors import LicetError as Aliased
from agno import context
from licet.errors import LicetError
assert Aliased is LicetError
assert context is sys.modules["licet.context"]
""")


def test_modules_are_imported_only_when_asked_for() -> None:
    passes("""
import agno
assert "licet.tools" not in sys.modules
import agno.tools
assert "licet.tools" in sys.modules
""")


def test_a_module_that_was_imported_before_is_taken() -> None:
    passes("""
import licet.errors as before
import agno.errors
assert agno.errors is before
""")


def test_the_standard_librarys_os_is_not_confused() -> None:
    passes("""
import importlib.util, os
found = importlib.util.find_spec("agno.os").origin
assert found == importlib.util.find_spec("licet.os").origin
assert sys.modules["os"] is os and hasattr(os, "getpid")
""")


def test_licets_modules_keep_their_names_and_specs() -> None:
    passes("""
import agno.tools.function
for name in ("licet", "licet.tools", "licet.tools.function"):
    module = sys.modules[name]
    assert module.__name__ == module.__spec__.name == name
    assert type(module.__loader__).__name__ == "SourceFileLoader"
assert sys.modules["licet.tools.function"].__package__ == "licet.tools"
""")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("import agno.foo", "agno.foo: licet has no module licet.foo"),
        ("import agno.tools.foo.bar", "agno.tools.foo: licet has no module licet.tools.foo"),
        ("from agno.foo import Thing", "agno.foo: licet has no module licet.foo"),
        ("import agno.errors.foo", "'agno.errors' is not a package"),
    ],
)
def test_an_unknown_module_says_what_was_looked_for(statement: str, message: str) -> None:
    done = run_code(PRELUDE + statement)

    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: ")
    assert message in last


def test_an_error_inside_an_aliased_module_is_the_modules_own() -> None:
    passes("""
import importlib.abc, importlib.machinery

class Broken(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name == "licet.broken":
            return importlib.machinery.ModuleSpec(name, self)
    def create_module(self, spec):
        return None
    def exec_module(self, module):
        raise ImportError("needs a package")

sys.meta_path.append(Broken())
try:
    import agno.broken
except ImportError as error:
    assert str(error) == "needs a package", error
else:
    raise AssertionError
assert "agno.broken" not in sys.modules
""")


def test_an_installed_package_of_that_name_is_hidden() -> None:
    passes("""
import pathlib, tempfile
with tempfile.TemporaryDirectory() as folder:
    package = pathlib.Path(folder, "agno")
    package.mkdir()
    package.joinpath("__init__.py").write_text("")
    package.joinpath("other.py").write_text("")
    sys.path.insert(0, folder)
    import agno
    assert agno is sys.modules["licet"]
    try:
        import agno.other
    except ModuleNotFoundError:
        pass
    else:
        raise AssertionError
""")


def test_modules_can_be_reloaded() -> None:
    passes("""
import importlib, agno.errors
assert importlib.reload(agno.errors) is sys.modules["licet.errors"] is sys.modules["agno.errors"]
assert agno.errors.__spec__.name == "licet.errors"
""")


def test_objects_are_pickled_by_licets_own_names() -> None:
    passes("""
import pickle
from agno.models.message import FunctionCall
from agno.tools.function import ToolResult
data = pickle.dumps((ToolResult, FunctionCall("a", "{}")))
assert b"licet.tools.function" in data and b"agno" not in data
assert pickle.loads(data) == (ToolResult, FunctionCall("a", "{}"))
assert pickle.loads(b"cagno.tools.function\\nToolResult\\n.") is ToolResult
""")


def test_many_threads_may_import_at_once() -> None:
    passes("""
import importlib, threading
names = ["agno", "agno.errors", "agno.tools", "agno.tools.function", "agno.models.message"] * 8
barrier = threading.Barrier(len(names))
wrong = []

def work(name):
    barrier.wait(timeout=30)
    install("agno")
    try:
        module = importlib.import_module(name)
        if module is not sys.modules["licet" + name[4:]]:
            wrong.append(name)
    except BaseException as error:
        wrong.append((name, error))

sys.setswitchinterval(1e-6)
threads = [threading.Thread(target=work, args=(name,)) for name in names]
for thread in threads: thread.start()
for thread in threads: thread.join(60)
assert not wrong, wrong
assert sum(type(finder).__name__ == "_AliasFinder" for finder in sys.meta_path) == 1
""")


def test_installing_again_changes_nothing() -> None:
    passes("""
before = list(sys.meta_path)
install("agno")
assert sys.meta_path == before
assert active() == "agno"
""")


def test_a_second_alias_is_refused() -> None:
    done = run_code(PRELUDE + "install('other')")

    assert "ConfigurationError: alias 'other': 'agno' is active already" in done.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("licet", "that is the package itself"),
        ("os", "standard library"),
        ("sqlite3", "standard library"),
        ("builtins", "standard library"),
        ("pytest", "imported already"),
        ("a.b", "not the name of a top-level module"),
        ("class", "not the name of a top-level module"),
        ("", "not the name of a top-level module"),
        ("a b", "not the name of a top-level module"),
    ],
)
def test_names_that_would_break_something_are_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        install(name)
    assert active() is None
