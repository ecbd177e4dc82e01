from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from licet.cli.token_reading import read_token
from licet.db.trust_base import TrustStore
from licet.db.trust_records import RevocationKind, RevocationQuery, RevocationRecord
from tests.cli.conftest import Cli, ask_store
from tests.cli.programs import APP, TWO_ISSUERS, UNREACHABLE_KEYS, guarded, stored, write
from tests.support.process import free_port, licet, running

DAY_SECONDS = 86_400
KEPT_DAYS = 3650
LEEWAY_SECONDS = 10
LIMIT_SECONDS = 1.0


def in_force(folder: Path) -> Sequence[RevocationRecord]:
    async def listed(store: TrustStore) -> Sequence[RevocationRecord]:
        now_us = time.time_ns() // 1000
        return (await store.list_revocations(RevocationQuery(now_us=now_us))).revocations

    return ask_store(folder, listed)


def only(folder: Path) -> RevocationRecord:
    (record,) = in_force(folder)
    return record


def token_of(folder: Path, key: str = "private.pem", **claims: Any) -> str:
    given = {"sub": "alice", "exp": int(time.time()) + 3600, "scopes": ["agents:read"], **claims}
    return jwt.encode(given, (folder / key).read_text(), algorithm="RS256")


def kept_days(record: RevocationRecord) -> float:
    return (record.expires_at_us - record.created_at_us) / 1_000_000 / DAY_SECONDS


@pytest.mark.parametrize(
    ("option", "kind"),
    [
        ("--token-id", RevocationKind.TOKEN),
        ("--sid", RevocationKind.SESSION),
        ("--subject", RevocationKind.SUBJECT),
        ("--key-id", RevocationKind.KEY),
    ],
)
def test_what_is_named_is_stored_as_revoked_by_the_operator(
    cli: Cli, program: Path, option: str, kind: RevocationKind
) -> None:
    result = cli("revoke", "small", option, "x-1", "--reason", "lost\x1b device")
    assert result.exit_code == 0, result.stderr
    record = only(program)
    assert (record.kind, record.issuer_alias, record.value) == (kind, "default", "x-1")
    assert (record.created_by, record.reason) == ("operator", "lost\x1b device")
    assert abs(record.created_at_us / 1_000_000 - time.time()) < 60
    assert "x-1" in result.stdout
    assert record.id in result.stdout
    assert f"licet revocations delete PROGRAM {record.id}" in result.stderr
    assert str(program / "small.db") in result.stderr
    assert "\x1b" not in result.output


def test_json_is_what_the_http_interface_answers(cli: Cli, program: Path) -> None:
    shown = json.loads(cli("revoke", "small", "--token-id", "t-1", "--json").stdout)
    record = only(program)
    assert shown == {
        "id": record.id,
        "kind": "token",
        "issuer": "default",
        "value": "t-1",
        "issued_before": record.issued_before_us // 1_000_000,
        "expires_at": record.expires_at_us // 1_000_000,
        "created_by": "operator",
        "created_at": record.created_at_us // 1_000_000,
    }


def test_of_a_subject_only_what_was_issued_before_a_time_can_be_revoked(
    cli: Cli, program: Path
) -> None:
    result = cli("revoke", "small", "--subject", "alice", "--issued-before", "2026-01-31T18:00:00Z")
    assert only(program).issued_before_us == 1_769_882_400 * 1_000_000
    assert "2026-01-31 18:00:00 UTC" in result.stdout
    assert "revoked for good" in result.stderr


@pytest.mark.parametrize(
    ("options", "days"), [([], KEPT_DAYS), (["--expires-in", "36h"], 1.5)], ids=["usual", "given"]
)
def test_a_revocation_is_in_force_as_long_as_was_said(
    cli: Cli, program: Path, options: list[str], days: float
) -> None:
    cli("revoke", "small", "--token-id", "t-1", *options)
    assert kept_days(only(program)) == pytest.approx(days, abs=0.01)


@pytest.mark.parametrize("way", ["file", "stdin"])
@pytest.mark.parametrize("jti", ["t-1", None])
def test_a_token_in_hand_is_revoked_by_its_id_until_its_work_would_have_ended(
    cli: Cli, program: Path, way: str, jti: str | None
) -> None:
    expiry = int(time.time()) + 7200
    token = token_of(program, exp=expiry, **({} if jti is None else {"jti": jti}))
    (program / "token").write_text(f"Bearer {token}\n")
    result = cli(
        *("revoke", "small", "--token-file", "token" if way == "file" else "-"), input=token
    )
    assert result.exit_code == 0, result.stderr
    record = only(program)
    assert record.kind is RevocationKind.TOKEN
    assert record.value == (jti or read_token(token.encode()).token_id)
    # What it has started may wait for its turn that long.
    assert kept_days(record) == pytest.approx(30, abs=0.01)
    assert token not in result.output
    assert token.rpartition(".")[2] not in result.output


def test_where_work_ends_with_the_token_it_is_revoked_until_it_would_have_ended(
    cli: Cli, folder: Path
) -> None:
    write(folder, "small.py", stored('run_authority="token"') + APP)
    expiry = int(time.time()) + 7200
    (folder / "token").write_text(token_of(folder, exp=expiry))
    assert cli("revoke", "small", "--token-file", "token").exit_code == 0
    assert only(folder).expires_at_us == (expiry + 2 * LEEWAY_SECONDS) * 1_000_000


def test_what_a_token_says_of_its_end_is_not_believed_unless_it_verifies(
    cli: Cli, program: Path
) -> None:
    cli("keys", "generate", "--out", "other")
    soon = int(time.time()) + 60
    forged = token_of(program, "other/private.pem", jti="t-1", exp=soon)
    result = cli("revoke", "small", "--token-file", "-", input=forged)
    assert result.exit_code == 0
    assert only(program).value == "t-1"
    assert kept_days(only(program)) == pytest.approx(KEPT_DAYS, abs=0.01)
    assert "The token was not verified (the signature does not match any key)" in result.stderr


@pytest.mark.parametrize("exp", [-7200, -2 * LEEWAY_SECONDS - 1])
def test_an_expired_token_is_revoked_for_what_it_started(cli: Cli, program: Path, exp: int) -> None:
    token = token_of(program, jti="t-1", exp=int(time.time()) + exp)
    result = cli("revoke", "small", "--token-file", "-", input=token)
    assert only(program).value == "t-1"
    assert kept_days(only(program)) == pytest.approx(KEPT_DAYS, abs=0.01)
    assert "The token has expired." in result.stderr


@pytest.mark.parametrize("exp", [10**15, 253_402_300_799, "soon", True, None])
def test_a_token_whose_end_is_far_or_none_is_revoked_all_the_same(
    cli: Cli, program: Path, exp: Any
) -> None:
    # By hand: an encoder of tokens refuses such dates.
    token = jwt.api_jws.encode(
        json.dumps({"sub": "a", "jti": "t-1", "exp": exp}).encode(),
        (program / "private.pem").read_text(),
        algorithm="RS256",
    )
    assert cli("revoke", "small", "--token-file", "-", input=token).exit_code == 0
    assert kept_days(only(program)) >= KEPT_DAYS - 1


def test_a_token_is_its_issuers_that_it_names(cli: Cli, folder: Path) -> None:
    write(folder, "small.py", stored(TWO_ISSUERS) + APP)
    token = token_of(folder, iss="https://b.test", jti="t-1")
    assert cli("revoke", "small", "--token-file", "-", input=token).exit_code == 0
    assert only(folder).issuer_alias == "partner"


@pytest.mark.parametrize("named", [("--token-file", "-"), ("--subject", "alice")])
def test_whose_it_is_can_be_said(cli: Cli, folder: Path, named: tuple[str, str]) -> None:
    write(folder, "small.py", stored(TWO_ISSUERS) + APP)
    token = token_of(folder, jti="t-1")
    result = cli("revoke", "small", *named, "--issuer", "partner", input=token)
    assert result.exit_code == 0, result.stderr
    assert only(folder).issuer_alias == "partner"


def test_a_key_id_that_no_key_has_is_told(cli: Cli, program: Path) -> None:
    known = cli("keys", "id", "public.pem").stdout.strip()
    result = cli("revoke", "small", "--key-id", "no-such")
    assert f"At present no key of 'default' has this id; its keys are: {known}" in result.stderr
    result = cli("revoke", "small", "--key-id", known)
    assert "At present" not in result.stderr
    assert {record.value for record in in_force(program)} == {"no-such", known}


def test_it_works_also_while_the_issuers_keys_cannot_be_read(cli: Cli, folder: Path) -> None:
    write(folder, "small.py", stored(UNREACHABLE_KEYS) + APP)
    cli("keys", "generate", "--out", "other")
    token = token_of(folder, "other/private.pem", jti="t-1")
    result = cli("revoke", "small", "--token-file", "-", input=token)
    assert result.exit_code == 0
    assert "not verified (the issuer's keys cannot be read at present)" in result.stderr
    result = cli("revoke", "small", "--key-id", "k-1")
    assert result.exit_code == 0
    assert "At present no key" not in result.stderr
    assert {record.value for record in in_force(folder)} == {"t-1", "k-1"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "name one thing to revoke, by one of --token-id, --token-file,"),
        (["--sid", "a", "--subject", "b"], "name one thing to revoke"),
        (["--sid", ""], "--sid: 1 to 255 printable characters"),
        (["--sid", "a", "--issuer", "nobody"], "issuer: the alias of a trusted issuer, one of"),
        (["--token-file", "-", "--issuer", "nobody"], "--issuer: the alias of a trusted issuer"),
        (["--sid", "a", "--issued-before", "2026-01-31T18:00:00Z"], "--issued-before: only with"),
        (["--subject", "a", "--issued-before", "yesterday"], "--issued-before: a time with its"),
        (["--subject", "a", "--issued-before", "2999-01-01T00:00:00Z"], "issued_before: at most"),
        (["--sid", "a", "--expires-in", "soon"], "--expires-in: a span such as"),
        (["--sid", "a", "--reason", "x" * 501], "--reason: at most 500 characters"),
        (["--token-file", "none"], "'none' cannot be read"),
        (["--token-file", "private.pem"], "--token-file: a token as servers take them, but"),
        (["--service-account", "nobody"], "Service account 'nobody' not found"),
    ],
)
def test_what_cannot_be_revoked_is_refused_in_one_line(
    cli: Cli, program: Path, options: list[str], message: str
) -> None:
    assert cli("revocations", "list", "small").exit_code == 0
    result = cli("revoke", "small", *options, input=token_of(program))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"licet: {message}")
    assert result.stderr.count("\n") == 1
    assert in_force(program) == ()


def test_a_token_of_somebody_who_is_not_trusted_is_refused(cli: Cli, folder: Path) -> None:
    write(folder, "small.py", stored(TWO_ISSUERS) + APP)
    result = cli("revoke", "small", "--token-file", "-", input=token_of(folder, iss="https://c"))
    assert result.exit_code == 2
    assert "--token-file: a token of a trusted issuer; this one names another" in result.stderr
    assert "default, partner" in result.stderr


def test_a_database_in_memory_is_refused(cli: Cli, folder: Path) -> None:
    write(folder, "small.py", guarded() + APP)
    result = cli("revoke", "small", "--subject", "alice")
    assert result.exit_code == 2
    assert "its database is an InMemoryDb" in result.stderr


def wait_for_refusal(url: str, headers: dict[str, str], *, since: float) -> float:
    """Seconds until somebody who was let in is not any more."""
    while httpx.get(f"{url}/agents", headers=headers).status_code == 200:
        assert time.monotonic() - since < 20, "it is still taken"
    answer = httpx.get(f"{url}/agents", headers=headers)
    assert answer.status_code == 401
    return time.monotonic() - since


def test_a_running_server_refuses_within_a_second_what_was_revoked(cli: Cli, program: Path) -> None:
    bot = cli("service-accounts", "create", "small", "bot", "--scope", "agents:read").stdout
    key_id = cli("keys", "id", "public.pem").stdout.strip()
    (program / "leaked").write_text(token_of(program, sub="bob", jti="t-1"))
    # The key last: with it everything ends that it signed.
    cases = [
        (["--token-file", "leaked"], (program / "leaked").read_text()),
        (["--sid", "s-1"], token_of(program, sub="eve", sid="s-1")),
        (["--subject", "olga"], token_of(program, sub="olga")),
        (["--service-account", "bot"], bot.strip()),
        (["--key-id", key_id], token_of(program, sub="alice")),
    ]
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with running(licet("serve", "small:app", "--port", str(port)), cwd=program) as process:
        process.wait_until_serving(f"{url}/health")
        seconds = []
        for options, token in cases:
            headers = {"Authorization": f"Bearer {token}"}
            assert httpx.get(f"{url}/agents", headers=headers).status_code == 200, options
            result = cli("revoke", "small", *options)
            assert result.exit_code == 0, result.stderr
            seconds.append(wait_for_refusal(url, headers, since=time.monotonic()))
            assert token not in result.output
        # The middle one: other tests run beside this one, on the same two cores.
        assert sorted(seconds)[len(seconds) // 2] < LIMIT_SECONDS
        assert not any(token in process.output for _, token in cases)


def test_the_installed_command_revokes_for_a_program_in_its_folder(program: Path) -> None:
    command = licet("revoke", "small", "--subject", "alice")
    with running(command, cwd=program) as process:
        assert process.popen.wait(timeout=60) == 0, process.output
    assert only(program).value == "alice"


def test_a_service_account_is_revoked_by_the_token_that_leaked(cli: Cli, program: Path) -> None:
    old = cli("service-accounts", "create", "small", "bot").stdout
    for token, which in ((old, "an older token"), (None, "the token")):
        new = cli("service-accounts", "rotate", "small", "bot").stdout
        result = cli("revoke", "small", "--token-file", "-", input=token or new)
        assert result.exit_code == 0, result.stderr
        assert f"It is {which} of the service account 'bot'." in result.stderr
        assert "for good" in result.stdout
        assert (token or new).strip() not in result.output
        assert only(program).kind is RevocationKind.SERVICE_ACCOUNT
        assert cli("service-accounts", "list", "small", "--json").stdout == "[]\n"
        cli("revocations", "delete", "small", only(program).id)
        cli("service-accounts", "create", "small", "bot")


def test_a_service_token_that_nobody_has_is_refused(cli: Cli, program: Path) -> None:
    token = "licet_sa_" + "A" * 43
    result = cli("revoke", "small", "--token-file", "-", input=token)
    assert result.exit_code == 2
    assert "--token-file: no service account has this token" in result.stderr
    assert token not in result.output


@pytest.mark.parametrize("option", [("--issuer", "default"), ("--expires-in", "1h")])
def test_what_has_no_effect_on_a_service_account_is_refused(
    cli: Cli, program: Path, option: tuple[str, str]
) -> None:
    cli("service-accounts", "create", "small", "bot")
    result = cli("revoke", "small", "--service-account", "bot", *option)
    assert result.exit_code == 2
    assert f"licet: {option[0]}: not for a service account" in result.stderr
    assert in_force(program) == ()


def test_what_would_end_no_service_account_says_what_does(cli: Cli, program: Path) -> None:
    made = json.loads(cli("service-accounts", "create", "small", "nightly", "--json").stdout)
    digest = hashlib.sha256(made["token"].encode()).hexdigest()
    for option, value, account in (
        ("--subject", "sa:nightly", "nightly"),
        ("--token-id", made["id"], made["id"]),
        ("--key-id", digest, made["id"]),
    ):
        result = cli("revoke", "small", option, value)
        assert result.exit_code == 2
        said = f"{option}: {value!r} is a service account's; use --service-account {account}"
        assert result.stderr.rstrip().endswith(said)
    assert in_force(program) == ()
