from __future__ import annotations

import sys
from typing import Any

import pytest

from licet.authn.cache import CachingVerifier
from licet.authn.frozen import frozen
from licet.authn.jwt import JwtVerifier, Verified
from licet.authn.key_set import KeySet
from licet.authn.refusal import TokenRefusedError
from licet.errors import ConfigurationError
from tests.authn.parts import NOW, Clock, Keys, alice, factory, issuer_of, keys_of, refusal

MIB = 1024 * 1024


class Counting:
    """Takes tokens that are numbers: the second at which they expire; 'never' has no expiry."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.keys = Keys(KeySet())
        self.given: dict[str, Any] = {}

    def verify(self, token: bytes) -> Verified:
        self.asked.append(token)
        if token == b"bad":
            raise TokenRefusedError("bad")
        expires_at = None if token == b"never" else float(token.split(b".")[0])
        principal = alice(expires_at=expires_at, **self.given)
        return Verified(principal, self.keys.current(), self.keys)


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
    assert (len(cache), cache.size_bytes) == (0, 0)


def test_in_the_leeway_the_verifier_is_asked_each_time(inner: Counting) -> None:
    cache = cached(inner, Clock(12))
    cache.verify(b"10")
    cache.verify(b"10")
    assert len(inner.asked) == 2
    assert len(cache) == 0


def test_when_the_clock_was_set_back_the_verifier_is_asked(inner: Counting, clock: Clock) -> None:
    cache = cached(inner, clock)
    clock.now = 5
    cache.verify(b"10")
    clock.now = 4.999
    cache.verify(b"10")
    cache.verify(b"10")
    assert len(inner.asked) == 2
    assert len(cache) == 1


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


def test_no_bytes_turns_it_off(inner: Counting, clock: Clock) -> None:
    cache = CachingVerifier(inner, max_tokens=3, max_bytes=0, now=clock)
    cache.verify(b"10")
    cache.verify(b"10")
    assert len(inner.asked) == 2
    assert len(cache) == 0


@pytest.mark.parametrize(("tokens", "size"), [(-1, 1), (1, -1)])
def test_fewer_than_none_is_a_mistake(inner: Counting, tokens: int, size: int) -> None:
    with pytest.raises(ConfigurationError, match=f"{tokens} tokens and {size} bytes"):
        CachingVerifier(inner, max_tokens=tokens, max_bytes=size)


def test_large_tokens_take_the_place_of_many(inner: Counting, clock: Clock) -> None:
    cache = CachingVerifier(inner, max_tokens=1000, max_bytes=MIB, now=clock)
    inner.given = {"claims": {"pad": "x" * 100_000}}
    for number in range(30):
        cache.verify(b"10.%d" % number)
    assert 5 < len(cache) < 11
    assert MIB / 2 < cache.size_bytes <= MIB
    inner.given = {}
    for number in range(600):
        cache.verify(b"11.%d" % number)
    assert len(cache) > 400
    assert cache.size_bytes <= MIB


def test_what_can_never_fit_makes_nobody_else_go(inner: Counting, clock: Clock) -> None:
    cache = CachingVerifier(inner, max_tokens=1000, max_bytes=MIB, now=clock)
    cache.verify(b"10.a")
    inner.given = {"claims": {"pad": "x" * 2 * MIB}}
    cache.verify(b"10.b")
    assert len(cache) == 1
    inner.asked.clear()
    cache.verify(b"10.a")
    assert inner.asked == []


@pytest.mark.parametrize(
    ("given", "least"),
    [
        ({"claims": frozen({"a": ["x" * 50]})}, 100),
        ({"claims": frozen({"a": {"b": ["x" * 50, "y" * 50]}})}, 200),
        ({"claims": frozen({"a": [{"b": None}] * 100})}, 100 * sys.getsizeof({"b": None})),
        ({"scopes": tuple(f"agents:{n}:run" for n in range(20))}, 1000),
    ],
)
def test_what_a_principal_holds_is_counted(
    inner: Counting, given: dict[str, Any], least: int
) -> None:
    sizes = []
    for inner.given in ({}, given):
        cache = CachingVerifier(inner, max_tokens=3, now=Clock(0))
        cache.verify(b"10")
        sizes.append(cache.size_bytes)
    assert sizes[1] > sizes[0] + least


def test_an_answer_counts_as_long_as_its_keys(inner: Counting, clock: Clock) -> None:
    cache = cached(inner, clock)
    cache.verify(b"10.a")
    cache.verify(b"10.b")
    inner.keys.keys = KeySet(incomplete=True)
    cache.verify(b"10.a")
    cache.verify(b"10.a")
    assert inner.asked == [b"10.a", b"10.b", b"10.a"]
    # What came from the keys that are gone is gone too.
    assert len(cache) == 1


def test_keys_that_change_while_a_token_is_verified_do_not_count(
    inner: Counting, clock: Clock
) -> None:
    class Late(Counting):
        def verify(self, token: bytes) -> Verified:
            verified = super().verify(token)
            self.keys.keys = KeySet(incomplete=not self.keys.keys.incomplete)
            return verified

    late = Late()
    cache = cached(late, clock)
    cache.verify(b"10")
    assert len(cache) == 0


def test_keys_that_change_while_a_token_is_stored_do_not_count(
    inner: Counting, clock: Clock
) -> None:
    class Looking(Keys):
        """Looks at its file now and then, whoever asks."""

        def current(self) -> KeySet:
            self.asked += 1
            return self.keys if self.asked < 3 else KeySet(incomplete=True)

    inner.keys = Looking(KeySet())
    cache = cached(inner, clock)
    assert cache.verify(b"10").subject == "alice"
    assert (len(cache), cache.size_bytes) == (0, 0)


def test_a_key_that_was_removed_opens_nothing_any_more() -> None:
    old, new = (factory(fresh_key=True, key_id=name) for name in ("old", "new"))
    keys = Keys(keys_of(old, new))
    issuer = issuer_of(old)
    cache = CachingVerifier(JwtVerifier(issuer, keys, now=Clock()), max_tokens=10, now=Clock())
    for tokens in (old, new):
        assert cache.verify(tokens.token("alice").encode()).key_id == tokens.key_id
    keys.keys = keys_of(new)
    refusal(old.token("alice"), cache)
    assert cache.verify(new.token("alice").encode()).key_id == "new"


def test_a_real_token_is_remembered_as_it_was_verified() -> None:
    tokens = factory()
    keys = Keys(keys_of(tokens))
    cache = CachingVerifier(
        JwtVerifier(issuer_of(tokens), keys, now=Clock()), max_tokens=2, now=Clock()
    )
    token = tokens.token("alice", scopes=("agents:read",)).encode()
    first = cache.verify(token)
    assert first.expires_at == NOW + 3600
    assert cache.verify(token) is first


def test_a_changed_token_does_not_hit() -> None:
    tokens = factory("ES256")
    keys = Keys(keys_of(tokens))
    cache = CachingVerifier(
        JwtVerifier(issuer_of(tokens), keys, now=Clock()), max_tokens=2, now=Clock()
    )
    token = tokens.token("alice")
    cache.verify(token.encode())
    for changed in (token + "=", token + "A", token[:-1], token.upper()):
        refusal(changed, cache)
    assert len(cache) == 1
