from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from licet.audit import AnchorFile
from licet.audit.db_sink import DbSink
from licet.audit.signing import Signer, load_signer
from licet.db.sqlite import SqliteDb
from licet.testing import TokenFactory
from tests.audit.events import events
from tests.cli.conftest import Cli
from tests.cli.programs import APP, guarded, write

VERIFY = ("audit", "verify", "small")
SECRET = "correct horse battery staple, and more"
PAIR = TokenFactory("EdDSA")
ED25519, HMAC = load_signer(PAIR.private_key), load_signer(SECRET)
WITH_SECRET = {"LICET_AUDIT_KEY": SECRET}


def fill(program: Path, *, signer: Signer | None = None, writers: int = 1) -> None:
    """Let writers write two batches each; their anchors are in ``anchors.jsonl``."""

    async def work() -> None:
        db = SqliteDb(program / "small.db")
        for _ in range(writers):
            sink = DbSink(
                db.audit(),
                os_id="small-os",
                signer=signer,
                anchors=[AnchorFile(program / "anchors.jsonl")],
            )
            await sink.start()
            await sink.write(events(1, 2))
            await sink.write(events(3, 5))
            await sink.close()
        await db.close()

    asyncio.run(work())


def do(program: Path, sql: str, *parameters: Any) -> None:
    with sqlite3.connect(program / "small.db") as connection:
        assert connection.execute(sql, parameters).rowcount > 0
    connection.close()


def test_a_sound_trail_is_told_on_one_line(cli: Cli, program: Path) -> None:
    fill(program, signer=HMAC, writers=2)
    result = cli(*VERIFY, "--anchors", "anchors.jsonl", env=WITH_SECRET)
    assert result.exit_code == 0
    file = str(program / "small.db")
    assert result.stdout == f"Sound: 10 records of 2 writers in the database {file!r}, 4 anchors\n"
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("signer", "options", "notes"),
    [
        (None, [], ["1 writers signed nothing", "No anchors were given"]),
        (HMAC, [], ["1 writers signed with a key that was not given", "No anchors were given"]),
        (None, ["--anchors", "anchors.jsonl"], ["1 writers signed nothing"]),
        (HMAC, ["--key-file", "secret", "--anchors", "anchors.jsonl"], []),
        (ED25519, ["--key-file", "audit.pem"], ["No anchors were given"]),
    ],
)
def test_what_was_not_looked_at_is_told_beside(
    cli: Cli, program: Path, signer: Signer | None, options: list[str], notes: list[str]
) -> None:
    (program / "secret").write_text(SECRET + "\n")
    (program / "audit.pem").write_text(PAIR.public_key)
    fill(program, signer=signer)
    result = cli(*VERIFY, *options)
    assert result.exit_code == 0
    assert result.stdout.startswith("Sound: 5 records of 1 writers")
    said = result.stderr.splitlines()
    assert len(said) == len(notes)
    for line, start in zip(said, notes, strict=True):
        assert line.startswith(start)


def test_what_is_found_is_a_table_and_the_command_fails(cli: Cli, program: Path) -> None:
    fill(program, signer=HMAC, writers=3)
    do(program, "UPDATE licet_audit SET decision = 'deny' WHERE seq IN (2, 3)")
    do(program, "DELETE FROM licet_audit_writers WHERE number = 2")
    result = cli(*VERIFY, "--anchors", "anchors.jsonl", env=WITH_SECRET)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["WHAT", "WRITER", "RECORDS"]
    assert [line.split()[0] for line in lines[1:-1]] == [
        *("changed_record", "changed_record", "missing_writer", "inserted_records")
    ]
    assert lines[1].split()[2] == "2-3"
    assert lines[-1].startswith("NOT SOUND: 4 findings; 10 records of 2 writers in the database ")


def test_json_holds_the_same(cli: Cli, program: Path) -> None:
    fill(program, signer=HMAC)
    do(program, "DELETE FROM licet_audit WHERE seq = 4")
    result = cli(*VERIFY, "--json", "--anchors", "anchors.jsonl", env=WITH_SECRET)
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    (finding,) = report.pop("findings")
    assert (finding["code"], finding["first_seq"], finding["last_seq"]) == ("missing_records", 4, 4)
    assert report == {
        "sound": False,
        "writers": 1,
        "records": 4,
        "anchors": 2,
        "unsigned": 0,
        "unverified": 0,
    }
    do(program, "DELETE FROM licet_audit WHERE seq > 2")
    do(program, "DELETE FROM licet_audit_batches WHERE number > 1")
    sound = cli(*VERIFY, "--json", env=WITH_SECRET)
    assert sound.exit_code == 0
    assert json.loads(sound.stdout)["sound"] is True
    cut = cli(*VERIFY, "--json", "--anchors", "anchors.jsonl", env=WITH_SECRET)
    assert cut.exit_code == 1
    assert [f["code"] for f in json.loads(cut.stdout)["findings"]] == ["cut_off"]


class TestKeys:
    @pytest.mark.parametrize("key", [SECRET, PAIR.private_key], ids=["HMAC", "Ed25519"])
    def test_it_may_stand_in_the_environment(self, cli: Cli, program: Path, key: str) -> None:
        fill(program, signer=load_signer(key))
        env = {"LICET_AUDIT_KEY": f"\n{key}\n"}
        result = cli(*VERIFY, "--anchors", "anchors.jsonl", env=env)
        assert (result.exit_code, result.stderr) == (0, "")

    def test_the_environment_may_name_its_file(self, cli: Cli, program: Path) -> None:
        fill(program, signer=ED25519)
        (program / "key").write_text(PAIR.private_key)
        env = {"LICET_AUDIT_KEY_FILE": "key"}
        result = cli(*VERIFY, "--anchors", "anchors.jsonl", env=env)
        assert (result.exit_code, result.stderr) == (0, "")

    @pytest.mark.parametrize(
        "key", [SECRET, PAIR.private_key, PAIR.public_key], ids=["HMAC", "private", "public"]
    )
    def test_it_may_stand_in_a_file_of_ed25519_the_public_one(
        self, cli: Cli, program: Path, key: str
    ) -> None:
        fill(program, signer=HMAC if key == SECRET else ED25519)
        (program / "key").write_text(key)
        result = cli(*VERIFY, "--key-file", "key", "--anchors", "anchors.jsonl")
        assert (result.exit_code, result.stderr) == (0, "")

    def test_several_can_be_given(self, cli: Cli, program: Path) -> None:
        fill(program, signer=ED25519)
        fill(program, signer=HMAC)
        (program / "key").write_text(PAIR.public_key)
        assert cli(*VERIFY, "--key-file", "key", env=WITH_SECRET).exit_code == 0
        assert cli(*VERIFY, "--key-file", "key").exit_code == 1
        assert cli(*VERIFY, env=WITH_SECRET).exit_code == 1

    def test_with_a_key_what_is_unsigned_is_found_unless_it_is_older(
        self, cli: Cli, program: Path
    ) -> None:
        fill(program)
        fill(program, signer=HMAC)
        options = ["--anchors", "anchors.jsonl"]
        result = cli(*VERIFY, *options, env=WITH_SECRET)
        assert result.exit_code == 1
        assert "unsigned_writer" in result.stdout
        assert "bad_anchor" in result.stdout
        result = cli(*VERIFY, *options, "--unsigned-until", "1", env=WITH_SECRET)
        assert result.exit_code == 0
        assert result.stderr.startswith("1 writers signed nothing")

    def test_no_key_is_shown(self, cli: Cli, program: Path) -> None:
        fill(program, signer=HMAC)
        do(program, "DELETE FROM licet_audit WHERE seq = 4")
        for options in ([], ["--json"]):
            result = cli(*VERIFY, *options, env=WITH_SECRET)
            assert SECRET not in result.output


def test_a_name_that_somebody_put_there_moves_no_cursor(cli: Cli, program: Path) -> None:
    fill(program, signer=HMAC)
    do(program, "UPDATE licet_audit SET writer_id = ? WHERE seq = 5", "a\x1b[2J\r\nb")
    result = cli(*VERIFY, env=WITH_SECRET)
    assert result.exit_code == 1
    assert all(line.isprintable() for line in result.stdout.splitlines())
    assert r"a\u001b[2J\u000d\u000ab" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--anchors", "nowhere"], "'nowhere' cannot be read: No such file or directory"),
        (["--anchors", "."], "'.' cannot be read: Is a directory"),
        (["--anchors", "empty"], "'empty' has no anchor in it"),
        (["--anchors", "binary"], "'binary' has no anchor in it"),
        (["--key-file", "nowhere"], "'nowhere' cannot be read: No such file or directory"),
        (["--key-file", "empty"], "the audit key has 0 bytes"),
        (["--key-file", "public.pem"], "the audit key is no Ed25519 key"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    cli: Cli, program: Path, arguments: list[str], message: str
) -> None:
    (program / "empty").write_text("")
    (program / "binary").write_bytes(bytes(range(256)))
    result = cli(*VERIFY, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"licet: {message}")
    assert result.stderr.count("\n") == 1


def test_a_database_of_one_process_alone_is_refused(cli: Cli, program: Path) -> None:
    write(program, "small.py", guarded() + APP)
    result = cli(*VERIFY)
    assert result.exit_code == 2
    assert result.stderr.startswith("licet: small: its database is an InMemoryDb")
