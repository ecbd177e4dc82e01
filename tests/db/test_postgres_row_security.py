"""Opening a database with row-level security: what is set up, and what is refused."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import psycopg
import pytest

from licet.db.postgres import PostgresDb
from licet.db.postgres_backend import _MIGRATION_LOCK
from licet.db.trust_records import TRUST_TOPIC
from licet.errors import ConfigurationError, StorageError
from tests.contract.rows import ALICE, BOB, everything, run, stored
from tests.contract.trust_rows import revocation
from tests.db.conftest import until_somebody_waits_for_a_lock
from tests.support.logins import Login, ask, do, new_login, new_role, superuser
from tests.support.postgres import EmbeddedPostgres, reachable_folder

__all__ = ["new_login", "new_role", "superuser"]

OPEN = """
import asyncio, sys
from licet.db.postgres import PostgresDb

async def main():
    print("ready", flush=True)
    sys.stdin.readline()
    db = PostgresDb(sys.argv[1], row_level_security=True, row_role=sys.argv[2])
    await db.open()
    await db.close()

asyncio.run(main())
"""
IS_ENABLED = "SELECT relrowsecurity FROM pg_class WHERE oid = 'licet_sessions'::regclass"


@pytest.fixture
def login(new_login: Callable[[str], Login]) -> Login:
    """One who may make roles."""
    return new_login("CREATEROLE")


@asynccontextmanager
async def opened(url: str, role: str | None = None) -> AsyncIterator[PostgresDb]:
    """A guarded database."""
    db = PostgresDb(url, row_level_security=True, row_role=role)
    await db.open()
    yield db
    await db.close()


async def refusal(url: str, role: str) -> str:
    """Why a database is refused."""
    db = PostgresDb(url, row_level_security=True, row_role=role)
    with pytest.raises(ConfigurationError) as caught:
        await db.open()
    return str(caught.value)


async def migrated(url: str) -> None:
    """Bring the tables up to date, without row-level security."""
    db = PostgresDb(url)
    await db.open()
    await db.close()


async def works(db: PostgresDb) -> None:
    """Rows of two, trust, and following changes."""
    for access in (ALICE, BOB):
        record = await stored(db.store(access), run(owner=access.owner))
        assert await db.store(access).get_run(record.session_key, record.run_id) == record
    forgotten = await db.read(
        lambda c: c.exec_driver_sql("SELECT count(*) FROM licet_runs").scalar_one()
    )
    assert forgotten == 0
    assert len(await everything(db)) == 4
    await db.trust().add_revocations([revocation()])
    assert await db.watch(TRUST_TOPIC, after=0, timeout_seconds=30) >= 1


def told(message: str) -> list[str]:
    """The statements that a message tells to run."""
    return re.findall(r"^    (.*);$", message, re.MULTILINE)


async def test_who_may_make_roles_needs_nothing_made(
    login: Login, new_role: Callable[[str], str]
) -> None:
    async with opened(login.url, new_role("")) as db:
        await works(db)


async def test_who_has_made_the_role_but_may_not_become_it_yet_grants_it(
    login: Login, new_role: Callable[[str], str]
) -> None:
    role = new_role("")
    do(login.url, f"CREATE ROLE {role} NOLOGIN")
    async with opened(login.url, role) as db:
        await works(db)


async def test_who_may_not_make_roles_is_told_what_to_have_run(
    new_login: Callable[[str], Login],
    new_role: Callable[[str], str],
    superuser: psycopg.Connection[tuple[Any, ...]],
) -> None:
    login, role = new_login(""), new_role("")
    statements = told(await refusal(login.url, role))
    assert statements == [f"CREATE ROLE {role} NOLOGIN", f"GRANT {role} TO {login.name}"]
    for statement in statements:
        superuser.execute(statement.encode())
    async with opened(login.url, role) as db:
        await works(db)


async def test_a_role_that_the_login_may_not_become_is_refused(
    login: Login, new_role: Callable[[str], str]
) -> None:
    role = new_role("NOLOGIN")
    message = await refusal(login.url, role)
    assert told(message) == [f"GRANT {role} TO {login.name}"]
    # Perhaps it is somebody else's, whose rows it reaches.
    assert "another installation, give this one a row_role of its own" in message


async def test_a_schema_that_is_not_the_logins_has_to_be_opened_for_the_role(
    login: Login,
    new_role: Callable[[str], str],
    superuser: psycopg.Connection[tuple[Any, ...]],
) -> None:
    role = new_role("")
    superuser.execute(f"ALTER SCHEMA {login.schema} OWNER TO postgres".encode())
    superuser.execute(f"GRANT ALL ON SCHEMA {login.schema} TO {login.name}".encode())
    statements = told(await refusal(login.url, role))
    assert statements == [f"GRANT USAGE ON SCHEMA {login.schema} TO {role}"]
    superuser.execute(statements[0].encode())
    async with opened(login.url, role) as db:
        await works(db)
    superuser.execute(f"ALTER SCHEMA {login.schema} OWNER TO {login.name}".encode())


async def test_a_superuser_is_refused(
    new_login: Callable[[str], Login], new_role: Callable[[str], str]
) -> None:
    login = new_login("SUPERUSER")
    message = await refusal(login.url, new_role("NOLOGIN"))
    assert f"connected as {login.name}, a superuser" in message
    assert "connect as a role that is none" in message


async def test_who_connects_as_a_superuser_and_steps_down_is_refused(
    new_login: Callable[[str], Login], new_role: Callable[[str], str]
) -> None:
    login, lesser = new_login("SUPERUSER"), new_role("NOLOGIN")
    await migrated(login.url)
    url = f"{login.url}%20-crole%3D{lesser}"
    do(login.url, f"GRANT ALL ON SCHEMA {login.schema} TO {lesser}")
    do(login.url, f"GRANT SELECT ON licet_revision TO {lesser}")
    assert ask(url, "SELECT current_user::text") == [(lesser,)]
    assert "a superuser" in await refusal(url, new_role("NOLOGIN"))


@pytest.mark.parametrize(
    ("attribute", "what"), [("BYPASSRLS", "has BYPASSRLS"), ("SUPERUSER", "is a superuser")]
)
async def test_a_role_that_no_policy_binds_is_refused(
    login: Login,
    new_role: Callable[[str], str],
    superuser: psycopg.Connection[tuple[Any, ...]],
    attribute: str,
    what: str,
) -> None:
    role = new_role(f"NOLOGIN {attribute}")
    superuser.execute(f"GRANT {role} TO {login.name}".encode())
    message = await refusal(login.url, role)
    assert f"the role {role} {what}" in message
    assert f"ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS" in message
    assert ask(login.url, IS_ENABLED) == [(False,)]
    superuser.execute(f"ALTER ROLE {role} NO{attribute}".encode())
    async with opened(login.url, role) as db:
        await works(db)


async def test_the_owner_of_the_tables_is_refused_as_the_role(login: Login) -> None:
    assert "it is the owner or a member of the owner" in await refusal(login.url, login.name)
    assert ask(login.url, IS_ENABLED) == [(False,)]


async def test_a_member_of_the_owner_is_refused_as_the_role(
    login: Login,
    new_login: Callable[[str], Login],
    new_role: Callable[[str], str],
    superuser: psycopg.Connection[tuple[Any, ...]],
) -> None:
    role, guest = new_role("NOLOGIN"), new_login("")
    await migrated(login.url)
    superuser.execute(f"GRANT {login.name} TO {role}".encode())
    superuser.execute(f"GRANT {role} TO {guest.name}".encode())
    message = await refusal(guest.finding(login.schema), role)
    assert f"no policy binds the role {role}" in message
    assert ask(login.url, IS_ENABLED) == [(False,)]


async def test_a_policy_that_lets_everybody_see_is_refused(
    login: Login, new_role: Callable[[str], str]
) -> None:
    role = new_role("")
    async with opened(login.url, role):
        pass
    do(login.url, "CREATE POLICY reports ON licet_runs FOR SELECT USING (true)")
    message = await refusal(login.url, role)
    assert f"the policy 'reports' on licet_runs lets the role {role} reach more rows" in message
    do(
        login.url,
        "DROP POLICY reports ON licet_runs",
        "CREATE POLICY reports ON licet_runs AS RESTRICTIVE FOR SELECT USING (true)",
        f"CREATE POLICY own ON licet_runs FOR SELECT TO {login.name} USING (true)",
    )
    async with opened(login.url, role) as db:
        await works(db)


async def test_tables_that_the_role_does_not_find_are_refused(
    login: Login, new_role: Callable[[str], str]
) -> None:
    # PostgreSQL's own default: for the login its schema, which is another for the role.
    message = await refusal(login.finding('"$user"'), new_role(""))
    assert f"does not find {login.schema}.licet_" in message
    assert "search_path" in message
    assert ask(login.url, IS_ENABLED) == [(False,)]


async def test_a_login_that_owns_nothing_can_use_what_the_owner_has_set_up(
    login: Login,
    new_login: Callable[[str], Login],
    new_role: Callable[[str], str],
    superuser: psycopg.Connection[tuple[Any, ...]],
) -> None:
    role, guest = new_role(""), new_login("")
    async with opened(login.url, role):
        pass
    superuser.execute(f"GRANT {role} TO {guest.name}".encode())
    async with opened(guest.finding(login.schema), role) as db:
        await works(db)


async def test_tables_that_were_added_are_granted_at_the_next_start(
    login: Login, new_role: Callable[[str], str]
) -> None:
    role = new_role("")
    async with opened(login.url, role):
        pass
    do(login.url, f"REVOKE ALL ON licet_changes, licet_revocations FROM {role}")
    async with opened(login.url, role) as db:
        await works(db)


async def test_where_everything_is_there_nothing_is_locked_or_changed(
    login: Login, new_role: Callable[[str], str]
) -> None:
    role = new_role("")
    async with opened(login.url, role):
        pass
    with psycopg.connect(login.url.replace("+psycopg", "")) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
        other.execute("LOCK TABLE licet_sessions, licet_runs IN ROW EXCLUSIVE MODE")
        async with opened(login.url, role):
            pass


async def test_two_roles_can_serve_one_database(
    login: Login, new_role: Callable[[str], str]
) -> None:
    async with opened(login.url, new_role("")) as one, opened(login.url, new_role("")) as two:
        await works(one)
        record = await stored(two.store(ALICE), run("other"))
        assert await one.store(ALICE).get_run(record.session_key, record.run_id) == record
        assert await one.store(BOB).get_run(record.session_key, record.run_id) is None


async def test_many_that_open_at_once_all_do(login: Login, new_role: Callable[[str], str]) -> None:
    role = new_role("")
    dbs = [PostgresDb(login.url, row_level_security=True, row_role=role) for _ in range(6)]
    await asyncio.gather(*(db.open() for db in dbs))
    await asyncio.gather(
        *(stored(db.store(who), run(owner=who.owner)) for db in dbs for who in (ALICE, BOB))
    )
    for db in dbs:
        assert len(await everything(db)) == 14
        await db.close()


def test_processes_that_start_together_all_open(
    login: Login, new_role: Callable[[str], str]
) -> None:
    role = new_role("")
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-W", "error", "-c", OPEN, login.url, role],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(3)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [process.communicate(timeout=60)[1] for process in processes]
    assert said == [""] * 3
    assert [process.returncode for process in processes] == [0] * 3


async def test_a_role_that_another_database_makes_at_the_same_time_is_taken(
    login: Login,
    new_role: Callable[[str], str],
    superuser: psycopg.Connection[tuple[Any, ...]],
    postgres_server: EmbeddedPostgres,
) -> None:
    role = new_role("")
    with superuser.transaction():
        superuser.execute(f"CREATE ROLE {role} NOLOGIN".encode())
        superuser.execute(f"GRANT {role} TO {login.name}".encode())
        db = PostgresDb(login.url, row_level_security=True, row_role=role)
        opening = asyncio.create_task(db.open())
        await until_somebody_waits_for_a_lock(postgres_server)
    await opening
    await works(db)
    await db.close()


async def test_a_database_that_cannot_do_it_now_is_reported(
    login: Login, new_role: Callable[[str], str]
) -> None:
    role = new_role("")
    await migrated(login.url)
    with psycopg.connect(login.url.replace("+psycopg", "")) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATION_LOCK,))
        db = PostgresDb(
            f"{login.url}%20-clock_timeout%3D10", row_level_security=True, row_role=role
        )
        with pytest.raises(StorageError, match=r"could not be set up: .*lock timeout"):
            await db.open()


async def test_the_embedded_server_brings_the_role_along() -> None:
    with reachable_folder() as folder, EmbeddedPostgres(folder / "postgres"):
        for _ in range(2):
            db = PostgresDb(data_folder=folder / "postgres", row_level_security=True)
            await db.open()
            assert (
                await db.read(lambda c: c.exec_driver_sql("SELECT current_user::text").scalar_one())
                == "licet_rows"
            )
            await db.close()
        await works(db)
        await db.close()


@pytest.mark.parametrize(
    "name", ["", "none", "public", "pg_rows", "Rows", "1st", "r" * 64, "a b", 'x"', "rows;", "é"]
)
def test_a_name_that_means_something_else_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"row_role .* cannot be used"):
        PostgresDb("postgresql://h/d", row_level_security=True, row_role=name)


@pytest.mark.parametrize("name", ["rows", "_r1", "nonessential", "publics", "r" * 63])
def test_a_plain_name_is_taken(name: str) -> None:
    PostgresDb("postgresql://h/d", row_level_security=True, row_role=name)


def test_a_role_without_row_level_security_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="does nothing without row_level_security"):
        PostgresDb("postgresql://h/d", row_role="rows")
