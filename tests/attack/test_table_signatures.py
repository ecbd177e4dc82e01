"""Signatures that are none, are somebody else's, or are the same one written in another way."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from licet.testing import TokenFactory
from tests.attack.forge import SUBJECT, claims, forged, header_of, segment
from tests.attack.target import Answer, Target, Watch, pieces_of, target
from tests.support.world import ADMIN, World

RSA, EC = TokenFactory(), TokenFactory("ES256")
MALLORY = TokenFactory("ES256", fresh_key=True)
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The order of P-256 (SEC 2 §2.4.2)."""


@pytest.fixture(scope="module")
def rsa() -> Iterator[Target]:
    with target(World(tokens=RSA)) as made:
        yield made


@pytest.fixture(scope="module")
def ec() -> Iterator[Target]:
    with target(World(tokens=EC), algorithm="ES256") as made:
        yield made


@pytest.fixture
def watch(caplog: pytest.LogCaptureFixture) -> Watch:
    return Watch(caplog, [*pieces_of(RSA.public_key), *pieces_of(EC.public_key)])


def refused(attacked: Target, watch: Watch, token: bytes, reason: str) -> None:
    watch.refused(attacked, lambda: attacked.knock(token), sent=token, reason=reason)


def with_signature(token: bytes, signature: bytes) -> bytes:
    return token.rpartition(b".")[0] + b"." + segment(signature)


def raw_signature(token: bytes) -> bytes:
    encoded = token.rpartition(b".")[2]
    return base64.urlsafe_b64decode(encoded + b"=" * (-len(encoded) % 4))


def rs(r: int, s: int) -> bytes:
    return r.to_bytes(32) + s.to_bytes(32)


def halves(signature: bytes) -> tuple[int, int]:
    return int.from_bytes(signature[:32]), int.from_bytes(signature[32:])


NO_MATCH = "the signature does not match any key"
ECDSA: dict[str, Callable[[int, int], bytes]] = {
    "r=s=0": lambda _r, _s: rs(0, 0),
    "r=0": lambda _r, s: rs(0, s),
    "s=0": lambda r, _s: rs(r, 0),
    "r=n": lambda _r, s: rs(N, s),
    "s=n": lambda r, _s: rs(r, N),
    "r=s=n": lambda _r, _s: rs(N, N),
    "r=s=1": lambda _r, _s: rs(1, 1),
    "r=0, s=1": lambda _r, _s: rs(0, 1),
    "r=1, s=0": lambda _r, _s: rs(1, 0),
    "the largest": lambda _r, _s: b"\xff" * 64,
    "swapped": lambda r, s: rs(s, r),
    "in DER": encode_dss_signature,
    "of zeros in DER": lambda _r, _s: encode_dss_signature(0, 0),
    "63 bytes": lambda r, s: rs(r, s)[:-1],
    "65 bytes": lambda r, s: b"\0" + rs(r, s),
    "65 bytes, the last 0": lambda r, s: rs(r, s) + b"\0",
    "each with a 0 in front": lambda r, s: b"\0" + r.to_bytes(32) + b"\0" + s.to_bytes(32),
    "r alone": lambda r, _s: r.to_bytes(32),
    "one byte": lambda _r, _s: b"\0",
    "empty": lambda _r, _s: b"",
}


@pytest.mark.parametrize("which", ECDSA)
def test_es256_without_a_signature(ec: Target, watch: Watch, which: str) -> None:
    token = forged(EC, claims())
    watch.let_in(ec, lambda: ec.knock(token))
    attack = with_signature(token, ECDSA[which](*halves(raw_signature(token))))
    refused(ec, watch, attack, NO_MATCH)


PKCS1: dict[str, Callable[[int], bytes]] = {
    "stripped": lambda _: b"",
    "zeros": bytes,
    "one": (1).to_bytes,
    "the largest": lambda size: b"\xff" * size,
    "short": lambda size: b"\x01" * (size - 1),
    "long": lambda size: b"\x01" * (size + 1),
    "very long": lambda _: b"\x01" * 4096,
}


@pytest.mark.parametrize("which", PKCS1)
def test_rs256_without_a_signature(rsa: Target, watch: Watch, which: str) -> None:
    token = forged(RSA, claims())
    refused(rsa, watch, with_signature(token, PKCS1[which](256)), NO_MATCH)


def test_the_signature_of_another_token(rsa: Target, ec: Target, watch: Watch) -> None:
    for attacked, tokens in ((rsa, RSA), (ec, EC)):
        weak = forged(tokens, claims(scopes=[]))
        attack = with_signature(forged(tokens, claims()), raw_signature(weak))
        refused(attacked, watch, attack, NO_MATCH)


def test_the_payload_of_another_token(rsa: Target, watch: Watch) -> None:
    header, _, signature = forged(RSA, claims(scopes=[])).split(b".")
    payload = segment(json.dumps(claims(sub="ada")).encode())
    refused(rsa, watch, b".".join((header, payload, signature)), NO_MATCH)


def test_somebody_elses_key(ec: Target, watch: Watch) -> None:
    refused(ec, watch, forged(MALLORY, claims()), NO_MATCH)
    header = header_of(EC, kid="of-the-house")
    refused(ec, watch, forged(EC, claims(), header, key=MALLORY.private_key), NO_MATCH)


@pytest.mark.parametrize("part", [0, 1, 2], ids=["header", "payload", "signature"])
@pytest.mark.parametrize("kind", ["ES256", "RS256"])
def test_no_byte_can_be_changed(
    rsa: Target, ec: Target, watch: Watch, kind: str, part: int
) -> None:
    attacked, tokens = (rsa, RSA) if kind == "RS256" else (ec, EC)
    segments = forged(tokens, claims()).split(b".")
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for position, letter in enumerate(segments[part]):
        other = letters[(letters.index(letter) + 1 + 16 * (position % 4)) % 64]
        changed = bytearray(segments[part])
        changed[position] = other
        attack = b".".join((*segments[:part], bytes(changed), *segments[part + 1 :]))
        # Which reason it is depends on what the byte stood for; any is right but none.
        refused(attacked, watch, attack, "Invalid token: ")


@pytest.mark.parametrize("part", [0, 1, 2], ids=["header", "payload", "signature"])
def test_no_segment_can_be_cut(ec: Target, watch: Watch, part: int) -> None:
    segments = forged(EC, claims()).split(b".")
    for length in range(len(segments[part])):
        cut = segments[part][:length]
        attack = b".".join((*segments[:part], cut, *segments[part + 1 :]))
        refused(ec, watch, attack, "Invalid token: ")


class TestOneSignatureWrittenTwice:
    """ES256: (r, s) and (r, n - s) are both good, so a revocation must not go by the signature."""

    def revoke(self, attacked: Target, **body: Any) -> Answer:
        admin = forged(EC, claims(sub=ADMIN, scopes=["agent_os:admin"], jti=str(uuid.uuid4())))
        return attacked.ask(
            b"Authorization: Bearer " + admin,
            b"Content-Type: application/json",
            method="POST",
            path="/revocations",
            body=json.dumps(body).encode(),
        )

    def twin(self, token: bytes) -> bytes:
        r, s = halves(raw_signature(token))
        return with_signature(token, rs(r, N - s))

    def test_the_twin_falls_with_its_sibling(self, ec: Target, watch: Watch) -> None:
        # The subject's name is new, so that no other token of this second is the same.
        token = forged(EC, claims(sub=f"{SUBJECT}-{uuid.uuid4()}"))
        twin = self.twin(token)
        assert twin != token
        for each in (token, twin):
            watch.let_in(ec, lambda each=each: ec.knock(each))  # type: ignore[misc]  # a loop's own
        token_id = hashlib.sha256(token.rpartition(b".")[0]).hexdigest()
        assert self.revoke(ec, token_id=token_id).status == 201
        for each in (token, twin):
            refused(ec, watch, each, "the token was revoked")

    def test_a_twin_that_was_never_seen_falls_too(self, ec: Target, watch: Watch) -> None:
        token = forged(EC, claims(sub=f"{SUBJECT}-{uuid.uuid4()}"))
        other = forged(EC, claims(sub=f"{SUBJECT}-{uuid.uuid4()}"))
        token_id = hashlib.sha256(token.rpartition(b".")[0]).hexdigest()
        assert self.revoke(ec, token_id=token_id).status == 201
        refused(ec, watch, self.twin(token), "the token was revoked")
        watch.let_in(ec, lambda: ec.knock(other))

    def test_the_same_of_a_token_with_an_id(self, ec: Target, watch: Watch) -> None:
        token = forged(EC, claims(jti="stolen"))
        assert self.revoke(ec, token_id="stolen").status == 201
        refused(ec, watch, token, "the token was revoked")
        refused(ec, watch, self.twin(token), "the token was revoked")
