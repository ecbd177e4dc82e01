from __future__ import annotations

import json
import re
import stat
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from licet.authn.service_accounts import is_well_formed, token_digest
from licet.db.trust_base import TrustStore
from licet.db.trust_records import ServiceAccountRecord
from licet.os.service_accounts import DEFAULT_SCOPES
from tests.cli.conftest import Cli, ask_store
from tests.cli.programs import APP, guarded, stored, write
from tests.support.process import free_port, licet, running

CREATE = ("service-accounts", "create", "small")
LIST = ("service-accounts", "list", "small")
ROTATE = ("service-accounts", "rotate", "small")
REVOKE = ("service-accounts", "revoke", "small")
DAY_SECONDS = 86_400


def owner_of(folder: Path, token: str) -> ServiceAccountRecord | None:
    """The account that has this token, as it is stored."""

    async def find(store: TrustStore) -> ServiceAccountRecord | None:
        return await store.find_service_account(token_digest(token.strip().encode()))

    return ask_store(folder, find)


def listed(cli: Cli, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(cli(*LIST, "--json", *options).stdout)
    return found


def lives_days(account: ServiceAccountRecord | None) -> float | None:
    assert account is not None
    if account.expires_at_us is None:
        return None
    return round((account.expires_at_us / 1_000_000 - time.time()) / DAY_SECONDS, 1)


def test_only_the_token_is_printed(cli: Cli, program: Path) -> None:
    result = cli(*CREATE, "bot", "--scope", "agents:run", "--scope", "agents:helper:read")
    assert result.exit_code == 0
    assert result.stdout.count("\n") == 1
    token = result.stdout.strip()
    assert is_well_formed(token.encode())
    account = owner_of(program, token)
    assert account is not None
    assert account.name == "bot"
    assert account.scopes == ("agents:run", "agents:helper:read")
    assert (account.creator_alias, account.creator_subject) == (None, None)
    assert f"Service account 'bot' ({account.id}): agents:run, agents:helper:read" in result.stderr
    assert "shown this once" in result.stderr
    assert token not in result.stderr


def test_what_was_not_asked_for_is_as_over_http(cli: Cli, program: Path) -> None:
    account = owner_of(program, cli(*CREATE, "bot").stdout)
    assert account is not None
    assert account.scopes == DEFAULT_SCOPES
    assert lives_days(account) == 90


@pytest.mark.parametrize(
    ("options", "days"), [(["--expires-in-days", "7"], 7), (["--never-expires"], None)]
)
def test_how_long_it_lives_can_be_said(
    cli: Cli, program: Path, options: list[str], days: int | None
) -> None:
    result = cli(*CREATE, "bot", *options)
    assert lives_days(owner_of(program, result.stdout)) == days
    assert ("never expires" in result.stderr) is (days is None)


def test_the_operator_may_give_everything_when_it_is_meant(cli: Cli, program: Path) -> None:
    wanted = ("--scope", "agent_os:admin", "--scope", "sessions:delete")
    refused = cli(*CREATE, "bot", *wanted)
    assert refused.exit_code == 2
    assert refused.stdout == ""
    assert "agent_os:admin, sessions:delete" in refused.stderr
    account = owner_of(program, cli(*CREATE, "bot", *wanted, "--allow-privileged-scopes").stdout)
    assert account is not None
    assert account.scopes == ("agent_os:admin", "sessions:delete")


def test_scopes_are_those_of_the_program(cli: Cli, folder: Path) -> None:
    own = 'admin_scope="root:admin", scope_mappings={"GET /reports": ["reports:read"]}'
    write(folder, "small.py", stored(own) + APP)
    wanted = ("--scope", "reports:read", "--scope", "root:admin")
    assert cli(*CREATE, "bot", *wanted, "--allow-privileged-scopes").exit_code == 0
    unknown = cli(*CREATE, "other", "--scope", "agent_os:admin")
    assert unknown.stderr == "licet: Invalid scope(s): agent_os:admin\n"


def test_json_shows_the_account_and_its_token(cli: Cli, program: Path) -> None:
    result = cli(*CREATE, "bot", "--json")
    shown = json.loads(result.stdout)
    account = owner_of(program, shown.pop("token"))
    assert account is not None
    assert listed(cli) == [shown]
    assert shown["id"] == account.id


@pytest.mark.parametrize("command", [CREATE, ROTATE], ids=["create", "rotate"])
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_a_token_is_written_where_only_its_owner_reads_it(
    cli: Cli, program: Path, command: tuple[str, ...], form: list[str]
) -> None:
    if command is ROTATE:
        cli(*CREATE, "bot")
    result = cli(*command, "bot", "--token-file", "bot.token", *form)
    assert result.exit_code == 0
    file = program / "bot.token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    account = owner_of(program, file.read_text())
    assert account is not None
    assert file.read_text().strip() not in result.output
    assert "'bot.token'" in result.stderr
    assert result.stdout == ("" if not form else json.dumps(listed(cli)[0], indent=2) + "\n")


@pytest.mark.parametrize("command", [CREATE, ROTATE], ids=["create", "rotate"])
def test_no_file_is_overwritten_and_nothing_is_made_then(
    cli: Cli, program: Path, command: tuple[str, ...]
) -> None:
    if command is ROTATE:
        cli(*CREATE, "bot")
    before = listed(cli)
    (program / "bot.token").write_text("precious")
    result = cli(*command, "bot", "--token-file", "bot.token")
    assert result.exit_code == 2
    assert result.stderr == "licet: 'bot.token' exists; name a new file\n"
    assert (program / "bot.token").read_text() == "precious"
    assert listed(cli) == before


def test_where_nothing_is_made_no_file_is_left(cli: Cli, program: Path) -> None:
    result = cli(*CREATE, "bot", "--scope", "agents:fly", "--token-file", "bot.token")
    assert result.exit_code == 2
    assert not (program / "bot.token").exists()


def test_accounts_are_listed_without_their_tokens(cli: Cli, program: Path) -> None:
    tokens = [cli(*CREATE, name, "--scope", "agents:run").stdout.strip() for name in ("a", "b")]
    cli(*REVOKE, "a")
    result = cli(*LIST, "--include-revoked")
    heading, *rows = [re.split(" {2,}", line) for line in result.stdout.splitlines()]
    assert heading[:3] == ["NAME", "STATE", "SCOPES"]
    assert [row[:3] for row in rows] == [
        ["b", "active", "agents:run"],
        ["a", "revoked", "agents:run"],
    ]
    assert [row["name"] for row in listed(cli)] == ["b"]
    assert [row["name"] for row in listed(cli, "--include-revoked")] == ["b", "a"]
    for token in tokens:
        assert token not in result.output


def test_it_is_told_who_made_an_account_and_what_has_expired(cli: Cli, program: Path) -> None:
    account = ServiceAccountRecord(
        id="1",
        name="hers",
        scopes=(),
        token_digest="d",
        token_prefix="licet_sa_abcd",
        creator_alias="default",
        creator_subject="olga",
        created_at_us=1,
        expires_at_us=2,
    )
    assert ask_store(program, lambda store: store.create_service_account(account))
    cli(*CREATE, "ours")
    rows = [re.split(" {2,}", line) for line in cli(*LIST).stdout.splitlines()[1:]]
    assert [(row[0], row[1], row[-2]) for row in rows] == [
        ("ours", "active", "the operator"),
        ("hers", "expired", "default|olga"),
    ]


def test_a_rotated_account_has_another_token_and_the_old_one_for_a_while(
    cli: Cli, program: Path
) -> None:
    old = cli(*CREATE, "bot", "--expires-in-days", "5").stdout.strip()
    result = cli(*ROTATE, "bot", "--overlap", "2h")
    assert result.exit_code == 0
    new = result.stdout.strip()
    assert result.stdout.count("\n") == 1
    assert new != old
    account = owner_of(program, new)
    assert account == owner_of(program, old)
    assert account is not None
    assert account.old_expires_at_us is not None
    assert account.old_expires_at_us / 1_000_000 - time.time() == pytest.approx(7200, abs=60)
    assert lives_days(account) == 90
    assert "The old token is good until " in result.stderr


def test_an_old_token_can_end_at_once_and_the_new_one_live_as_was_said(
    cli: Cli, program: Path
) -> None:
    cli(*CREATE, "bot")
    account_id = listed(cli)[0]["id"]
    result = cli(*ROTATE, account_id, "--overlap", "0", "--expires-in-days", "3")
    account = owner_of(program, result.stdout)
    assert account is not None
    assert account.old_expires_at_us is not None
    assert account.old_expires_at_us / 1_000_000 <= time.time()
    assert lives_days(account) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*CREATE, "Bot"], "name: 1 to 63 of a-z"),
        ([*CREATE, "bot"], "An active service account named 'bot' already exists"),
        ([*CREATE, "b", "--scope", "agents:fly"], "Invalid scope(s): agents:fly"),
        ([*CREATE, "b", "--expires-in-days", "0"], "expires_in_days: 1 to 3650"),
        ([*CREATE, "b", "--never-expires", "--expires-in-days", "1"], "--never-expires and"),
        ([*ROTATE, "nobody"], "Service account 'nobody' not found"),
        ([*ROTATE, "bot", "--overlap", "31d"], "overlap_seconds: 0 to"),
        ([*ROTATE, "bot", "--overlap", "some"], "--overlap: a span such as"),
        ([*REVOKE, "nobody"], "Service account 'nobody' not found"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_changes_nothing(
    cli: Cli, program: Path, arguments: list[str], message: str
) -> None:
    cli(*CREATE, "bot")
    before = listed(cli)
    result = cli(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"licet: {message}")
    assert result.stderr.count("\n") == 1
    assert listed(cli, "--include-revoked") == before


def test_a_database_in_memory_is_refused(cli: Cli, folder: Path) -> None:
    write(folder, "small.py", guarded() + APP)
    result = cli(*CREATE, "bot", "--token-file", "bot.token")
    assert result.exit_code == 2
    assert "its database is an InMemoryDb" in result.stderr
    assert not (folder / "bot.token").exists()


def test_a_running_server_lets_in_a_new_account_and_refuses_a_revoked_one(
    cli: Cli, program: Path
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"

    def status(token: str) -> int:
        headers = {"Authorization": f"Bearer {token.strip()}"}
        return httpx.get(f"{url}/agents", headers=headers).status_code

    with running(licet("serve", "small:app", "--port", str(port)), cwd=program) as process:
        process.wait_until_serving(f"{url}/health")
        old = cli(*CREATE, "bot", "--scope", "agents:read").stdout
        assert status(old) == 200
        new = cli(*ROTATE, "bot").stdout
        assert (status(old), status(new)) == (200, 200)
        result = cli(*REVOKE, "bot")
        ended = time.monotonic()
        assert result.exit_code == 0
        while 200 in {status(old), status(new)}:
            assert time.monotonic() - ended < 20, "it is still taken"
        assert (status(old), status(new)) == (401, 401)
    assert not any(token.strip() in process.output for token in (old, new))
