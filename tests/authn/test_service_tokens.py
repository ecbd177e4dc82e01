from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.authn.base import (
    Authenticated,
    BadCredentials,
    Credentials,
    NoCredentials,
    Unavailable,
)
from licet.authn.failure_limit import FailureLimit
from licet.authn.service_accounts import new_token
from licet.authn.service_tokens import ServiceTokenAuthenticator
from licet.authn.trust_state import TrustState
from licet.db.trust_records import Rotation
from tests.authn.parts import NOW, NOW_US, Clock, Store, account, bearer

TOKEN, OTHER = new_token(), new_token()
UNKNOWN = BadCredentials("invalid or expired service account token")
TOO_MANY = BadCredentials("too many failed authentication attempts", "too_many_failures")
CLIENT = "192.0.2.1"


class World:
    """A store with one account, a process that does not know it yet, and its clock."""

    def __init__(self, *, bare: bool = False) -> None:
        self.clock = Clock()
        self.store = Store()
        self.state = TrustState(now=self.clock)
        self.authenticator = ServiceTokenAuthenticator(
            self.state,
            self.store.as_store(),
            limit=FailureLimit(max_failures=3, monotonic=self.clock),
            bare=bare,
            now=self.clock,
        )

    async def make(self) -> None:
        assert await self.store.create_service_account(account(TOKEN.digest))

    async def follow(self) -> None:
        """Read what the store says, as a process does all the time."""
        self.state.apply(await self.store.changes(after=self.state.number))

    async def present(self, token: str, *, client: str | None = CLIENT) -> object:
        return await self.authenticator.authenticate(bearer(token, client=client))

    async def is_taken(self, token: str) -> bool:
        answer = await self.present(token)
        assert isinstance(answer, Authenticated) or answer == UNKNOWN
        return isinstance(answer, Authenticated)


@pytest.fixture
async def world() -> World:
    world = World()
    await world.make()
    return world


async def test_a_token_speaks_for_its_account(world: World) -> None:
    await world.follow()
    answer = await world.present(TOKEN.text)
    assert isinstance(answer, Authenticated)
    assert answer.principal.owner == "@service|sa:reporter"
    assert answer.principal.scopes == ("agents:run",)
    assert world.store.looked_up == []
    await world.authenticator.close()


async def test_a_token_that_another_process_has_just_made_is_looked_up_once(world: World) -> None:
    for _ in range(3):
        assert await world.is_taken(TOKEN.text)
    assert world.store.looked_up == [TOKEN.digest]
    await world.authenticator.close()


@pytest.mark.parametrize(
    "presented",
    [
        Credentials(),
        Credentials((b"Bearer ",)),
        Credentials((b"Bearer a.b.c",)),
        Credentials((b"Bearer LICET_SA_" + b"A" * 43,)),
        Credentials((b"Basic " + TOKEN.text.encode(),)),
        Credentials((TOKEN.text.encode(),)),
        Credentials((b"Bearer x" + TOKEN.text.encode(),)),
        bearer(TOKEN.text, TOKEN.text),
        Credentials(cookies=(b"token=" + TOKEN.text.encode(),)),
    ],
)
async def test_anything_else_is_for_somebody_else(world: World, presented: Credentials) -> None:
    assert await world.authenticator.authenticate(presented) == NoCredentials()
    assert world.store.looked_up == []


async def test_in_a_header_of_the_operators_own_the_token_may_stand_alone() -> None:
    world = World(bare=True)
    await world.make()
    for value in (TOKEN.text.encode(), b"Bearer " + TOKEN.text.encode()):
        answer = await world.authenticator.authenticate(Credentials((value,)))
        assert isinstance(answer, Authenticated)
    await world.authenticator.close()


async def test_a_token_that_nobody_made_is_looked_up_and_refused(world: World) -> None:
    assert await world.present(OTHER.text) == UNKNOWN
    assert world.store.looked_up == [OTHER.digest]


@pytest.mark.parametrize(
    "text",
    ["licet_sa_", "licet_sa_short", TOKEN.text + "A", TOKEN.text[:-1]],
    ids=["nothing", "short", "longer", "shorter"],
)
async def test_a_token_of_another_form_is_refused_unseen(world: World, text: str) -> None:
    assert await world.present(text) == UNKNOWN
    assert world.store.looked_up == []


async def test_after_a_rotation_both_tokens_are_taken_for_the_overlap(world: World) -> None:
    await world.follow()
    rotated = await world.store.rotate_service_account(
        "account-1",
        rotation=Rotation(token_digest=OTHER.digest, token_prefix=OTHER.prefix, expires_at_us=None),
        old_expires_at_us=NOW_US + 60_000_000,
        now_us=NOW_US,
    )
    assert rotated is not None
    for known in (False, True):
        if known:
            await world.follow()
        world.clock.now = NOW + 59
        assert await world.is_taken(TOKEN.text)
        assert await world.is_taken(OTHER.text)
        world.clock.now = NOW + 60
        assert await world.is_taken(TOKEN.text) is False
        assert await world.is_taken(OTHER.text)
    await world.authenticator.close()


async def test_whoever_guesses_too_often_waits(world: World) -> None:
    for _ in range(3):
        assert await world.present(OTHER.text) == UNKNOWN
    assert await world.present(OTHER.text) == TOO_MANY
    assert await world.present("licet_sa_short") == TOO_MANY
    assert len(world.store.looked_up) == 3
    assert await world.present(OTHER.text, client="192.0.2.2") == UNKNOWN
    world.clock.now += 60
    assert await world.present(OTHER.text) == UNKNOWN


async def test_whoever_guesses_many_at_once_has_no_more_guesses(world: World) -> None:
    guesses = [new_token().text for _ in range(50)]
    answers = await asyncio.gather(*(world.present(guess) for guess in guesses))
    assert (answers.count(UNKNOWN), answers.count(TOO_MANY)) == (3, 47)
    assert len(world.store.looked_up) == 3


async def test_whoever_has_good_tokens_fails_never(world: World) -> None:
    for _ in range(5):
        world.state.take_over(TrustState())
        assert await world.is_taken(TOKEN.text)
    assert len(world.store.looked_up) == 5
    for _ in range(3):
        assert await world.present(OTHER.text) == UNKNOWN
    await world.authenticator.close()


async def test_guesses_of_a_wrong_form_count_too(world: World) -> None:
    for _ in range(3):
        assert await world.present("licet_sa_short") == UNKNOWN
    assert await world.present("licet_sa_short") == TOO_MANY


async def test_whoever_has_a_token_that_is_known_does_not_pay_for_the_neighbours(
    world: World,
) -> None:
    await world.follow()
    for _ in range(3):
        await world.present(OTHER.text)
    assert await world.is_taken(TOKEN.text)
    await world.authenticator.close()


async def test_while_the_store_cannot_be_read_nobody_can_say(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.store.failing = True
    for _ in range(5):
        # It is nobody's failure, so that nobody waits for it afterwards.
        assert await world.present(TOKEN.text) == Unavailable(
            "the service accounts cannot be read at present"
        )
    assert caplog.text.count("cannot be looked up") == 1
    assert TOKEN.text not in caplog.text
    world.store.failing = False
    assert await world.is_taken(TOKEN.text)
    assert caplog.text.count("can be looked up again") == 1
    await world.authenticator.close()


async def test_its_last_use_is_noted_once_a_minute(world: World) -> None:
    await world.follow()
    for seconds in (0, 59.9, 60, 61):
        world.clock.now = NOW + seconds
        assert await world.is_taken(TOKEN.text)
    await world.authenticator.close()
    assert world.store.touched == [
        ("account-1", NOW_US),
        ("account-1", NOW_US + 60_000_000),
    ]
    stored = await world.store.get_service_account("account-1")
    assert stored is not None
    assert stored.last_used_at_us == NOW_US + 60_000_000


async def test_a_note_that_could_not_be_written_is_tried_again_in_a_minute_and_said_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.follow()
    world.store.failing = True
    for seconds in (0, 1, 59, 60, 61, 120):
        world.clock.now = NOW + seconds
        assert await world.is_taken(TOKEN.text)
        await world.authenticator.close()
    assert len(world.store.touched) == 3
    assert caplog.text.count("cannot be noted") == 1
    world.store.failing = False
    world.clock.now = NOW + 180
    assert await world.is_taken(TOKEN.text)
    await world.authenticator.close()
    assert len(world.store.touched) == 4
    assert caplog.text.count("can be noted again") == 1


async def test_nothing_is_noted_of_an_account_that_opens_nothing(world: World) -> None:
    """Whether it was revoked is told by whoever asks next; that it was used is not true."""
    await world.store.revoke_service_account("account-1", revoked_at_us=NOW_US)
    await world.follow()
    assert isinstance(await world.present(TOKEN.text), Authenticated)
    await world.authenticator.close()
    assert world.store.touched == []


async def test_closing_is_nothing_where_nothing_is_written(world: World) -> None:
    await world.authenticator.close()


async def test_an_older_state_that_is_looked_up_does_not_bring_an_account_back() -> None:
    """The look-up and the following of changes run side by side."""
    world = World()
    await world.make()
    earlier = await world.store.get_service_account("account-1")
    assert earlier is not None
    await world.store.revoke_service_account("account-1", revoked_at_us=NOW_US)
    await world.follow()
    world.state.accounts.apply([replace(earlier, token_digest=OTHER.digest)])
    known = world.state.accounts.get("account-1")
    assert known is not None
    assert known.revoked_at_us == NOW_US


@given(st.binary(max_size=80), st.booleans())
async def test_any_bytes_are_refused_or_for_somebody_else(value: bytes, after_prefix: bool) -> None:  # noqa: FBT001 - Hypothesis calls it by name
    world = World()
    await world.make()
    head = b"Bearer licet_sa_" if after_prefix else b""
    answer = await world.authenticator.authenticate(Credentials((head + value,)))
    assert answer in (NoCredentials(), UNKNOWN)
