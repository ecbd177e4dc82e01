"""How a page of one user's sessions is found among everybody's, for whoever sees all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Select
from sqlalchemy.engine import Connection

from licet.db import reads
from licet.db.postgres import PostgresDb
from licet.db.records import SessionQuery
from licet.db.sqlite import SqliteBackend, SqliteDb
from tests.contract.rows import ADMIN
from tests.support.postgres import ROLE, ROW_ROLE, EmbeddedPostgres

ASKED = SessionQuery(user_id="user-7")
PAGE, COUNT = reads.session_page(ASKED, ADMIN), reads.session_count(ASKED, ADMIN)
MANY_SESSIONS = (
    "INSERT INTO licet_sessions (owner, session_id, session_type, user_id, session_state, "
    "created_at_us, updated_at_us) SELECT 'default|user-' || n % 200, n::text, 'agent', "
    "'user-' || n % 200, '{}', n, n FROM generate_series(1, 20000) AS n"
)


def in_words(select: Select[Any]) -> str:
    return str(select.compile(compile_kwargs={"literal_binds": True}))


def explain(select: Select[Any]) -> Callable[[Connection], Sequence[Any]]:
    return lambda connection: connection.exec_driver_sql(f"EXPLAIN {in_words(select)}").all()


async def test_sqlite_looks_at_no_session_of_others(tmp_path: Path) -> None:
    db = SqliteDb(tmp_path / "licet.db")
    await db.open()
    with closing(SqliteBackend(db.db_file)._connection()) as connection:
        page, count = (
            [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {in_words(select)}")]
            for select in (PAGE, COUNT)
        )
    await db.close()
    found = "licet_sessions_of_user (user_id=?)"
    # What is left to sort are those of one moment.
    assert page[0] == f"SEARCH licet_sessions USING INDEX {found}"
    assert page[1:] != ["USE TEMP B-TREE FOR ORDER BY"]
    assert count == [f"SEARCH licet_sessions USING COVERING INDEX {found}"]


@pytest.mark.parametrize("guarded", [False, True], ids=["plain", "guarded"])
async def test_postgres_looks_at_no_session_of_others(
    postgres_server: EmbeddedPostgres, postgres_url: str, guarded: object
) -> None:
    postgres_server.create_role_within(ROW_ROLE, member=ROLE)
    db = PostgresDb(postgres_url, row_level_security=guarded is True)
    await db.open()
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(MANY_SESSIONS)
        connection.execute("ANALYZE licet_sessions")
    plans = [await db.read(explain(select), access=ADMIN) for select in (PAGE, COUNT)]
    await db.close()
    page, count = ("\n".join(row[0] for row in plan) for plan in plans)
    assert "Index Scan Backward using licet_sessions_of_user" in page
    assert "licet_sessions_of_user" in count
