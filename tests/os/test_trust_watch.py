"""The watch keeps what is known of revocations what the database says, or lets it grow old."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest

from licet.authn.trust_state import TrustState
from licet.db.in_memory import InMemoryDb
from licet.db.trust_base import TrustStore
from licet.db.trust_records import RevocationKind, RevocationRecord, TrustChanges
from licet.errors import StorageError
from licet.os.trust_watch import TrustWatch

LATER_US = 4_000_000_000_000_000


def revocation(value: str, **given: Any) -> RevocationRecord:
    return RevocationRecord(
        **{
            "id": value,
            "kind": RevocationKind.TOKEN,
            "issuer_alias": "default",
            "value": value,
            "issued_before_us": 1,
            "expires_at_us": LATER_US,
            "created_at_us": 1,
            **given,
        }
    )


class Moody(InMemoryDb):
    """A database that can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.away: Exception | None = None
        self.hangs = False
        self.readings = 0
        self.forgetting: Callable[[], Awaitable[int]] | None = None
        self.changes: Callable[..., Awaitable[TrustChanges]] | None = None

    def trust(self) -> TrustStore:
        if self.away is not None:
            raise self.away
        self.readings += 1
        return cast("TrustStore", MoodyTrust(self, super().trust()))

    async def watch(self, topic: str, *, after: int, timeout_seconds: float) -> int:
        if self.away is not None:
            raise self.away
        if self.hangs:
            await asyncio.Event().wait()
        return await super().watch(topic, after=after, timeout_seconds=timeout_seconds)


class MoodyTrust:
    """Its trust store."""

    def __init__(self, db: Moody, inner: TrustStore) -> None:
        self._db = db
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def changes(self, *, after: int) -> TrustChanges:
        read = self._db.changes or self._inner.changes
        return await read(after=after)

    async def forget_expired(self, *, now_us: int) -> int:
        if self._db.forgetting is not None:
            return await self._db.forgetting()
        return await self._inner.forget_expired(now_us=now_us)


class Known:
    """A database, what one process knows of it, and how often it was told."""

    def __init__(self, **settings: Any) -> None:
        self.db = Moody()
        self.state = TrustState(**settings)
        self.ticks = 0
        self.told = 0
        self.watch = TrustWatch(self.db, self.state, on_tick=self._tick)

    def _tick(self) -> None:
        self.ticks += 1
        self.told = len(self.state.revocations)

    async def add(self, *values: str) -> None:
        await self.db.trust().add_revocations([revocation(value) for value in values])


@pytest.fixture
async def known() -> AsyncIterator[Known]:
    made = Known()
    yield made
    await made.watch.close()


async def until(found: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not found():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.005)


async def test_what_is_stored_before_is_known_from_the_start(known: Known) -> None:
    await known.add("a")
    current_before = known.state.is_current
    await known.watch.start()
    assert (current_before, known.state.is_current) == (False, True)
    assert len(known.state.revocations) == 1
    assert (known.ticks, known.told) == (1, 1)


async def test_what_others_store_becomes_known(known: Known) -> None:
    await known.watch.start()
    await known.add("a", "b")
    await until(lambda: len(known.state.revocations) == 2)
    await known.db.trust().delete_revocation("a", deleted_at_us=2)
    await until(lambda: len(known.state.revocations) == 1)


async def test_a_refresh_brings_what_was_stored_before_it(known: Known) -> None:
    for value in "abcdef":
        await known.add(value)
        await known.watch.refresh()
        assert known.state.number == (await known.db.trust().changes(after=0)).number
    assert len(known.state.revocations) == 6


async def test_an_app_without_its_lifespan_begins_to_follow_with_the_first_refresh(
    known: Known,
) -> None:
    await known.watch.refresh()
    assert known.state.is_current
    await known.add("a")
    await until(lambda: len(known.state.revocations) == 1)


async def test_many_refreshes_at_once_are_one_or_two_readings(known: Known) -> None:
    await known.watch.start()
    readings = known.db.readings
    await asyncio.gather(*(known.watch.refresh() for _ in range(100)))
    assert 1 <= known.db.readings - readings <= 2


async def test_a_storm_of_changes_is_a_few_ticks_and_the_last_is_not_lost(known: Known) -> None:
    """Each tick goes through all that is open."""
    await known.watch.start()
    began = time.monotonic()
    for number in range(200):
        await known.add(f"{number}")
        await known.watch.refresh()
    await until(lambda: known.told == 200)
    assert known.ticks <= 2 + 4 * (time.monotonic() - began)


async def test_what_ends_by_the_clock_ends_also_while_the_database_is_away(known: Known) -> None:
    await known.watch.start()
    known.db.away = StorageError("gone")
    ticks = known.ticks
    await until(lambda: known.ticks >= ticks + 3)


async def test_and_while_the_database_says_nothing_at_all(known: Known) -> None:
    await known.watch.start()
    known.db.hangs = True
    ticks = known.ticks
    await until(lambda: known.ticks >= ticks + 3)


async def test_a_refresh_that_is_left_early_is_made_for_the_others(known: Known) -> None:
    waiting = [asyncio.create_task(known.watch.refresh()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert known.state.is_current


async def test_while_the_database_is_away_the_state_grows_old_and_it_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    known = Known(max_age_seconds=0.05)
    await known.watch.start()
    known.db.away = StorageError("gone")
    await until(lambda: not known.state.is_current)
    await until(lambda: "revocations cannot be read: gone" in caplog.text)
    for _ in range(20):
        # What each request does that finds the state too old.
        await known.watch.refresh()
    known.db.away = None
    await until(lambda: "revocations can be read again" in caplog.text)
    await known.add("a")
    await until(lambda: len(known.state.revocations) == 1)
    assert len([record for record in caplog.records if "can" in record.message]) == 2
    await known.watch.close()


async def test_whatever_fails_it_goes_on_following(
    known: Known, caplog: pytest.LogCaptureFixture
) -> None:
    await known.watch.start()
    known.db.away = ZeroDivisionError("a bug")
    await until(lambda: "ZeroDivisionError: a bug" in caplog.text)
    known.db.away = None
    await known.add("a")
    await until(lambda: len(known.state.revocations) == 1)


async def test_a_database_that_was_set_back_is_read_anew(known: Known) -> None:
    await known.add("kept")
    known.state.apply(TrustChanges(number=1_000, revocations=(revocation("from the future"),)))
    await known.watch.start()
    assert known.state.number < 1_000
    assert list(known.state.revocations._known) == [(RevocationKind.TOKEN, "default", "kept")]


async def test_a_failing_refresh_is_logged_and_no_more(
    known: Known, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise StorageError("no table")

    monkeypatch.setattr(known.db, "trust", broken)
    await known.watch.refresh()
    assert not known.state.is_current
    assert "revocations cannot be read: no table" in caplog.text
    with pytest.raises(StorageError):
        await known.watch.start()


async def test_what_expired_a_day_ago_is_forgotten_here_and_in_the_database() -> None:
    now = [1_000_000.0]
    known = Known(now=lambda: now[0])
    known.watch = TrustWatch(known.db, known.state, on_tick=known._tick, now=lambda: now[0])
    for value, days in (("long ago", 1), ("lately", 0.999)):
        expired_us = int((now[0] - days * 86_400) * 1_000_000) - 1
        await known.db.trust().add_revocations([revocation(value, expires_at_us=expired_us)])
    await known.watch.start()
    await until(lambda: len(known.state.revocations) == 1)
    deadline = time.monotonic() + 20
    while len((await known.db.trust().changes(after=0)).revocations) > 1:
        assert time.monotonic() < deadline, "it is still stored"
        await asyncio.sleep(0.005)
    assert list(known.state.revocations._known) == [(RevocationKind.TOKEN, "default", "lately")]
    (left,) = (await known.db.trust().changes(after=0)).revocations
    assert left.value == "lately"
    await known.watch.close()


async def test_where_deleting_what_has_expired_has_to_wait_revocations_do_not(known: Known) -> None:
    """Somebody holds a lock: the writer waits for it, and all writes with it."""
    asked, ended = asyncio.Event(), asyncio.Event()

    async def waits() -> int:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return 0

    known.db.forgetting = waits
    await known.watch.start()
    await asyncio.wait_for(asked.wait(), 20)
    await known.add("a")
    await until(lambda: len(known.state.revocations) == 1)
    assert not ended.is_set()
    await known.watch.close()
    assert ended.is_set()


async def test_where_it_cannot_be_deleted_revocations_can_still_be_read(
    known: Known, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails() -> int:
        raise StorageError("read-only")

    known.db.forgetting = fails
    await known.watch.start()
    await until(lambda: "stay stored for another while: read-only" in caplog.text)
    await known.add("a")
    await until(lambda: len(known.state.revocations) == 1)
    assert "cannot be read" not in caplog.text


async def test_closing_ends_a_reading_that_is_under_way() -> None:
    known = Known()
    held = asyncio.Event()

    async def changes(*, after: int) -> TrustChanges:
        held.set()
        await asyncio.Event().wait()
        raise AssertionError(after)

    known.db.changes = changes
    refreshing = asyncio.create_task(known.watch.refresh())
    await asyncio.wait_for(held.wait(), 20)
    await known.watch.close()
    await asyncio.wait_for(refreshing, 20)
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("how", ["cancelled", "abandoned"])
def test_in_another_event_loop_it_begins_anew(how: str) -> None:
    """An app without its lifespan, in a script or behind a handler that makes loops."""
    known = Known(max_age_seconds=0.2)
    held = asyncio.Event()

    async def changes(*, after: int) -> TrustChanges:
        held.set()
        await asyncio.Event().wait()
        raise AssertionError(after)

    async def leave() -> None:
        # One reading is under way, another is queued behind it.
        known.db.changes = changes
        asked = [asyncio.ensure_future(known.watch.refresh())]
        await held.wait()
        asked.append(asyncio.ensure_future(known.watch.refresh()))
        await asyncio.sleep(0)

    async def go_on() -> None:
        known.db.changes = None
        for value in "ab":
            await known.watch.refresh()
            assert known.state.is_current
            await known.add(value)
        await until(lambda: known.told == 2)
        await known.watch.close()

    if how == "cancelled":
        asyncio.run(leave())
    else:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(leave())
    asyncio.run(go_on())
    if how == "abandoned":
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()
