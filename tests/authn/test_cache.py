from __future__ import annotations

import pytest

from licet.authn.cache import CachingVerifier
from licet.authn.principal import Principal
from licet.authn.refusal import TokenRefusedError
from licet.errors import ConfigurationError
from tests.authn.parts import NOW, Clock, factory, refusal, verifier


class Counting:
    """Takes tokens that are numbers: the second at which they expire; 'never' has no expiry."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def verify(self, token: bytes) -> Principal:
        self.asked.append(token)
        if token == b"bad":
            raise TokenRefusedError("bad")
        return Principal(
            issuer_alias="default",
            issuer=None,
            subject="alice",
            expires_at=None if token == b"never" else float(token.split(b".")[0]),
        )


@pytest.fixture
def inner() -> Counting:
    return Counting()


@pytest.fixture
def clock() -> Clock:
    return Clock(0)


def cached(inner: Counting, clock: Clock, max_tokens: int = 3) -> CachingVerifier:
    return CachingVerifier(inner, max_tokens=max_tokens, now=clock)


def test_a_token_is_verified_once(inner: Counting, clock: Clock) -> None:
    cache = cached(inner, clock)
    first = cache.verify(b"10")
    assert cache.verify(b"10") is first
    assert inner.asked == [b"10"]


def test_another_token_is_another_matter(inner: Counting, clock: Clock) -> None:
    cache = cached(inner, clock)
    cache.verify(b"10.a")
    cache.verify(b"10.b")
    assert len(inner.asked) == len(cache) == 2


def test_nothing_is_remembered_past_its_expiry(inner: Counting, clock: Clock) -> None:
    cache = cached(inner, clock)
    cache.verify(b"10")
    clock.now = 9.999
    cache.verify(b"10")
    assert len(inner.asked) == 1
    clock.now = 10
    cache.verify(b"10")
    assert len(inner.asked) == 2
    assert len(cache) == 0


def test_in_the_leeway_the_verifier_is_asked_each_time(inner: Counting) -> None:
    cache = cached(inner, Clock(12))
    cache.verify(b"10")
    cache.verify(b"10")
    assert len(inner.asked) == 2
    assert len(cache) == 0


def test_what_has_expired_takes_no_room_beside_what_has_not(inner: Counting) -> None:
    cache = cached(inner, Clock(12))
    cache.verify(b"20")
    cache.verify(b"10")
    assert len(cache) == 1


def test_what_never_expires_is_not_remembered(inner: Counting, clock: Clock) -> None:
    cache = cached(inner, clock)
    cache.verify(b"never")
    assert len(cache) == 0


def test_refusals_are_not_remembered(inner: Counting, clock: Clock) -> None:
    cache = cached(inner, clock)
    for _ in range(2):
        with pytest.raises(TokenRefusedError, match="bad"):
            cache.verify(b"bad")
    assert len(inner.asked) == 2
    assert len(cache) == 0


def test_what_was_not_used_for_longest_makes_room(inner: Counting, clock: Clock) -> None:
    cache = cached(inner, clock)
    for token in (b"10.a", b"10.b", b"10.c", b"10.a", b"10.d"):
        cache.verify(token)
    assert len(cache) == 3
    inner.asked.clear()
    for token in (b"10.a", b"10.c", b"10.d"):
        cache.verify(token)
    assert inner.asked == []
    cache.verify(b"10.b")
    assert inner.asked == [b"10.b"]


def test_what_has_expired_goes_when_something_comes(inner: Counting, clock: Clock) -> None:
    cache = cached(inner, clock)
    cache.verify(b"10.a")
    cache.verify(b"11.b")
    clock.now = 20
    cache.verify(b"30.c")
    assert len(cache) == 1


def test_no_tokens_turns_it_off(inner: Counting, clock: Clock) -> None:
    cache = cached(inner, clock, 0)
    cache.verify(b"10")
    cache.verify(b"10")
    assert len(inner.asked) == 2
    assert len(cache) == 0


def test_fewer_than_none_is_a_mistake(inner: Counting, clock: Clock) -> None:
    with pytest.raises(ConfigurationError, match="-1 tokens"):
        cached(inner, clock, -1)


def test_a_real_token_is_remembered_as_it_was_verified() -> None:
    tokens, clock = factory(), Clock()
    cache = CachingVerifier(verifier(tokens), max_tokens=2, now=clock)
    token = tokens.token("alice", scopes=("agents:read",)).encode()
    first = cache.verify(token)
    assert first.expires_at == NOW + 3600
    assert cache.verify(token) is first


def test_a_changed_token_does_not_hit() -> None:
    tokens = factory("ES256")
    cache = CachingVerifier(verifier(tokens), max_tokens=2, now=Clock())
    token = tokens.token("alice")
    cache.verify(token.encode())
    for changed in (token + "=", token + "A", token[:-1], token.upper()):
        refusal(changed, cache)
    assert len(cache) == 1
