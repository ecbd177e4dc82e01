from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

LIST = ("revocations", "list", "small")


def revoked(cli: Cli, *options: str) -> str:
    """Revoke something, and give the revocation's id."""
    found: str = json.loads(cli("revoke", "small", *options, "--json").stdout)["id"]
    return found


def test_what_is_revoked_is_listed_the_latest_first(cli: Cli, program: Path) -> None:
    first = revoked(cli, "--token-id", "t-1")
    second = revoked(cli, "--subject", "alice", "--reason", "left")
    lines = cli(*LIST).stdout.splitlines()
    assert lines[0].split()[:4] == ["ID", "KIND", "ISSUER", "VALUE"]
    assert lines[1].split()[:4] == [second, "subject", "default", "alice"]
    assert lines[1].endswith("operator  left")
    assert lines[2].split()[:4] == [first, "token", "default", "t-1"]
    assert len(lines) == 3


def test_a_cutoff_is_shown_only_where_it_counts(cli: Cli, program: Path) -> None:
    revoked(cli, "--token-id", "t-1")
    assert cli(*LIST).stdout.splitlines()[1].count("UTC") == 1
    revoked(cli, "--subject", "alice")
    assert cli(*LIST).stdout.splitlines()[1].count("UTC") == 2


@pytest.mark.parametrize(
    ("options", "values"),
    [
        ([], ["s-1", "alice", "t-1"]),
        (["--kind", "subject"], ["alice"]),
        (["--kind", "key"], []),
        (["--issuer", "default"], ["s-1", "alice", "t-1"]),
        (["--issuer", "other"], []),
        (["--value", "t-1"], ["t-1"]),
        (["--limit", "2"], ["s-1", "alice"]),
    ],
)
def test_some_of_them_can_be_asked_for(
    cli: Cli, program: Path, options: list[str], values: list[str]
) -> None:
    for named in (("--token-id", "t-1"), ("--subject", "alice"), ("--sid", "s-1")):
        revoked(cli, *named)
    result = cli(*LIST, "--json", *options)
    assert [row["value"] for row in json.loads(result.stdout)] == values
    more = "The latest 2 of 3; --limit shows more.\n"
    assert result.stderr == (more if "--limit" in options else "")


def test_nothing_revoked_is_an_empty_list(cli: Cli, program: Path) -> None:
    assert cli(*LIST, "--json").stdout == "[]\n"
    assert len(cli(*LIST).stdout.splitlines()) == 1


def test_a_revocation_is_taken_back_once(cli: Cli, program: Path) -> None:
    id_ = revoked(cli, "--token-id", "t-1")
    result = cli("revocations", "delete", "small", id_)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "Taken back within a second" in result.stderr
    assert cli(*LIST, "--json").stdout == "[]\n"
    again = cli("revocations", "delete", "small", id_)
    assert again.exit_code == 2
    assert again.stderr.startswith(f"licet: no revocation of the id {id_!r} is in force in ")
    assert again.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "small", "--kind", "user"], "--kind: one of token, session, subject,"),
        (["delete", "small", ""], "ID: 1 to 255 printable characters"),
        (["list", "nothing"], "there is no module 'nothing'"),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    cli: Cli, program: Path, arguments: list[str], message: str
) -> None:
    result = cli("revocations", *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"licet: {message}")
    assert result.stderr.count("\n") == 1


def test_the_kinds_that_are_offered_are_all_there_are() -> None:
    from licet.cli.revocations import _KINDS
    from licet.db.trust_records import RevocationKind

    assert list(_KINDS) == [kind.value for kind in RevocationKind]
