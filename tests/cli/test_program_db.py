from __future__ import annotations

from pathlib import Path

import pytest

from licet.cli.program_db import ProgramDb, in_program_db
from licet.db.trust_records import RevocationQuery
from licet.errors import ConfigurationError
from tests.cli.programs import APP, OPEN, TWO_ISSUERS, guarded, stored, write


async def nothing(program_db: ProgramDb) -> int:
    page = await program_db.store.list_revocations(RevocationQuery(now_us=0))
    return page.total_count


def test_the_database_is_the_programs_and_can_be_opened_again_and_again(program: Path) -> None:
    async def place(program_db: ProgramDb) -> str:
        assert await nothing(program_db) == 0
        return program_db.place

    for _ in range(2):
        assert in_program_db("small", place) == f"the database {str(program / 'small.db')!r}"


def test_everybody_whom_the_program_trusts_is_known(folder: Path) -> None:
    write(folder, "two.py", stored(TWO_ISSUERS) + APP)

    async def aliases(program_db: ProgramDb) -> list[str]:
        return [issuer.alias for issuer, _ in program_db.issuers]

    assert in_program_db("two", aliases) == ["default", "partner"]


def test_a_file_that_was_not_there_is_told_once(
    program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (program / "small.db").unlink()
    in_program_db("small", nothing)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == (
        f"There was no {str(program / 'small.db')!r}: is this the folder in which the server is "
        "started?\n"
    )
    in_program_db("small", nothing)
    assert capsys.readouterr().err == ""


def test_a_database_that_no_other_process_shares_is_refused(folder: Path) -> None:
    write(folder, "small.py", guarded() + APP)
    with pytest.raises(ConfigurationError, match="InMemoryDb, of which each process has its own"):
        in_program_db("small", nothing)


def test_a_program_that_looks_at_no_token_is_refused(folder: Path) -> None:
    write(folder, "open_os.py", OPEN)
    with pytest.raises(ConfigurationError, match="open_os: authorization is off"):
        in_program_db("open_os", nothing)


def test_a_database_is_closed_also_when_the_work_fails(program: Path) -> None:
    databases = []

    async def fail(program_db: ProgramDb) -> None:
        databases.append(program_db.db)
        raise KeyError

    with pytest.raises(KeyError):
        in_program_db("small", fail)
    (db,) = databases
    assert getattr(db, "_open_parts") is None  # noqa: B009 - what no caller needs to see
