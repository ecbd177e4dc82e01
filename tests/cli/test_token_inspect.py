from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.authn.issuer import TrustedIssuer
from licet.authn.jwt import JwtVerifier
from licet.authn.key_sources import key_source
from licet.cli.token_reading import (
    ReadToken,
    describe_scope,
    described,
    read_token,
    readable_scopes,
)
from tests.cli.conftest import Cli

HOUR_SECONDS = 3600


def segment(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def unsigned(claims: Any, **header: Any) -> str:
    return f"{segment({'alg': 'RS256', **header})}.{segment(claims)}.{segment(b'signature')}"


def signed(folder: Path, **claims: Any) -> str:
    given = {"sub": "alice", "exp": int(time.time()) + HOUR_SECONDS, **claims}
    return jwt.encode(given, (folder / "private.pem").read_text(), algorithm="RS256")


def test_a_minted_token_verifies_and_shows_what_it_grants(cli: Cli, folder: Path) -> None:
    scopes = ("--scope", "agents:helper:run", "--scope", "reports:read")
    minted = cli("token", "mint", "--key", "private.pem", "--sub", "alice", *scopes)
    result = cli("token", "inspect", "--key", "public.pem", input=minted.stdout)
    assert result.exit_code == 0
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0] == "VERIFIED with public.pem"
    assert 'alg  "RS256"' in lines
    assert any(line.startswith('sub     "alice"') for line in lines)
    assert any("expires in 59 minutes" in line for line in lines)
    assert "agents:helper:run  run one of the agents: helper" in lines
    assert any(line.startswith("reports:read       nothing: there is no") for line in lines)
    assert minted.stdout.strip() not in result.output


def test_a_secret_verifies_what_it_signed(cli: Cli, folder: Path) -> None:
    (folder / "secret").write_text("s" * 40 + "\n")
    minted = cli("token", "mint", "--secret-file", "secret", "--sub", "alice")
    result = cli("token", "inspect", "--secret-file", "secret", input=minted.stdout)
    assert result.stdout.startswith("VERIFIED with secret\n")


@pytest.mark.parametrize("form", ["{}", "-", "Bearer {}", "  bearer {} \n"])
def test_a_token_comes_as_argument_or_from_standard_input(
    cli: Cli, folder: Path, form: str
) -> None:
    token = signed(folder)
    result = cli("token", "inspect", form.format(token), "--key", "public.pem", input=token)
    assert result.exit_code == 0
    assert result.stdout.startswith("VERIFIED")


def test_without_a_key_nothing_is_called_verified(cli: Cli, folder: Path) -> None:
    result = cli("token", "inspect", input=unsigned({"sub": "mallory"}))
    assert result.exit_code == 0
    assert result.stdout.startswith("NOT VERIFIED: anybody can write what stands below.")
    assert '"mallory"' in result.stdout


def ids_of(output: str) -> dict[str, str]:
    """The rows of the table of ids: what the thing is, and what it is called."""
    rows = output.partition("\nIds\n")[2].partition("\n\n")[0].splitlines()
    cells = [re.split(" {2,}", row) for row in rows]
    assert all(option == f"licet revoke --{name.replace(' ', '-')}" for name, _, option in cells)
    return {name: value for name, value, _ in cells}


def test_what_revokes_a_token_and_its_key_is_shown(cli: Cli, folder: Path) -> None:
    token = signed(folder, jti="t-1")
    result = cli("token", "inspect", "--key", "public.pem", input=token)
    key_id = cli("keys", "id", "public.pem").stdout.strip()
    assert ids_of(result.stdout) == {"token id": "t-1", "key id": key_id}


def test_the_key_of_a_token_that_was_not_verified_is_not_claimed(cli: Cli, folder: Path) -> None:
    assert ids_of(cli("token", "inspect", input=signed(folder, jti="t-1")).stdout) == {
        "token id": "t-1"
    }


def test_without_a_jti_the_digest_is_shown_that_a_server_calls_the_token_by(
    cli: Cli, folder: Path
) -> None:
    token = signed(folder)
    issuer = TrustedIssuer(verification_keys=[(folder / "public.pem").read_text()])
    principal = JwtVerifier(issuer, key_source(issuer)).verify(token.encode()).principal
    shown = ids_of(cli("token", "inspect", input=token).stdout)
    assert shown == {"token id": principal.token_id}


def test_a_token_that_no_server_takes_has_no_id(cli: Cli) -> None:
    result = cli("token", "inspect", input=unsigned({"jti": 7}))
    assert result.exit_code == 1
    assert result.stdout.startswith("REFUSED: the claim 'jti' is not a text")
    assert "Ids" not in result.stdout


def test_a_key_set_verifies_what_one_of_its_keys_signed(cli: Cli, folder: Path) -> None:
    cli("keys", "generate", "--out", "new", "--algorithm", "ES256")
    cli("keys", "jwks", "public.pem", "new/public.pem", "--out", "jwks.json")
    for key in ("private.pem", "new/private.pem"):
        token = cli("token", "mint", "--key", key, "--sub", "alice").stdout
        result = cli("token", "inspect", "--jwks-file", "jwks.json", input=token)
        assert result.exit_code == 0
        assert result.stdout.startswith("VERIFIED with jwks.json\n")
        public = key.replace("private", "public")
        assert ids_of(result.stdout)["key id"] == cli("keys", "id", public).stdout.strip()


def test_a_key_that_is_not_in_the_set_is_refused(cli: Cli, folder: Path) -> None:
    token = signed(folder)
    cli("keys", "generate", "--out", "new")
    cli("keys", "jwks", "new/public.pem", "--out", "jwks.json")
    result = cli("token", "inspect", "--jwks-file", "jwks.json", input=token)
    assert result.exit_code == 1
    assert result.stdout.startswith("REFUSED: the signature does not match any key\n")


def test_an_expired_token_says_since_when(cli: Cli, folder: Path) -> None:
    token = signed(folder, exp=int(time.time()) - 190)
    result = cli("token", "inspect", "--key", "public.pem", input=token)
    assert result.exit_code == 1
    assert result.stdout.startswith("REFUSED: the token has expired\n")
    assert "expired 3 minutes ago" in result.stdout


def test_anothers_signature_is_refused(cli: Cli, folder: Path) -> None:
    token = signed(folder)
    cli("keys", "generate", "--out", ".", "--force")
    result = cli("token", "inspect", "--key", "public.pem", input=token)
    assert result.exit_code == 1
    assert result.stdout.startswith("REFUSED: the signature does not match any key\n")


def test_a_token_signed_with_the_public_key_as_secret_is_refused(cli: Cli, folder: Path) -> None:
    header_and_claims = f"{segment({'alg': 'HS256'})}.{segment({'sub': 'x', 'exp': 9e9})}"
    result = cli(
        "token", "inspect", "--key", "public.pem", input=f"{header_and_claims}.{segment(b'x' * 32)}"
    )
    assert result.exit_code == 1
    assert result.stdout.startswith("REFUSED: the algorithm 'HS256' is not allowed here")


@pytest.mark.parametrize(
    ("named", "wanted", "verdict"),
    [
        ("small-os", ["small-os"], "VERIFIED with public.pem"),
        (["other", "small-os"], ["small-os"], "VERIFIED with public.pem"),
        ("other", ["small-os"], "REFUSED: the token is for another audience (aud)"),
        ("other", ["small-os", "other"], "VERIFIED with public.pem"),
        (None, ["small-os"], "REFUSED: the token names no audience (aud)"),
        ("other", [], "VERIFIED with public.pem"),
        (["other"], [], "VERIFIED with public.pem"),
        ("", [], "REFUSED: the token is for another audience (aud)"),
        (7, [], "REFUSED: the claim 'aud' is neither a text nor a list of texts"),
        (None, [], "VERIFIED with public.pem"),
    ],
)
def test_an_audience_is_compared_when_one_is_named(
    cli: Cli, folder: Path, named: Any, wanted: list[str], verdict: str
) -> None:
    claims = {} if named is None else {"aud": named}
    options = [part for name in wanted for part in ("--audience", name)]
    result = cli(
        "token", "inspect", "--key", "public.pem", *options, input=signed(folder, **claims)
    )
    assert result.stdout.splitlines()[0] == verdict
    verified = verdict.startswith("VERIFIED")
    assert result.exit_code == (0 if verified else 1)
    unchecked = verified and named is not None and not wanted
    assert ("The audience was not checked" in result.stderr) is unchecked


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("", "the header is not JSON"),
        ("x", "the header is not base64url"),
        ("a.b.c", "the header is not base64url"),
        (f"{segment({'alg': 'RS256'})}.e30", "not three segments"),
        (".".join([segment({"alg": "dir"})] * 5), "encrypted tokens (JWE) are not taken"),
        (unsigned({}, jwk={}), "the header brings its own key (jwk)"),
        (unsigned({}, crit=["x"]), "the header asks for an extension"),
        (unsigned([]), "the payload is not a JSON object"),
        (unsigned(b'{"sub": "a", "sub": "b"}'), "the payload has a member twice"),
        (unsigned(b'{"exp": NaN}'), "the payload has a number that is none"),
        ("x" * 20_000, "the token is larger than 16384 bytes"),
        ("tökén", "the header is not"),
    ],
)
@pytest.mark.parametrize("key", [(), ("--key", "public.pem")], ids=["without", "with"])
def test_what_no_server_takes_is_refused_without_a_key_too(
    cli: Cli, folder: Path, token: str, reason: str, key: tuple[str, ...]
) -> None:
    result = cli("token", "inspect", *key, input=token)
    assert result.exit_code == 1
    assert result.stdout.startswith(f"REFUSED: {reason}")


def test_a_refused_header_is_still_shown(cli: Cli) -> None:
    result = cli("token", "inspect", input=unsigned({}, jku="https://evil.example"))
    assert 'jku  "https://evil.example"' in result.stdout


def test_a_claim_cannot_write_on_the_terminal(cli: Cli) -> None:
    claims = {"sub": "a\x1b[2J\u202eb", "x\x1b[1A": "[bold]c", "scopes": ["\x9bx:y"]}
    result = cli("token", "inspect", input=unsigned(claims))
    assert result.exit_code == 0
    assert "[bold]c" in result.stdout
    assert result.stdout.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--key", "private.pem"], "a private key was given as verification key"),
        (["--key", "none.pem"], "'none.pem' cannot be read"),
        (["--key", "secret"], "not a key in PEM form; a secret is given with --secret-file"),
        (["--secret-file", "public.pem"], "is no secret; use --key"),
        (["--secret-file", "short"], "at least 32 are needed"),
        (["--key", "public.pem", "--secret-file", "secret"], "exclude each other"),
        (["--key", "public.pem", "--jwks-file", "jwks.json"], "exclude each other"),
        (["--jwks-file", "none.json"], "'none.json': No such file"),
        (["--jwks-file", "public.pem"], "jwks_file 'public.pem': the file: the document is not"),
    ],
)
def test_a_key_that_cannot_verify_is_one_line(
    cli: Cli, folder: Path, options: list[str], message: str
) -> None:
    (folder / "secret").write_text("s" * 40)
    (folder / "short").write_text("s" * 5)
    result = cli("token", "inspect", *options, input=signed(folder))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("licet: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert "sss" not in result.stderr


@pytest.mark.parametrize(
    ("scope", "meaning"),
    [
        ("agent_os:admin", "everything: the administrator's"),
        ("agents:run", "run all agents"),
        ("agents:*:run", "run all agents"),
        ("agents:helper:run", "run one of the agents: helper"),
        ("config:read", "read the config"),
        ("system:read", "read the config"),
    ],
)
def test_a_scope_is_told_in_words(scope: str, meaning: str) -> None:
    assert describe_scope(scope) == meaning


@pytest.mark.parametrize("scope", ["agents", "agents:fly", "agents:a:b:run", "config:x:read", ""])
def test_a_scope_that_grants_nothing_says_why(scope: str) -> None:
    assert describe_scope(scope).startswith("nothing: ")


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({}, ()),
        ({"scopes": ["a:b"], "scope": "c:d"}, ("a:b",)),
        ({"scope": "a:b c:d"}, ("a:b", "c:d")),
        ({"scp": ["a:b", 7]}, ()),
        ({"scopes": [], "scope": "c:d"}, ()),
        ({"scopes": 7, "scope": "c:d"}, ()),
        ({"scopes": None, "scope": "c:d"}, ()),
    ],
)
def test_scopes_are_those_of_the_first_claim(
    claims: dict[str, Any], scopes: tuple[str, ...]
) -> None:
    assert readable_scopes(claims) == scopes


def nested(depth: int) -> ReadToken:
    return read_token(unsigned(b'{"x": ' + b"[" * depth + b"]" * depth + b"}").encode())


def deeper(frames: int, claims: Mapping[str, Any]) -> list[tuple[str, str]]:
    return deeper(frames - 1, claims) if frames else described(claims, now=0)


def test_claims_that_can_just_be_read_are_not_written_either() -> None:
    deepest = next(read for depth in range(3000, 0, -1) if not (read := nested(depth)).refusal)
    assert nested(3000).refusal == "the payload is not JSON"
    assert deeper(50, deepest.claims) == [("x", "nested too deeply to be shown")]


@given(st.binary() | st.text().map(lambda text: unsigned({"sub": text}).encode()))
def test_any_bytes_are_read_or_refused(token: bytes) -> None:
    read = read_token(token)
    assert read.refusal or read.claims
