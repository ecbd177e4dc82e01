from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from licet.db.in_memory import InMemoryDb
from licet.doctor.issuers import IssuersCheck
from tests.doctor.deployments import FACTORY, codes, deployed, found

KEYS = {"verification_keys": [FACTORY.public_key]}
EXPIRED_ON = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({**KEYS, "verify_audience": True}, []),
        (KEYS, ["audience_optional"]),
        ({**KEYS, "audience": "shop"}, ["audience_optional"]),
        ({"jwks_url": "https://a.test/keys", "verify_audience": True}, ["issuer_unnamed"]),
        (
            {
                "jwks_url": "https://a.test/keys",
                "issuer": "https://a.test",
                "verify_audience": True,
            },
            [],
        ),
    ],
)
async def test_rules_that_take_tokens_of_others_are_told(
    config: dict[str, Any], expected: list[str]
) -> None:
    assert await codes(IssuersCheck(), deployed(db=InMemoryDb(), config=config)) == expected


async def test_the_audience_to_ask_for_is_named() -> None:
    (finding,) = await found(IssuersCheck(), deployed(db=InMemoryDb(), config=KEYS))
    assert finding.where == "issuer 'default'"
    assert "'shop'" in finding.remedy


@pytest.mark.parametrize("as_text", [True, False])
async def test_a_certificate_that_has_expired_is_told(*, as_text: bool) -> None:
    pem = certificate()
    config = {
        "verification_keys": [FACTORY.public_key, pem.decode() if as_text else pem],
        "verify_audience": True,
    }
    after, before = EXPIRED_ON + timedelta(days=1), EXPIRED_ON - timedelta(days=1)
    (finding,) = await found(
        IssuersCheck(), deployed(db=InMemoryDb(), config=config, now=after.timestamp)
    )
    assert finding.kind.code == "certificate_expired"
    assert finding.where == "issuer 'default', verification_keys[1]"
    assert "2026-03-01" in finding.what
    right = deployed(db=InMemoryDb(), config=config, now=before.timestamp)
    assert await codes(IssuersCheck(), right) == []


async def test_without_authorization_there_is_no_issuer() -> None:
    assert await codes(IssuersCheck(), deployed(db=InMemoryDb(), authorization=False)) == []


def certificate() -> bytes:
    """One that signed itself, until ``EXPIRED_ON``."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sso.test")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(EXPIRED_ON - timedelta(days=365))
        .not_valid_after(EXPIRED_ON)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)
