from __future__ import annotations

import stat
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from licet.cli.algorithms import load_private_key, public_half
from tests.cli.conftest import Cli


def test_without_a_folder_both_keys_are_printed_and_advice_goes_to_stderr(cli: Cli) -> None:
    result = cli("keys", "generate")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "-----BEGIN PRIVATE KEY-----"
    assert lines[-1] == "-----END PUBLIC KEY-----"
    assert "verification_keys" in result.stderr
    assert "-----" not in result.stderr


@pytest.mark.parametrize(
    "algorithm",
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"],
)
def test_a_pair_signs_and_verifies_with_its_algorithm(
    cli: Cli, tmp_path: Path, algorithm: str
) -> None:
    assert cli("keys", "generate", "--out", tmp_path, "--algorithm", algorithm).exit_code == 0
    private, public = (tmp_path / f"{name}.pem" for name in ("private", "public"))
    token = jwt.encode({"sub": "a"}, private.read_text(), algorithm=algorithm)
    assert jwt.decode(token, public.read_text(), algorithms=[algorithm]) == {"sub": "a"}
    key = load_private_key(private.read_bytes(), source="")
    assert algorithm in public_half(key, source="").algorithms


def test_files_are_written_where_only_their_owner_reads_the_private_one(
    cli: Cli, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "keys"
    result = cli("keys", "generate", "--out", folder)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert f"licet token mint --key {folder / 'private.pem'}" in result.stderr
    assert "-----" not in result.output
    assert stat.S_IMODE((folder / "private.pem").stat().st_mode) == 0o600


@pytest.mark.parametrize("existing", ["private.pem", "public.pem"])
def test_no_key_is_overwritten_unless_forced(cli: Cli, tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_text("precious")
    refused = cli("keys", "generate", "--out", tmp_path)
    assert refused.exit_code == 2
    assert f"{existing}' exists" in refused.stderr
    assert [file.read_text() for file in tmp_path.iterdir()] == ["precious"]
    assert cli("keys", "generate", "--out", tmp_path, "--force").exit_code == 0
    assert "-----BEGIN PRIVATE" in (tmp_path / "private.pem").read_text()
    assert "-----BEGIN PUBLIC" in (tmp_path / "public.pem").read_text()


def test_a_folder_that_is_a_file_is_refused(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    result = cli("keys", "generate", "--out", tmp_path / "x")
    assert result.exit_code == 2
    assert "cannot be made" in result.stderr


def test_the_size_of_an_rsa_key_can_be_chosen(cli: Cli, tmp_path: Path) -> None:
    assert cli("keys", "generate", "--out", tmp_path, "--bits", "3072").exit_code == 0
    key = load_pem_public_key((tmp_path / "public.pem").read_bytes())
    assert isinstance(key, RSAPublicKey)
    assert key.key_size == 3072


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bits", "1024"], "--bits: 2048 to 8192, not 1024"),
        (["--bits", "99999"], "--bits: 2048 to 8192"),
        (["--bits", "2048", "--algorithm", "ES256"], "--bits: only for RSA keys"),
        (["--algorithm", "HS256"], "HS256 has no key pair"),
        (["--algorithm", "none"], "not 'none'"),
    ],
)
def test_a_pair_that_does_not_exist_is_refused_in_one_line(
    cli: Cli, options: list[str], message: str
) -> None:
    result = cli("keys", "generate", *options)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("licet: --")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
