from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from licet.authn.jwk import parse_key_set
from licet.authn.keys import ALGORITHMS, load_key
from licet.testing import TokenFactory, key_set
from tests.cli.conftest import Cli


def generated(cli: Cli, folder: str, algorithm: str) -> str:
    """The file of a new public key."""
    assert cli("keys", "generate", "--out", folder, "--algorithm", algorithm).exit_code == 0
    return f"{folder}/public.pem"


def keys_of(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(text)["keys"]
    return found


def test_the_id_of_a_key_is_printed_and_nothing_else(cli: Cli, folder: Path) -> None:
    result = cli("keys", "id", "public.pem")
    assert result.exit_code == 0
    key = load_key((folder / "public.pem").read_bytes(), allowed=ALGORITHMS)
    assert result.stdout == f"{key.key_id}\n"
    assert result.stderr == ""


def test_keys_of_several_files_are_a_line_each_in_their_order(cli: Cli, folder: Path) -> None:
    other = generated(cli, "other", "ES256")
    lines = [cli("keys", "id", file).stdout for file in (other, "public.pem")]
    assert cli("keys", "id", other, "public.pem").stdout == "".join(lines)


def test_the_names_in_a_key_set_are_shown_and_what_no_server_takes_is_told(
    cli: Cli, folder: Path
) -> None:
    document = json.loads(key_set(TokenFactory(key_id="a"), TokenFactory("ES256", key_id="b")))
    document["keys"].append({"kty": "unheard of"})
    (folder / "jwks.json").write_text(json.dumps(document))
    result = cli("keys", "id", "jwks.json")
    assert result.exit_code == 0
    assert result.stdout == "a\nb\n"
    assert result.stderr.startswith("jwks.json: keys[2]: of an unknown type")


@pytest.mark.parametrize(
    ("algorithm", "members"),
    [
        ("RS256", {"kty", "n", "e"}),
        ("ES256", {"kty", "crv", "x", "y"}),
        ("ES384", {"kty", "crv", "x", "y"}),
        ("ES512", {"kty", "crv", "x", "y"}),
        ("EdDSA", {"kty", "crv", "x"}),
    ],
)
def test_a_public_key_is_written_with_its_name_and_what_it_is_for(
    cli: Cli, folder: Path, algorithm: str, members: set[str]
) -> None:
    file = generated(cli, "new", algorithm)
    result = cli("keys", "jwks", file)
    assert result.exit_code == 0
    assert result.stderr == ""
    (jwk,) = keys_of(result.stdout)
    assert set(jwk) == {"kid", "use", "alg", *members}
    assert (jwk["use"], jwk["alg"]) == ("sig", algorithm)
    assert jwk["kid"] == cli("keys", "id", file).stdout.strip()


def test_a_server_reads_every_key_that_was_written(cli: Cli, folder: Path) -> None:
    names = ("RS256", "ES256", "ES384", "ES512", "EdDSA")
    files = [generated(cli, name, name) for name in names]
    text = cli("keys", "jwks", *files).stdout.encode()
    parsed = parse_key_set(text, allowed=ALGORITHMS, secrets=False, source="x")
    assert parsed.skipped == ()
    read = {key.key_id: key for key in parsed.key_set.keys}
    assert len(read) == len(files)
    for file, name in zip(files, names, strict=True):
        written = load_key(Path(file).read_bytes(), allowed=[name])
        key = read[written.key_id]
        assert key.algorithms == written.algorithms
        assert key.named
        assert key.material == written.material


def test_the_algorithm_of_rsa_keys_can_be_chosen(cli: Cli, folder: Path) -> None:
    result = cli("keys", "jwks", "public.pem", "--algorithm", "PS512")
    assert [jwk["alg"] for jwk in keys_of(result.stdout)] == ["PS512"]


def test_one_key_in_two_files_is_written_once(cli: Cli, folder: Path) -> None:
    assert len(keys_of(cli("keys", "jwks", "public.pem", "public.pem").stdout)) == 1


def test_a_key_set_is_written_for_everybody_to_read_and_replaced_only_on_demand(
    cli: Cli, folder: Path
) -> None:
    result = cli("keys", "jwks", "public.pem", "--out", "jwks.json")
    assert result.exit_code == 0
    assert result.stdout == ""
    key_id = cli("keys", "id", "public.pem").stdout.strip()
    assert result.stderr == f"Wrote jwks.json, with: {key_id}.\n"
    before = (folder / "jwks.json").read_text()
    assert before == cli("keys", "jwks", "public.pem").stdout
    assert stat.S_IMODE((folder / "jwks.json").stat().st_mode) & 0o600 == 0o600
    other = generated(cli, "other", "RS256")
    refused = cli("keys", "jwks", "public.pem", other, "--out", "jwks.json")
    assert refused.exit_code == 2
    assert "exists; --force overwrites it" in refused.stderr
    assert (folder / "jwks.json").read_text() == before
    assert cli("keys", "jwks", "public.pem", other, "--out", "jwks.json", "--force").exit_code == 0
    assert len(keys_of((folder / "jwks.json").read_text())) == 2


@pytest.mark.parametrize("command", ["id", "jwks"])
@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("private.pem", "private.pem: a private key: whoever has it signs tokens"),
        ("secret", "secret: not a key in PEM form. A shared secret is published nowhere"),
        ("damaged.pem", "damaged.pem: not a readable PEM public key"),
        ("none.pem", "'none.pem' cannot be read: No such file or directory"),
    ],
)
def test_what_is_no_public_key_is_refused_in_one_line(
    cli: Cli, folder: Path, command: str, file: str, message: str
) -> None:
    (folder / "secret").write_text("hush" * 10)
    (folder / "damaged.pem").write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n")
    result = cli("keys", command, file)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"licet: {message}")
    assert result.stderr.count("\n") == 1
    assert "hush" not in result.stderr
    assert "BEGIN PRIVATE" not in result.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "jwks.json: the document is not JSON"),
        ("{}", "jwks.json is no key set"),
        ('{"keys": [{"kty": "x"}]}', "jwks.json: no key that can be used: keys[0]: of an unknown"),
    ],
)
def test_what_is_no_key_set_is_refused_in_one_line(
    cli: Cli, folder: Path, text: str, message: str
) -> None:
    (folder / "jwks.json").write_text(text)
    result = cli("keys", "id", "jwks.json")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"licet: {message}")
    assert result.stderr.count("\n") == 1


def test_an_algorithm_that_a_key_does_not_serve_is_refused(cli: Cli, folder: Path) -> None:
    result = cli("keys", "jwks", "public.pem", "--algorithm", "ES256")
    assert result.exit_code == 2
    assert result.stderr.startswith("licet: --algorithm: public.pem signs with RS256,")
