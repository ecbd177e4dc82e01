from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from licet.authn.base import (
    Authenticated,
    Authentication,
    BadCredentials,
    Credentials,
    NoCredentials,
    Unavailable,
)
from licet.authn.principal import PrincipalKind
from licet.authn.revoked import RevocationAuthenticator
from licet.authn.trust_state import TrustState
from licet.db.trust_records import RevocationKind, TrustChanges
from tests.authn.parts import Clock, Fixed, alice, revocation

ALICE = Authenticated(alice(token_id="t-1"))
REVOKED = TrustChanges(number=1, revocations=(revocation(RevocationKind.TOKEN, "t-1"),))


async def nothing() -> None:
    """A refresh that brings nothing."""


def checked(
    answer: Authentication, state: TrustState, refresh: Callable[[], Awaitable[None]] = nothing
) -> RevocationAuthenticator:
    return RevocationAuthenticator(Fixed(answer), state, refresh=refresh)


@pytest.fixture
def clock() -> Clock:
    """The age of the state, in seconds."""
    return Clock(0)


@pytest.fixture
def state(clock: Clock) -> TrustState:
    state = TrustState(max_age_seconds=5, now=Clock(), monotonic=clock)
    state.confirm(read_at=0)
    return state


async def test_whoever_was_not_revoked_is_who_they_are(state: TrustState) -> None:
    assert await checked(ALICE, state).authenticate(Credentials()) is ALICE


async def test_whoever_was_revoked_is_refused_from_the_next_request_on(state: TrustState) -> None:
    authenticator = checked(ALICE, state)
    assert await authenticator.authenticate(Credentials()) is ALICE
    state.apply(REVOKED)
    assert await authenticator.authenticate(Credentials()) == BadCredentials(
        "the token was revoked", "token_revoked", ALICE.principal
    )


async def test_a_service_account_that_nobody_knows_is_refused(state: TrustState) -> None:
    answer = Authenticated(alice(kind=PrincipalKind.SERVICE, token_id="account-1"))
    assert await checked(answer, state).authenticate(Credentials()) == BadCredentials(
        "the service account is not known", "token_revoked", answer.principal
    )


@pytest.mark.parametrize(
    "answer", [NoCredentials(), BadCredentials("no"), Unavailable("the keys cannot be read")]
)
async def test_other_answers_pass_also_while_revocations_cannot_be_read(
    answer: Authentication,
) -> None:
    state = TrustState(monotonic=Clock(0))
    assert await checked(answer, state).authenticate(Credentials()) is answer


async def test_the_credentials_are_those_that_were_presented(state: TrustState) -> None:
    inner = Fixed(NoCredentials())
    presented = Credentials((b"Bearer a",))
    await RevocationAuthenticator(inner, state, refresh=nothing).authenticate(presented)
    assert inner.asked == [presented]


async def test_a_state_that_is_too_old_opens_nothing(state: TrustState, clock: Clock) -> None:
    authenticator = checked(ALICE, state)
    clock.now = 5
    assert await authenticator.authenticate(Credentials()) is ALICE
    clock.now = 5.001
    assert await authenticator.authenticate(Credentials()) == Unavailable(
        "the revocations cannot be read at present"
    )


async def test_a_state_that_was_never_read_opens_nothing() -> None:
    state = TrustState(monotonic=Clock(0))
    answer = await checked(ALICE, state).authenticate(Credentials())
    assert isinstance(answer, Unavailable)


@pytest.mark.parametrize(("changes", "taken"), [(TrustChanges(number=1), True), (REVOKED, False)])
async def test_a_state_that_is_too_old_is_read_first(
    state: TrustState, clock: Clock, changes: TrustChanges, *, taken: bool
) -> None:
    times = 0

    async def refresh() -> None:
        nonlocal times
        times += 1
        state.apply(changes)
        state.confirm(read_at=clock())

    authenticator = checked(ALICE, state, refresh)
    clock.now = 60
    for _ in range(2):
        answer = await authenticator.authenticate(Credentials())
        assert isinstance(answer, Authenticated if taken else BadCredentials)
    assert times == 1
