from __future__ import annotations

import os
import re
import signal
import subprocess
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from licet.compat import run_script
from licet.compat.script import enter_worker
from licet.errors import ConfigurationError
from tests.compat.programs import run_file, script_command


def program(folder: Path, text: str, name: str = "program.py") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def test_a_program_runs_as_main_with_the_alias(tmp_path: Path) -> None:
    path = program(
        tmp_path,
        """
        import sys
        from agno.tools import tool
        import licet.tools

        if __name__ == "__main__":
            print(tool is licet.tools.tool, sys.argv, __file__, __package__, __doc__)
            print(sys.modules["__main__"].tool is tool)
        """,
    )

    done = run_file(path.name, "--port", "1", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"True ['program.py', '--port', '1'] {path} None None",
        "True",
    ]


def test_the_programs_folder_comes_first(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "folder", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    program(folder, "WHERE = 'beside'", "neighbour.py")
    program(elsewhere, "WHERE = 'current'", "neighbour.py")
    path = program(folder, "import neighbour, sys; print(neighbour.WHERE, sys.path[0])")

    assert run_file(path, cwd=elsewhere).stdout == f"beside {folder}\n"


def test_in_safe_path_mode_the_folder_stays_out_as_in_any_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    path = program(tmp_path, f"import sys; print({str(tmp_path)!r} in sys.path)")

    assert run_file(path).stdout == "False\n"


def test_without_an_alias_the_other_name_stays_unknown(tmp_path: Path) -> None:
    path = program(
        tmp_path,
        """
        import os
        import sys
        assert __spec__ is None
        assert not [name for name in os.environ if name.startswith("LICET_")]
        sys.exit(any("Alias" in type(finder).__name__ for finder in sys.meta_path))
        """,
    )

    assert run_file(path, alias=None).returncode == 0


def test_a_program_is_not_compiled_with_our_future_imports(tmp_path: Path) -> None:
    path = program(tmp_path, "def f(a: int): ...\nprint(f.__annotations__)")

    assert run_file(path).stdout == "{'a': <class 'int'>}\n"


def test_a_declared_encoding_is_respected(tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_bytes("# coding: latin-1\nprint(ascii('é'))\n".encode("latin-1"))

    assert run_file(path).stdout == "'\\xe9'\n"


@pytest.mark.parametrize(
    ("statement", "code"), [("raise SystemExit(7)", 7), ("import sys; sys.exit()", 0), ("1", 0)]
)
def test_exit_codes_pass_through(tmp_path: Path, statement: str, code: int) -> None:
    done = run_file(program(tmp_path, statement))

    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_a_traceback_shows_the_programs_frames_only(tmp_path: Path) -> None:
    path = program(tmp_path, "def fail():\n    raise ValueError('no')\n\nfail()\n")

    done = run_file(path)

    assert done.returncode == 1
    assert done.stderr.splitlines()[:2] == [
        "Traceback (most recent call last):",
        f'  File "{path}", line 4, in <module>',
    ]
    assert done.stderr.splitlines()[-1] == "ValueError: no"
    assert "licet" not in done.stderr


def test_a_syntax_error_is_shown_as_python_shows_it(tmp_path: Path) -> None:
    path = program(tmp_path, "x = = 1\n")

    done = run_file(path)

    assert done.returncode == 1
    assert done.stderr.startswith(f'  File "{path}", line 1\n')
    assert done.stderr.endswith("SyntaxError: invalid syntax\n")


def test_the_programs_own_excepthook_is_used(tmp_path: Path) -> None:
    path = program(
        tmp_path,
        """
        import sys
        sys.excepthook = lambda kind, error, traceback: print("hooked", error)
        raise ValueError("no")
        """,
    )

    done = run_file(path)

    assert (done.returncode, done.stdout, done.stderr) == (1, "hooked no\n", "")


def test_relative_imports_fail_as_in_any_program(tmp_path: Path) -> None:
    done = run_file(program(tmp_path, "from . import alias"))

    assert "attempted relative import with no known parent package" in done.stderr


@pytest.mark.parametrize("path", ["/nowhere/program.py", "/"])
def test_what_is_no_file_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a Python file"):
        run_script(path, alias=None)


def test_an_alias_of_an_outer_program_does_not_reach_an_inner_one(tmp_path: Path) -> None:
    inner = program(
        tmp_path, "import os; print(sorted(set(os.environ) & {'LICET_ALIAS'}))", "in.py"
    )
    command = script_command(inner, alias=None)
    outer = program(tmp_path, f"import subprocess; subprocess.run({command!r}, check=True)")

    done = run_file(outer)

    assert done.stdout == "[]\n", done.stderr


SPAWNING = """
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import agno.tools
from agno.errors import LicetError

ROLE = __name__


@dataclass
class Order:
    amount: int


def square(order: Order) -> Order:
    import licet.tools

    assert agno.tools is licet.tools
    assert ROLE == __name__ == "__mp_main__", (ROLE, __name__)
    assert sys.modules["__main__"].Order is Order
    assert __file__ == sys.argv[0], (__file__, sys.argv)
    return Order(order.amount**2)


def nested(order: Order) -> Order:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(sys.argv[1])) as inner:
        return inner.submit(square, order).result(timeout=30)


def say(word: str) -> None:
    from agno.context import RunContext

    print(word, RunContext.__module__, flush=True)


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        print(pool.submit(square, Order(3)).result(timeout=30))
        print(pool.submit(nested, Order(4)).result(timeout=30))
    process = context.Process(target=say, args=("spawned",))
    process.start()
    process.join(30)
    sys.exit(process.exitcode)
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_spawned_processes_have_the_alias_and_the_programs_names(
    tmp_path: Path, method: str
) -> None:
    path = program(tmp_path, SPAWNING)

    done = run_file(path, method)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "Order(amount=9)",
        "Order(amount=16)",
        "spawned licet.context",
    ]


def test_a_spawned_process_without_its_variables_says_so() -> None:
    with pytest.raises(ConfigurationError, match="LICET_ALIAS and LICET_SCRIPT"):
        enter_worker({}, {"LICET_ALIAS": "agno"})


SERVING = """
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from agno.tools import tool
import licet.tools

VERSION = "one"


async def version(request):
    return PlainTextResponse(f"{VERSION} {tool is licet.tools.tool}")


app = Starlette(routes=[Route("/", version)])

if __name__ == "__main__":
    here = str(Path(__file__).parent)
    uvicorn.run("program:app", port=0, reload=True, reload_dirs=[here], reload_delay=0.05)
"""


def test_a_reloading_server_serves_and_reloads_an_aliased_program(tmp_path: Path) -> None:
    path = program(tmp_path, SERVING)

    with served(path) as url:
        assert answer(url, "one") == "one True"
        # Of another length: Python would take what it compiled within the same second for this.
        path.write_text(path.read_text().replace('"one"', '"another"'))
        assert answer(url, "another") == "another True"


@contextmanager
def served(path: Path) -> Iterator[str]:
    """Run the program and answer the address that it names in its log; end it afterwards."""
    log = path.parent / "log.txt"
    with log.open("w") as stream:
        server = subprocess.Popen(
            script_command(path), stdout=stream, stderr=stream, start_new_session=True
        )
        try:
            yield until(lambda: address(log), log.read_text)
        finally:
            server.terminate()
            try:
                server.wait(timeout=60)
            finally:
                kill_group(server.pid)


def kill_group(pid: int) -> None:
    """End what the server may have left behind. Its session holds our processes alone."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def address(log: Path) -> str | None:
    found = re.search(r"running on (http://[\d.]+:\d+)", log.read_text())
    return found[1] if found else None


def answer(url: str, start: str) -> str:
    """The body of ``url`` once it starts so."""

    def ask() -> str | None:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - loopback, http
                body: str = response.read().decode()
        except (urllib.error.URLError, ConnectionError):
            return None
        return body if body.startswith(start) else None

    return until(ask, lambda: f"{url} never answered {start!r}")


def until(attempt: Callable[[], str | None], complaint: Callable[[], str]) -> str:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if (value := attempt()) is not None:
            return value
        time.sleep(0.05)
    raise AssertionError(complaint())
