"""An auth server, a clock, keys that change, a trust store, and what a verifier says."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, Protocol, cast

import pytest

from licet.authn.base import Authentication, Credentials
from licet.authn.issuer import TrustedIssuer
from licet.authn.jwt import JwtVerifier, TokenVerifier
from licet.authn.key_set import KeySet
from licet.authn.key_source import StaticKeys
from licet.authn.keys import VerificationKey, load_key
from licet.authn.principal import Principal
from licet.authn.refusal import TokenRefusedError
from licet.db.in_memory import InMemoryDb
from licet.db.trust_base import TrustStore
from licet.db.trust_records import RevocationKind, RevocationRecord, ServiceAccountRecord
from licet.errors import StorageError
from licet.testing.tokens import TokenFactory

NOW = 1_800_000_000
NOW_US = NOW * 1_000_000


class Clock:
    """Stands still until it is moved."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Keys(StaticKeys):
    """A source whose keys change: ``coming`` are what the next question finds."""

    def __init__(self, keys: KeySet, *, coming: KeySet | None = None) -> None:
        super().__init__(keys)
        self.keys = keys
        self.coming = coming
        self.asked = 0

    def current(self) -> KeySet:
        return self.keys

    async def refetch(self) -> bool:
        self.asked += 1
        await asyncio.sleep(0)
        if self.coming is None:
            return False
        self.keys, self.coming = self.coming, None
        return True


class Store:
    """The trust store of a database; counts look-ups, and fails when it shall."""

    def __init__(self) -> None:
        self.inner = InMemoryDb().trust()
        self.failing = False
        self.looked_up: list[str] = []
        self.touched: list[tuple[str, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def as_store(self) -> TrustStore:
        return cast("TrustStore", self)

    async def find_service_account(self, token_digest: str) -> ServiceAccountRecord | None:
        self.looked_up.append(token_digest)
        await asyncio.sleep(0)
        if self.failing:
            raise StorageError("the database is gone")
        return await self.inner.find_service_account(token_digest)

    async def touch_service_account(self, account_id: str, *, last_used_at_us: int) -> None:
        self.touched.append((account_id, last_used_at_us))
        if self.failing:
            raise StorageError("the database is gone")
        await self.inner.touch_service_account(account_id, last_used_at_us=last_used_at_us)


class Fixed:
    """Always gives one answer, and remembers what it was asked; credentials or tokens."""

    def __init__(self, answer: Authentication) -> None:
        self.answer = answer
        self.asked: list[Credentials] = []
        self.tokens: list[bytes] = []

    async def authenticate(self, credentials: Credentials) -> Authentication:
        self.asked.append(credentials)
        return self.answer

    async def authenticate_token(self, token: bytes) -> Authentication:
        self.tokens.append(token)
        return self.answer


class Verifies(Protocol):
    """Whatever verifies tokens."""

    def verify(self, token: bytes) -> object: ...


def factory(algorithm: str = "RS256", **given: Any) -> TokenFactory:
    """An auth server of the year 2027."""
    return TokenFactory(algorithm, now=Clock(), **given)


def keys_of(*tokens: TokenFactory) -> KeySet:
    """The keys of auth servers as they publish them: with names, where they have some."""
    return KeySet(tuple(_key_of(each) for each in tokens))


def _key_of(tokens: TokenFactory) -> VerificationKey:
    key = load_key(tokens.public_key, allowed=[tokens.algorithm])
    return key if tokens.key_id is None else replace(key, key_id=tokens.key_id, named=True)


def issuer_of(tokens: TokenFactory, **rules: Any) -> TrustedIssuer:
    """Trust in an auth server, by its key."""
    rules = {
        "verification_keys": [tokens.public_key],
        "algorithms": [tokens.algorithm],
        "audience": "os",
        **rules,
    }
    return TrustedIssuer(**rules)


def verifier(tokens: TokenFactory, *, now: float = NOW, **rules: Any) -> JwtVerifier:
    """A verifier that trusts it."""
    issuer = issuer_of(tokens, **rules)
    return JwtVerifier(issuer, StaticKeys(issuer.keys), now=Clock(now))


def verified(token: str, trusted: TokenVerifier) -> Principal:
    """Who a token that is taken speaks for."""
    return trusted.verify(token.encode()).principal


def refusal(token: str | bytes, trusted: Verifies) -> TokenRefusedError:
    """Why a token is not taken; its own text is not in the reason."""
    data = token.encode() if isinstance(token, str) else token
    with pytest.raises(TokenRefusedError) as refused:
        trusted.verify(data)
    for segment in data.split(b"."):
        assert len(segment) < 8 or segment.decode("latin-1") not in str(refused.value)
    return refused.value


def alice(**given: Any) -> Principal:
    """Somebody whose token was verified."""
    usual = {"issuer_alias": "default", "issuer": None, "subject": "alice", "issued_at": NOW}
    return Principal(**{**usual, **given})


def revocation(kind: RevocationKind, value: str, **given: Any) -> RevocationRecord:
    """What was taken back just now, for a day."""
    usual = {
        "id": f"{kind}-{value}",
        "kind": kind,
        "issuer_alias": "default",
        "value": value,
        "issued_before_us": NOW_US,
        "expires_at_us": NOW_US + 86_400_000_000,
        "created_at_us": NOW_US,
    }
    return RevocationRecord(**{**usual, **given})


def account(digest: str | None, **given: Any) -> ServiceAccountRecord:
    """A service account that was made just now, whose token has that digest."""
    usual = {
        "id": "account-1",
        "name": "reporter",
        "scopes": ("agents:run",),
        "token_digest": digest,
        "token_prefix": "licet_sa_abcd",
        "created_at_us": NOW_US,
    }
    return ServiceAccountRecord(**{**usual, **given})


def bearer(*tokens: str, client: str | None = None) -> Credentials:
    """Headers with these tokens."""
    return Credentials(tuple(b"Bearer " + token.encode() for token in tokens), client=client)


def cookies(*headers: bytes, forgeable: bool = False) -> Credentials:
    """Cookie headers, and nothing else."""
    return Credentials(cookies=headers, forgeable=forgeable)
