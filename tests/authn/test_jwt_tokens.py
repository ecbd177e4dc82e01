from __future__ import annotations

import asyncio

import pytest

from licet.authn.base import Authenticated, BadCredentials, Unavailable
from licet.authn.cache import CachingVerifier
from licet.authn.jwt import JwtVerifier
from licet.authn.jwt_tokens import JwtTokens, with_fresh_keys
from licet.authn.key_set import KeySet
from licet.authn.refusal import KeyNotFoundError, TokenRefusedError
from tests.authn.parts import Clock, Keys, factory, issuer_of, keys_of

OLD, NEW = (factory(fresh_key=True, key_id=name) for name in ("old", "new"))
FOREIGN = factory(fresh_key=True, key_id="foreign")


def taking(keys: Keys) -> JwtTokens:
    verifier = JwtVerifier(issuer_of(OLD), keys, now=Clock())
    return JwtTokens(CachingVerifier(verifier, max_tokens=10, now=Clock()))


async def test_a_token_that_verifies_speaks_for_its_subject() -> None:
    keys = Keys(keys_of(OLD))
    answer = await taking(keys).authenticate_token(OLD.token("alice").encode())
    assert isinstance(answer, Authenticated)
    assert answer.principal.subject == "alice"
    assert keys.asked == 0


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("", BadCredentials("not three segments")),
        (
            OLD.token("alice", expires_in_seconds=-60),
            BadCredentials("the token has expired", "token_expired"),
        ),
        (
            OLD.token("alice", aud="another"),
            BadCredentials("the token is for another audience (aud)"),
        ),
        (
            FOREIGN.sign(FOREIGN.claims("alice"), headers={"kid": "old"}),
            BadCredentials(
                "the signature does not match the key that the token names", "token_signature"
            ),
        ),
    ],
)
async def test_the_answer_tells_programs_why_a_token_is_not_taken(
    token: str, expected: BadCredentials
) -> None:
    keys = Keys(keys_of(OLD))
    assert await taking(keys).authenticate_token(token.encode()) == expected
    assert keys.asked == 0


async def test_a_token_of_a_key_that_is_new_is_taken_after_one_look() -> None:
    keys = Keys(keys_of(OLD), coming=keys_of(OLD, NEW))
    tokens = taking(keys)
    for subject in ("alice", "bob"):
        answer = await tokens.authenticate_token(NEW.token(subject).encode())
        assert isinstance(answer, Authenticated)
        assert answer.principal.key_id == "new"
    assert keys.asked == 1


async def test_tokens_that_come_at_once_are_all_taken() -> None:
    keys = Keys(keys_of(OLD), coming=keys_of(NEW))
    tokens = taking(keys)
    answers = await asyncio.gather(
        *(tokens.authenticate_token(NEW.token(f"user-{n}").encode()) for n in range(20))
    )
    assert all(isinstance(answer, Authenticated) for answer in answers)


async def test_a_key_that_nobody_knows_is_asked_for_once() -> None:
    keys = Keys(keys_of(OLD))
    answer = await taking(keys).authenticate_token(FOREIGN.token("alice").encode())
    assert answer == BadCredentials("the signature does not match any key", "token_key")
    assert keys.asked == 1


async def test_a_key_that_is_still_missing_after_others_came_is_not_asked_for_again() -> None:
    keys = Keys(keys_of(OLD), coming=keys_of(NEW))
    answer = await taking(keys).authenticate_token(FOREIGN.token("alice").encode())
    assert answer == BadCredentials("the signature does not match any key", "token_key")
    assert keys.asked == 1


async def test_while_keys_cannot_be_read_nobody_can_say() -> None:
    keys = Keys(KeySet(incomplete=True))
    answer = await taking(keys).authenticate_token(OLD.token("alice").encode())
    assert answer == Unavailable("the issuer's keys cannot be read at present")
    assert keys.asked == 1


async def test_keys_that_could_not_be_read_before_are_asked_for() -> None:
    keys = Keys(KeySet(incomplete=True), coming=keys_of(OLD))
    answer = await taking(keys).authenticate_token(OLD.token("alice").encode())
    assert isinstance(answer, Authenticated)


async def test_keys_that_somebody_else_brought_meanwhile_count() -> None:
    """The source may have been asked too recently, and know the key all the same."""

    class Background(Keys):
        async def refetch(self) -> bool:
            await super().refetch()
            return False

    keys = Background(keys_of(OLD), coming=keys_of(NEW))
    answer = await taking(keys).authenticate_token(NEW.token("alice").encode())
    assert isinstance(answer, Authenticated)


async def test_keys_that_came_before_anybody_asked_count() -> None:
    """A file is looked at from time to time, whoever asks."""

    class Changing(Keys):
        def current(self) -> KeySet:
            keys, self.keys = self.keys, keys_of(NEW)
            return keys

    answer = await taking(Changing(keys_of(OLD))).authenticate_token(NEW.token("alice").encode())
    assert isinstance(answer, Authenticated)


async def test_what_is_asked_twice_answers_as_it_does_the_second_time() -> None:
    keys = Keys(KeySet(), coming=keys_of(OLD))
    times = 0

    def verify() -> str:
        nonlocal times
        times += 1
        if times == 1:
            raise KeyNotFoundError("no such key", source=keys, key_set=keys.current())
        raise TokenRefusedError("expired meanwhile")

    with pytest.raises(TokenRefusedError, match="expired meanwhile") as refused:
        await with_fresh_keys(verify)
    assert (times, refused.value.__context__) == (2, None)


async def test_with_the_same_keys_nothing_is_verified_twice() -> None:
    keys = Keys(keys_of(OLD))
    times = 0

    def verify() -> str:
        nonlocal times
        times += 1
        raise KeyNotFoundError("no such key", source=keys, key_set=keys.current())

    with pytest.raises(KeyNotFoundError):
        await with_fresh_keys(verify)
    assert (times, keys.asked) == (1, 1)
