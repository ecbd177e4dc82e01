from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.cli.conftest import Cli

MINT = ("token", "mint", "--sub", "alice")


def claims_of(token: str, folder: Path, algorithm: str = "RS256") -> dict[str, Any]:
    key = (folder / "public.pem").read_text()
    claims: dict[str, Any] = jwt.decode(
        token, key, algorithms=[algorithm], options={"verify_aud": False}
    )
    return claims


def test_only_the_token_is_printed(cli: Cli, folder: Path) -> None:
    result = cli(*MINT, "--key", "private.pem", "--scope", "agents:read", "--scope", "agents:run")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout.count("\n") == 1
    claims = claims_of(result.stdout.strip(), folder)
    assert claims["sub"] == "alice"
    assert claims["scopes"] == ["agents:read", "agents:run"]
    assert claims["exp"] - claims["iat"] == 3600
    assert abs(claims["iat"] - time.time()) < 60


def test_two_tokens_have_two_ids(cli: Cli, folder: Path) -> None:
    one, two = (cli(*MINT, "--key", "private.pem").stdout.strip() for _ in range(2))
    assert claims_of(one, folder)["jti"] != claims_of(two, folder)["jti"]


def test_what_was_not_asked_for_is_not_claimed(cli: Cli, folder: Path) -> None:
    token = cli(*MINT, "--key", "private.pem").stdout.strip()
    assert set(claims_of(token, folder)) == {"sub", "iat", "exp", "jti"}


def test_every_option_becomes_its_claim(cli: Cli, folder: Path) -> None:
    options = (
        *("--aud", "one", "--iss", "https://issuer.example", "--session-id", "s1"),
        *("--expires-in", "90s", "--claim", 'org="acme"', "--claim", "level=3"),
        *("--claim", 'realm_access={"roles": ["a=b"]}'),
    )
    claims = claims_of(cli(*MINT, "--key", "private.pem", *options).stdout.strip(), folder)
    assert claims["aud"] == "one"
    assert claims["iss"] == "https://issuer.example"
    assert claims["session_id"] == "s1"
    assert claims["exp"] - claims["iat"] == 90
    assert claims["org"] == "acme"
    assert claims["level"] == 3
    assert claims["realm_access"] == {"roles": ["a=b"]}


def test_the_key_is_named_as_in_a_key_set_that_the_command_line_makes(
    cli: Cli, folder: Path
) -> None:
    token = cli(*MINT, "--key", "private.pem").stdout.strip()
    assert jwt.get_unverified_header(token)["kid"] == cli("keys", "id", "public.pem").stdout.strip()


def test_the_key_can_be_named_otherwise(cli: Cli, folder: Path) -> None:
    token = cli(*MINT, "--key", "private.pem", "--kid", "2026-a").stdout.strip()
    assert jwt.get_unverified_header(token)["kid"] == "2026-a"


def test_a_secret_has_no_name_unless_it_is_given_one(cli: Cli, folder: Path) -> None:
    (folder / "secret").write_text("s" * 32)
    token = cli(*MINT, "--secret-file", "secret").stdout.strip()
    assert "kid" not in jwt.get_unverified_header(token)
    token = cli(*MINT, "--secret-file", "secret", "--kid", "s1").stdout.strip()
    assert jwt.get_unverified_header(token)["kid"] == "s1"


def test_several_audiences_become_a_list(cli: Cli, folder: Path) -> None:
    token = cli(*MINT, "--key", "private.pem", "--aud", "one", "--aud", "two").stdout.strip()
    assert claims_of(token, folder)["aud"] == ["one", "two"]


def test_the_key_can_come_from_the_environment(cli: Cli, folder: Path) -> None:
    env = {"JWT_SIGNING_KEY": (folder / "private.pem").read_text()}
    assert claims_of(cli(*MINT, env=env).stdout.strip(), folder)["sub"] == "alice"


def test_the_environment_can_name_the_file_of_the_key(cli: Cli, folder: Path) -> None:
    env = {"JWT_SIGNING_KEY_FILE": "private.pem"}
    assert claims_of(cli(*MINT, env=env).stdout.strip(), folder)["sub"] == "alice"


def test_a_key_that_is_named_goes_before_the_environment(cli: Cli, folder: Path) -> None:
    result = cli(*MINT, "--key", "private.pem", env={"JWT_SIGNING_KEY": "nonsense"})
    assert claims_of(result.stdout.strip(), folder)["sub"] == "alice"


@pytest.mark.parametrize("algorithm", ["ES256", "ES512", "EdDSA"])
def test_the_key_decides_the_algorithm(cli: Cli, folder: Path, algorithm: str) -> None:
    cli("keys", "generate", "--out", ".", "--algorithm", algorithm, "--force")
    token = cli(*MINT, "--key", "private.pem").stdout.strip()
    assert jwt.get_unverified_header(token)["alg"] == algorithm
    assert claims_of(token, folder, algorithm)["sub"] == "alice"


def test_another_algorithm_of_the_key_can_be_chosen(cli: Cli, folder: Path) -> None:
    token = cli(*MINT, "--key", "private.pem", "--algorithm", "PS384").stdout.strip()
    assert claims_of(token, folder, "PS384")["sub"] == "alice"


def test_a_secret_comes_from_a_file(cli: Cli, folder: Path) -> None:
    (folder / "secret").write_text("s" * 32 + "\n")
    token = cli(*MINT, "--secret-file", "secret").stdout.strip()
    assert jwt.decode(token, "s" * 32, algorithms=["HS256"])["sub"] == "alice"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "nothing to sign with: give --key private.pem, or set JWT_SIGNING_KEY"),
        (["--key", "private.pem", "--secret-file", "secret"], "exclude each other"),
        (["--key", "none.pem"], "'none.pem' cannot be read: No such file or directory"),
        (["--key", "public.pem"], "a public key signs nothing"),
        (["--key", "private.pem", "--algorithm", "HS256"], "--algorithm: private.pem signs with"),
        (["--key", "private.pem", "--algorithm", "none"], "not with 'none'"),
        (["--secret-file", "private.pem"], "is no secret; use --key"),
        (["--secret-file", "short"], "5 bytes; at least 32 are needed"),
        (["--key", "private.pem", "--expires-in", "soon"], "--expires-in: a span such as"),
        (["--key", "private.pem", "--claim", "org=acme"], "'acme' is not JSON; text is quoted"),
        (["--key", "private.pem", "--claim", "x=NaN"], "'NaN' is not JSON"),
        (["--key", "private.pem", "--claim", "x=" + "[" * 100_000], "is not JSON"),
        (["--key", "private.pem", "--claim", "org"], "NAME=JSON, not 'org'"),
        (["--key", "private.pem", "--claim", "=1"], "NAME=JSON, not '=1'"),
        (["--key", "private.pem", "--claim", 'scopes=["x"]'], "an option of its own: --scope"),
        (["--key", "private.pem", "--claim", "a=1", "--claim", "a=2"], "'a' is given twice"),
    ],
)
def test_what_cannot_be_signed_is_refused_in_one_line(
    cli: Cli, folder: Path, options: list[str], message: str
) -> None:
    (folder / "short").write_text("short")
    result = cli(*MINT, *options)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("licet: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert "BEGIN PRIVATE" not in result.stderr


def test_a_key_in_the_environment_that_does_not_load_is_not_shown(cli: Cli) -> None:
    result = cli(*MINT, env={"JWT_SIGNING_KEY": "very secret text"})
    assert result.exit_code == 2
    assert result.stderr == "licet: JWT_SIGNING_KEY: not a private key in PEM form\n"


def test_a_token_without_a_subject_is_not_made(cli: Cli, folder: Path) -> None:
    assert cli("token", "mint", "--key", "private.pem").exit_code == 2
