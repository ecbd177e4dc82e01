from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"alembic", "psycopg", "sqlalchemy", "licet.db.embedded"}


@pytest.mark.parametrize(
    "statement",
    [
        "from licet.db.in_memory import InMemoryDb; InMemoryDb()",
        "from licet.db.sqlite import SqliteDb; SqliteDb('x.db')",
        "from licet.db.postgres import PostgresDb; PostgresDb('postgresql://h/d')",
    ],
)
def test_importing_and_constructing_is_light(statement: str) -> None:
    script = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert HEAVY & set(done.stdout.split()) == set()


def test_an_open_and_known_database_needs_no_alembic(tmp_path: object) -> None:
    script = (
        "import asyncio, sys\n"
        "from licet.db.sqlite import SqliteDb\n"
        "async def main():\n"
        "    db = SqliteDb(sys.argv[1]); await db.open(); await db.close()\n"
        "asyncio.run(main())\n"
        "print(*sys.modules)\n"
    )
    command = [sys.executable, "-c", script, f"{tmp_path}/licet.db"]
    subprocess.run(command, capture_output=True, check=True)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert {"alembic", "sqlalchemy"} & set(done.stdout.split()) == set()


def test_reading_a_file_needs_nothing_of_postgresql(tmp_path: object) -> None:
    script = (
        "import asyncio, sys\n"
        "from licet.db.sqlite import SqliteDb\n"
        "async def main():\n"
        "    db = SqliteDb(sys.argv[1]); await db.trust().changes(after=-1); await db.close()\n"
        "asyncio.run(main())\n"
        "print(*sys.modules)\n"
    )
    command = [sys.executable, "-c", script, f"{tmp_path}/licet.db"]
    subprocess.run(command, capture_output=True, check=True)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "sqlalchemy" in done.stdout.split()
    assert [name for name in done.stdout.split() if "postgresql" in name] == []


def test_without_the_driver_the_extra_is_named() -> None:
    script = (
        "import asyncio, sys\n"
        "sys.modules['psycopg'] = None\n"
        "from licet.db.postgres import PostgresDb\n"
        "from licet.errors import MissingExtraError\n"
        "try:\n"
        "    asyncio.run(PostgresDb('postgresql://h/d').open())\n"
        "except MissingExtraError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "pip install 'licet[postgres]'" in done.stdout
