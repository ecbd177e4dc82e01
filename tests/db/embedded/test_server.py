from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psutil  # type: ignore[import-untyped] # it ships no types, and has no stubs here
import psycopg
import pytest

from licet.db.embedded import EmbeddedPostgres, control, install
from licet.db.embedded.install import Install
from licet.db.embedded.place import Place
from licet.db.postgres import PostgresDb
from licet.errors import StorageError
from tests.contract.rows import ALICE, run, stored
from tests.db.conftest import wait_until
from tests.support.postgres import reachable_folder
from tests.support.process import free_port

HOLD = """
import sys
from licet.db.embedded import EmbeddedPostgres
server = EmbeddedPostgres(sys.argv[1])
server.start()
print("started", flush=True)
sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def initialised() -> Iterator[Path]:
    """The folder of a server that ran once: to be copied, which is faster than ``initdb``."""
    with reachable_folder() as folder:
        with EmbeddedPostgres(folder / "postgres"):
            pass
        yield folder / "postgres"


@pytest.fixture
def new_folder() -> Iterator[Path]:
    """A folder that is not there yet."""
    with reachable_folder() as folder:
        yield folder / "postgres"


@pytest.fixture
def folder(initialised: Path, new_folder: Path) -> Path:
    """A folder in which a server has been."""
    subprocess.run(["cp", "-a", initialised, new_folder], check=True)
    return new_folder


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedPostgres]:
    """A running server. It is not synced: these tests are not about the disk."""
    with EmbeddedPostgres(folder, settings={"fsync": "off"}) as server:
        yield server
    wait_until(lambda: not processes_of(folder), what="nothing is left running")


def processes_of(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(folder) in word for word in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def postmaster(server: EmbeddedPostgres) -> psutil.Process:
    assert server.home is not None
    return psutil.Process(int((server.home / "data/postmaster.pid").read_text().split()[0]))


def query(server: EmbeddedPostgres, role: str, sql: str, *, database: str | None = None) -> object:
    url = server.url(role, database=database).replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        row = cursor.fetchone() if cursor.description else None
    return row and row[0]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_is_closed_to_everybody_else(server: EmbeddedPostgres, folder: Path) -> None:
    assert mode_of(folder / "data") == 0o700
    assert mode_of(folder / "sockets") == 0o700
    for name in ("passwords.json", "starting.lock", "users.lock", "server.log"):
        assert mode_of(folder / name) == 0o600
        assert (folder / name).stat().st_uid == os.geteuid()
    assert mode_of(folder) == (0o711 if os.geteuid() == 0 else 0o700)


def test_it_never_runs_as_root(server: EmbeddedPostgres) -> None:
    process = postmaster(server)
    assert process.uids().effective != 0
    assert process.gids().effective != 0
    assert set(process.environ()) <= {
        "PATH",
        "LC_ALL",
        "LC_COLLATE",
        "LC_CTYPE",
        "LC_MESSAGES",
        "LC_MONETARY",
        "LC_NUMERIC",
        "LC_TIME",
        "PGLOCALEDIR",
        "PGSYSCONFDIR",
        "PG_GRANDPARENT_PID",
    }


def test_it_listens_on_its_socket_alone_unless_told_otherwise(server: EmbeddedPostgres) -> None:
    server.create_role_and_database("r")
    assert query(server, "r", "SHOW listen_addresses") == ""
    assert not [c for c in postmaster(server).net_connections("inet") if c.status == "LISTEN"]


def test_every_connection_needs_the_password(server: EmbeddedPostgres, folder: Path) -> None:
    server.create_role_and_database("r")
    known = server.parameters("r")
    for password in ("", "wrong"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(**{**known, "password": password})  # type: ignore[arg-type] # all text
    rules = (folder / "data/pg_hba.conf").read_text()
    methods = {line.split()[-1] for line in rules.splitlines() if line and line[0] != "#"}
    assert methods == {"scram-sha-256"}


def test_a_role_owns_its_database_and_no_more(server: EmbeddedPostgres) -> None:
    server.create_role_and_database("one")
    server.create_role_and_database("two")
    assert query(server, "one", "SELECT rolsuper FROM pg_roles WHERE rolname = 'one'") is False
    query(server, "one", "CREATE TABLE mine (x int)")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        query(server, "one", "CREATE ROLE three")
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        query(server, "two", "SELECT 1", database="one")


def test_a_role_is_made_once_and_keeps_its_password(server: EmbeddedPostgres) -> None:
    server.create_role_and_database("r")
    before = server.parameters("r")
    server.create_role_and_database("r")
    assert server.parameters("r") == before
    server.create_role_and_database("r", "chosen")
    assert server.parameters("r")["password"] == "chosen"
    assert query(server, "r", "SELECT current_user") == "r"


def test_names_and_passwords_may_hold_anything(server: EmbeddedPostgres) -> None:
    name, password = 'we"ird/na me%', "p@ss/w:rd'?#%\"\\ é"
    server.create_role_and_database(name, password)
    assert query(server, name, "SELECT current_database()") == name


def test_passwords_are_in_no_log_and_no_repr(server: EmbeddedPostgres, folder: Path) -> None:
    server.create_role_and_database("r", "geheim")
    with pytest.raises(psycopg.Error):
        query(server, "r", "SELEKT")
    assert "SELEKT" in (folder / "server.log").read_text()
    assert "geheim" not in (folder / "server.log").read_text()
    assert "geheim" not in repr(server) + repr(vars(server))


def test_it_takes_any_letter_and_knows_its_case(server: EmbeddedPostgres) -> None:
    server.create_role_and_database("r")
    assert query(server, "r", "SELECT lower('ÀÉÎ')") == "àéî"
    assert query(server, "r", "SHOW server_encoding") == "UTF8"


def test_with_a_port_it_also_listens_on_loopback(folder: Path) -> None:
    port = free_port()
    with EmbeddedPostgres(folder, port=port, settings={"fsync": "off"}) as server:
        server.create_role_and_database("ai", "ai")
        for host in ("127.0.0.1", "localhost"):
            with psycopg.connect(f"postgresql://ai:ai@{host}:{port}/ai") as connection:
                assert connection.execute("SELECT current_user").fetchone() == ("ai",)
        assert server.url("ai") == f"postgresql+psycopg://ai:ai@127.0.0.1:{port}/ai"
        listening = [c.laddr for c in postmaster(server).net_connections() if c.status == "LISTEN"]
        assert {address.ip for address in listening} == {"127.0.0.1"}


def test_a_port_that_is_taken_is_reported_and_nothing_is_left(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = EmbeddedPostgres(folder, port=taken.getsockname()[1])
        with pytest.raises(StorageError, match="in use"):
            server.start()
        wait_until(lambda: not processes_of(folder), what="the guard has ended")
    server.start()
    server.stop()


def test_a_port_that_the_running_server_has_not_is_reported(
    server: EmbeddedPostgres, folder: Path
) -> None:
    with pytest.raises(StorageError, match="does not listen on port"):
        EmbeddedPostgres(folder, port=free_port()).start()


def test_starting_and_stopping_twice_does_nothing_more(folder: Path) -> None:
    server = EmbeddedPostgres(folder, settings={"fsync": "off"})
    server.stop()
    server.start()
    pid = postmaster(server).pid
    server.start()
    assert postmaster(server).pid == pid
    server.stop()
    server.stop()
    wait_until(lambda: not processes_of(folder), what="the server is down")


def test_one_that_is_not_started_says_so(new_folder: Path) -> None:
    server = EmbeddedPostgres(new_folder)
    with pytest.raises(StorageError, match="not started"):
        server.url("r")
    with pytest.raises(StorageError, match="not started"):
        server.create_role_and_database("r")
    assert server.home is None
    assert not new_folder.exists()


def test_an_unknown_role_says_so(server: EmbeddedPostgres) -> None:
    with pytest.raises(StorageError, match="no role 'r'"):
        server.url("r")


def test_what_was_stored_is_there_after_a_restart(folder: Path) -> None:
    for number in range(3):
        with EmbeddedPostgres(folder) as server:
            server.create_role_and_database("r")
            query(server, "r", "CREATE TABLE IF NOT EXISTS kept (x int)")
            assert query(server, "r", "SELECT count(*) FROM kept") == number
            query(server, "r", "INSERT INTO kept VALUES (1) RETURNING x")


def test_several_users_in_one_process_share_one_server(
    server: EmbeddedPostgres, folder: Path
) -> None:
    others = [EmbeddedPostgres(folder) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(EmbeddedPostgres.start, others))
    assert {postmaster(other).pid for other in others} == {postmaster(server).pid}
    for other in others:
        other.stop()
    assert postmaster(server).is_running()


def held(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    return process


def test_processes_that_start_together_share_one_server(new_folder: Path) -> None:
    with ThreadPoolExecutor(3) as threads:
        processes = list(threads.map(held, [new_folder] * 3))
    with EmbeddedPostgres(new_folder) as server:
        pid = postmaster(server).pid
        for process in processes:
            process.communicate("done\n", timeout=30)
            assert psutil.pid_exists(pid)
    wait_until(lambda: not processes_of(new_folder), what="the server is down")


def test_it_goes_down_when_its_last_user_is_killed(folder: Path) -> None:
    with held(folder) as process:
        assert len(processes_of(folder)) >= 2
        process.send_signal(signal.SIGKILL)
        process.communicate()
    wait_until(lambda: not processes_of(folder), what="the server is down")
    with EmbeddedPostgres(folder) as server:
        server.create_role_and_database("r")


def test_it_outlives_the_process_that_started_it_while_another_uses_it(folder: Path) -> None:
    with held(folder) as process:
        server = EmbeddedPostgres(folder)
        server.start()
        pid = postmaster(server).pid
        process.send_signal(signal.SIGKILL)
        process.communicate()
    server.create_role_and_database("r")
    assert postmaster(server).pid == pid
    server.stop()
    wait_until(lambda: not processes_of(folder), what="the server is down")


def test_it_is_stopped_also_when_its_guard_was_killed(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    server.start()
    guard = postmaster(server).parent()
    assert guard is not None
    assert "guard.py" in " ".join(guard.cmdline())
    guard.kill()
    server.stop()
    wait_until(lambda: not processes_of(folder), what="the server is down")


def test_a_server_that_crashed_is_started_again(folder: Path) -> None:
    with EmbeddedPostgres(folder) as server:
        server.create_role_and_database("r")
        query(server, "r", "CREATE TABLE kept (x int)")
        postmaster(server).kill()
        wait_until(lambda: not processes_of(folder), what="the server is gone")
        with EmbeddedPostgres(folder) as again:
            assert query(again, "r", "SELECT count(*) FROM kept") == 0


def test_an_initdb_that_was_cut_off_is_done_again(new_folder: Path) -> None:
    server = EmbeddedPostgres(new_folder)
    server.start()
    server.stop()
    (new_folder / "data").rename(new_folder / "data.half")
    server.start()
    server.stop()
    assert not (new_folder / "data.half").exists()


def test_a_path_too_long_for_a_socket_is_no_obstacle(folder: Path) -> None:
    deep = folder.parent / ("d" * 60) / ("e" * 60) / "postgres"
    with EmbeddedPostgres(deep, settings={"fsync": "off"}) as server:
        server.create_role_and_database("r")
        sockets = Path(server.parameters("r")["host"])
        assert sockets.parent != deep
        assert mode_of(sockets) == 0o700
        assert query(server, "r", "SELECT 1") == 1
    sockets.rmdir()


def test_data_of_an_unknown_version_is_refused(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    server.start()
    server.stop()
    (folder / "data/PG_VERSION").write_text("9\n")
    with pytest.raises(StorageError, match="made by PostgreSQL 9"):
        server.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's binaries can be out of reach")
def test_binaries_out_of_the_servers_reach_are_copied_into_its_home(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    newest = max(install._installs())
    package = newest.folder.parent
    for source in (package, package.with_name(f"{package.name}.libs")):
        (private / source.name).symlink_to(source)
    folder_of_hidden = private / package.name / newest.folder.name
    hidden = Install(newest.major, newest.minor, folder_of_hidden)
    monkeypatch.setattr(install, "_installs", lambda: [hidden])
    with EmbeddedPostgres(folder, settings={"fsync": "off"}) as server:
        assert Path(postmaster(server).exe()).is_relative_to(folder)
        server.create_role_and_database("r")
    assert mode_of(private) == 0o700


async def test_a_db_without_a_url_brings_its_own_server(new_folder: Path) -> None:
    db = PostgresDb(data_folder=new_folder)
    assert not new_folder.exists()
    record = await stored(db.store(ALICE), run())
    other = PostgresDb(data_folder=new_folder)
    assert other.id == db.id
    assert await other.store(ALICE).get_run(record.session_key, record.run_id) == record
    await asyncio.gather(db.close(), other.close())
    gone = partial(wait_until, lambda: not processes_of(new_folder), what="the server is down")
    await asyncio.to_thread(gone)
    assert await db.store(ALICE).get_run(record.session_key, record.run_id) == record
    await db.close()


def test_a_program_that_never_closes_leaves_no_server(folder: Path) -> None:
    script = (
        "import asyncio, sys\n"
        "from licet.db.postgres import PostgresDb\n"
        "asyncio.run(PostgresDb(data_folder=sys.argv[1]).open())\n"
    )
    command = [sys.executable, "-W", "error", "-c", script, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    wait_until(lambda: not processes_of(folder), what="the server is down")


def test_a_place_is_told_from_its_log(folder: Path) -> None:
    place = Place(folder, folder / "sockets", None)
    with pytest.raises(StorageError, match="not running"):
        control.listening(place)
