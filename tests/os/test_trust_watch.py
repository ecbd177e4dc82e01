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
from licet.db.trust_records import (
    TRUST_TOPIC,
    RevocationKind,
    RevocationRecord,
    TrustChanges,
)
from licet.errors import StorageError
from licet.os import trust_watch as module
from licet.os.trust_watch import TrustWatch

LATER_US = 4_000_000_000_000_000

Changes = Callable[..., Awaitable[TrustChanges]]


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
    """A database that can be away, set back, connected anew, or slow in what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.away: Exception | None = None
        self.hangs = False
        self.readings = 0
        self.reconnects = 0
        self.changes: Changes | None = None
        self.everything: Callable[[], Awaitable[TrustChanges]] | None = None
        self.forgetting: Callable[[], Awaitable[int]] | None = None

    def trust(self) -> TrustStore:
        return cast("TrustStore", MoodyTrust(self, super().trust()))

    async def watch(self, topic: str, *, after: int, timeout_seconds: float) -> int:
        if self.away is not None:
            raise self.away
        if self.hangs:
            await asyncio.Event().wait()
        return await super().watch(topic, after=after, timeout_seconds=timeout_seconds)

    async def go_back_and_be_overtaken(self, *, lost: str, stored: str) -> None:
        """A standby takes over that misses the last change, and another one is made there."""
        kept = self._trust._revocations  # type: ignore[attr-defined]  # what only a failover does
        del kept[(RevocationKind.TOKEN.value, "default", lost)]
        self._topics._numbers[TRUST_TOPIC] -= 1
        await super().trust().add_revocations([revocation(stored)])


class MoodyTrust:
    """Its trust store."""

    def __init__(self, db: Moody, inner: TrustStore) -> None:
        self._db = db
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def reconnects(self) -> int:
        return self._db.reconnects

    async def changes(self, *, after: int) -> TrustChanges:
        self._db.readings += 1
        if self._db.away is not None:
            raise self._db.away
        read = self._db.changes or self._inner.changes
        return await read(after=after)

    async def everything(self) -> TrustChanges:
        if self._db.away is not None:
            raise self._db.away
        read = self._db.everything or self._inner.everything
        return await read()

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

    def holds(self, value: str) -> bool:
        return self.state.revocations.holds(RevocationKind.TOKEN, "default", value, now=1)

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
        assert await known.watch.refresh() is True
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
    await known.watch.start()
    known.state.apply(TrustChanges(number=1_000, revocations=(revocation("from the future"),)))
    await until(lambda: known.state.number < 1_000)
    assert list(known.state.revocations._known) == [(RevocationKind.TOKEN, "default", "kept")]
    await known.add("a")
    await until(lambda: known.holds("a"))
    assert known.state.is_current


class TestOvertaken:
    """A database that went back, and whose numbers are those of other changes when we look."""

    @pytest.fixture
    async def known(self) -> AsyncIterator[Known]:
        made = Known()
        await made.add("one")
        await made.add("two")
        await made.watch.start()
        yield made
        await made.watch.close()

    async def is_found(self, known: Known) -> None:
        await until(lambda: known.holds("new"))
        assert known.holds("one")
        assert not known.holds("two")
        await until(lambda: known.state.is_current)

    async def test_while_it_could_not_be_reached(self, known: Known) -> None:
        known.db.away = StorageError("gone")
        await known.watch.refresh()
        await known.db.go_back_and_be_overtaken(lost="two", stored="new")
        known.db.away = None
        await self.is_found(known)

    async def test_and_that_was_followed_on_another_connection(self, known: Known) -> None:
        known.db.reconnects += 1
        await known.db.go_back_and_be_overtaken(lost="two", stored="new")
        await self.is_found(known)

    async def test_and_nobody_could_see_it(
        self, known: Known, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A pooler in between keeps our connections; the net is what is left."""
        await known.db.go_back_and_be_overtaken(lost="two", stored="new")
        await known.watch.refresh()
        assert not known.holds("new")
        monkeypatch.setattr(module, "_EVERYTHING_SECONDS", 0)
        await self.is_found(known)

    async def test_it_is_found_by_the_first_who_asks_when_nobody_follows(self) -> None:
        known = Known(max_age_seconds=0)
        await known.add("one")
        await known.add("two")
        await known.watch.refresh()
        await known.watch.close()
        known.db.away = StorageError("gone")
        await known.watch.refresh()
        await known.db.go_back_and_be_overtaken(lost="two", stored="new")
        known.db.away = None
        await known.watch.refresh()
        assert known.holds("new")
        await known.watch.close()

    async def test_between_the_two_readings_that_make_one(self, known: Known) -> None:
        store = InMemoryDb.trust(known.db)

        async def everything() -> TrustChanges:
            found = await store.everything()
            # It went back further than that, and was not overtaken.
            kept = known.db._trust._revocations  # type: ignore[attr-defined]
            del kept[(RevocationKind.TOKEN.value, "default", "two")]
            known.db._topics._numbers[TRUST_TOPIC] -= 1
            known.db.everything = None
            return found

        known.db.everything = everything
        known.db.reconnects += 1
        await until(lambda: not known.holds("two"))
        assert known.holds("one")
        assert known.state.number == 1


class TestWhileAllIsReadAnew:
    """It takes as long as it takes."""

    @pytest.fixture
    async def known(self) -> AsyncIterator[Known]:
        made = Known(max_age_seconds=0.3)
        await made.add("old")
        await made.watch.start()
        yield made
        await made.watch.close()

    @pytest.fixture
    def gate(self, known: Known) -> asyncio.Event:
        gate = asyncio.Event()
        store = InMemoryDb.trust(known.db)

        async def everything() -> TrustChanges:
            found = await store.everything()
            await gate.wait()
            return found

        known.db.everything = everything
        return gate

    async def test_what_is_known_stays_in_force_and_grows(
        self, known: Known, gate: asyncio.Event
    ) -> None:
        known.db.reconnects += 1
        for value in "abc":
            await known.add(value)
            await until(lambda value=value: known.holds(value))  # type: ignore[misc]
            assert known.holds("old")
        gate.set()
        await until(lambda: known.watch._settled == (0, 1))
        assert all(known.holds(value) for value in ("old", "a", "b", "c"))

    async def test_what_is_in_doubt_opens_nothing(self, known: Known, gate: asyncio.Event) -> None:
        known.db.reconnects += 1
        await until(lambda: not known.state.is_current)
        await known.add("a")
        await until(lambda: known.holds("a"))
        assert not known.state.is_current
        gate.set()
        await until(lambda: known.state.is_current)

    async def test_what_is_not_in_doubt_goes_on(
        self, known: Known, gate: asyncio.Event, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_EVERYTHING_SECONDS", 0)
        for _ in range(3):
            confirmed_at = known.state._read_at
            assert confirmed_at is not None
            # Neither is who waits for a reading kept waiting.
            await asyncio.wait_for(known.watch.refresh(), 20)
            assert known.state._read_at is not None
            assert known.state._read_at > confirmed_at
        assert not gate.is_set()

    async def test_others_work_however_much_it_is(
        self, known: Known, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_ROWS_AT_ONCE", 2)
        await known.add(*(f"{number}" for number in range(9)))
        turns = 0

        async def count() -> None:
            nonlocal turns
            while known.watch._settled != (0, 1):
                turns += 1
                await asyncio.sleep(0)

        known.db.reconnects += 1
        await asyncio.gather(known.watch.refresh(), count())
        assert turns >= 5
        assert len(known.state.revocations) == 10


async def test_where_all_cannot_be_read_anew_it_is_no_outage_unless_there_is_a_doubt(
    known: Known, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails() -> TrustChanges:
        raise StorageError("too slow")

    await known.watch.start()
    known.db.everything = fails
    with monkeypatch.context() as patched:
        patched.setattr(module, "_EVERYTHING_SECONDS", 0)
        await until(lambda: "not read anew for another while: too slow" in caplog.text)
    await known.add("a")
    await until(lambda: known.holds("a"))
    assert "cannot be read" not in caplog.text
    known.db.reconnects += 1
    await until(lambda: "cannot be read: too slow" in caplog.text)
    known.db.everything = None
    await until(lambda: "can be read again" in caplog.text)
    assert caplog.text.count("cannot be read") == 1


async def test_a_failing_refresh_is_logged_and_no_more(
    known: Known, caplog: pytest.LogCaptureFixture
) -> None:
    known.db.away = StorageError("no table")
    assert await known.watch.refresh() is False
    assert not known.state.is_current
    assert "revocations cannot be read: no table" in caplog.text
    with pytest.raises(StorageError):
        await known.watch.start()


async def test_whatever_fails_a_refresh_answers(
    known: Known, caplog: pytest.LogCaptureFixture
) -> None:
    await known.watch.start()
    known.db.away = ZeroDivisionError("a bug")
    assert await known.watch.refresh() is False
    assert "a bug" in caplog.text
    known.db.away = None
    assert await known.watch.refresh() is True


async def test_a_refresh_that_takes_too_long_is_none(
    known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    await known.watch.start()
    monkeypatch.setattr("licet.os.trust_watch._REFRESH_SECONDS", 0.01)

    async def held(*, after: int) -> TrustChanges:
        await asyncio.Event().wait()
        raise AssertionError(after)

    known.db.changes = held
    assert await known.watch.refresh() is False


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
