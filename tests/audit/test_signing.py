from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.audit.signing import (
    MIN_SECRET_BYTES,
    SECRET_KEY_ID,
    Verifier,
    load_signer,
    load_verifier,
)
from licet.authn.keys import thumbprint
from licet.errors import ConfigurationError
from licet.testing import TokenFactory
from tests.support.ids import without_keys

SECRET = "correct horse battery staple, and more"  # 38 bytes
PAIR = TokenFactory("EdDSA")
OTHER = TokenFactory("EdDSA", fresh_key=True)
RSA = TokenFactory("RS256")
MESSAGE = b"a head"
Load = Callable[[str | bytes], Verifier]
KEYS = [PAIR.private_key, SECRET]
ENCRYPTED = """-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAj2gQ==
-----END ENCRYPTED PRIVATE KEY-----
"""


@pytest.mark.parametrize("key", KEYS, ids=["Ed25519", "HMAC"])
def test_what_was_signed_verifies_and_nothing_else_does(key: str) -> None:
    signer, verifier = load_signer(key), load_verifier(key)
    signature = signer.sign(MESSAGE)
    for either in (signer, verifier):
        assert either.verifies(MESSAGE, signature)
        assert not either.verifies(MESSAGE + b".", signature)
    assert verifier.key_id == signer.key_id


@pytest.mark.parametrize("key", KEYS, ids=["Ed25519", "HMAC"])
@given(st.data())
def test_any_other_text_is_no_signature(key: str, data: st.DataObject) -> None:
    signer = load_signer(key)
    signature = signer.sign(MESSAGE)
    place = data.draw(st.integers(0, len(signature)))
    length = data.draw(st.integers(0, 3))
    inserted = data.draw(st.text(max_size=3))
    changed = signature[:place] + inserted + signature[place + length :]
    assert signer.verifies(MESSAGE, changed) is (changed == signature)


@pytest.mark.parametrize("key", KEYS, ids=["Ed25519", "HMAC"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda s: s + "=",
        lambda s: s + "==",
        lambda s: s + "\n",
        lambda s: " " + s,
        lambda s: s[:10] + "!" + s[10:],
        lambda s: s.replace("-", "+").replace("_", "/") + "!",
        lambda s: s[:-1] + chr(ord(s[-1]) + 1),
        lambda s: "é" + s,
        lambda _: "",
        lambda _: "A" * 86,
        lambda s: s + s,
    ],
    ids=range(11),
)
def test_another_spelling_of_a_signature_is_none(key: str, spoil: Callable[[str], str]) -> None:
    signer = load_signer(key)
    assert not signer.verifies(MESSAGE, spoil(signer.sign(MESSAGE)))


def test_another_keys_signature_is_none() -> None:
    signature = load_signer(OTHER.private_key).sign(MESSAGE)
    assert not load_verifier(PAIR.public_key).verifies(MESSAGE, signature)
    assert not load_signer(SECRET).verifies(MESSAGE, load_signer(SECRET + ".").sign(MESSAGE))


@pytest.mark.parametrize("key", [PAIR.private_key, PAIR.public_key], ids=["private", "public"])
def test_an_ed25519_key_verifies_by_either_half_under_its_thumbprint(key: str) -> None:
    verifier = load_verifier(key)
    assert verifier.verifies(MESSAGE, load_signer(PAIR.private_key).sign(MESSAGE))
    assert verifier.key_id == thumbprint(verifier.public)  # type: ignore[attr-defined]
    assert verifier.key_id == load_signer(PAIR.private_key).key_id
    assert verifier.key_id != load_verifier(OTHER.public_key).key_id


def test_a_secret_makes_an_hmac_as_the_standard_has_it() -> None:
    """RFC 2104, with SHA-256, base64url without padding."""
    code = hmac.new(SECRET.encode(), MESSAGE, hashlib.sha256).digest()
    expected = base64.urlsafe_b64encode(code).decode().rstrip("=")
    assert load_signer(SECRET).sign(MESSAGE) == expected


def test_a_secrets_key_id_tells_nothing_of_it() -> None:
    assert load_signer(SECRET).key_id == load_signer(SECRET + ".").key_id == SECRET_KEY_ID


@pytest.mark.parametrize("load", [load_signer, load_verifier])
@pytest.mark.parametrize("key", KEYS, ids=["Ed25519", "HMAC"])
def test_a_key_may_come_as_text_or_bytes_and_with_white_space_around_it(
    load: Load, key: str
) -> None:
    signature = load_signer(key).sign(MESSAGE)
    for form in (key, key.encode(), f"\n {key.strip()}\n\n", f"{key.strip()}\r\n".encode()):
        assert load(form).verifies(MESSAGE, signature)


def test_a_secret_need_not_be_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = b"\xff\xfe" + SECRET.encode()
    monkeypatch.setenv("LICET_TEST_SECRET", os.fsdecode(raw))
    signature = load_signer(os.environ["LICET_TEST_SECRET"]).sign(MESSAGE)
    assert load_verifier(raw).verifies(MESSAGE, signature)


@pytest.mark.parametrize("load", [load_signer, load_verifier])
@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        ("", "has 0 bytes"),
        ("short", "has 5 bytes"),
        ("x" * (MIN_SECRET_BYTES - 1), "has 31 bytes"),
        (" " * 100, "has 0 bytes"),
        ("-----BEGIN PRIVATE KEY-----\nnothing\n-----END PRIVATE KEY-----\n", "no readable PEM"),
        ("-----BEGIN PUBLIC KEY-----\nnothing\n-----END PUBLIC KEY-----\n", "no readable PEM"),
        (ENCRYPTED, "no readable PEM"),
        (RSA.private_key, "no Ed25519 key"),
        (RSA.public_key, "no Ed25519 key"),
    ],
    ids=without_keys,
)
def test_what_is_no_key_is_refused_and_not_repeated(load: Load, key: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint) as refused:
        load(key)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    if key.strip():
        assert key.strip() not in str(refused.value)


def test_a_public_key_signs_nothing() -> None:
    with pytest.raises(ConfigurationError, match="signing needs the private one"):
        load_signer(PAIR.public_key)


@pytest.mark.parametrize("key", KEYS, ids=["Ed25519", "HMAC"])
def test_no_secret_is_shown(key: str) -> None:
    for made in (load_signer(key), load_verifier(key)):
        for line in key.split("\n"):
            assert line.startswith("-----") or not line or line not in repr(made)


def test_the_key_that_the_command_makes_is_one(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from licet.cli.app import app

    arguments = ["keys", "generate", "--algorithm", "EdDSA", "--out", str(tmp_path / "audit")]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    private, public = (tmp_path / "audit" / f"{n}.pem" for n in ("private", "public"))
    signature = load_signer(private.read_bytes()).sign(MESSAGE)
    assert load_verifier(public.read_bytes()).verifies(MESSAGE, signature)
