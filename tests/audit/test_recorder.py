from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from licet.audit import recorder as recording
from licet.audit.event import EventKind
from licet.audit.recorder import AuditUnavailableError, Recorder
from licet.errors import StorageError
from tests.audit.events import ListSink, event, events, until
from tests.support.examples import examples

NOW_US = 5_000_000
FOR_EVER = 600.0


def recorder(sink: ListSink, **given: Any) -> Recorder:
    return Recorder(sink, **{"batch_seconds": 0.005, "now_us": lambda: NOW_US, **given})


@asynccontextmanager
async def started(sink: ListSink, **given: Any) -> AsyncIterator[Recorder]:
    made = recorder(sink, **given)
    await made.start()
    try:
        yield made
    finally:
        sink.free.set()
        await made.close()


async def record_all(made: Recorder, first: int, last: int) -> None:
    for each in events(first, last):
        await made.record(each)


def names(first: int, last: int) -> list[str]:
    return [f"request-{number}" for number in range(first, last + 1)]


async def until_in_hand(sink: ListSink) -> None:
    await until(lambda: len(sink.tries) > 0, what="the sink was given something")


async def until_it_rests() -> None:
    """Let it do whatever it does without being waited for."""
    for _ in range(20):
        await asyncio.sleep(0)


class TestBatched:
    async def test_events_are_kept_in_their_order(self) -> None:
        sink = ListSink()
        async with started(sink) as made:
            await record_all(made, 1, 500)
            await until(lambda: len(sink.kept) == 500, what="all were kept")
            assert made.waiting == 0
        assert sink.ids == names(1, 500)

    async def test_an_event_is_accepted_before_it_is_kept(self) -> None:
        sink = ListSink()
        sink.free.clear()
        async with started(sink) as made:
            await record_all(made, 1, 5)
            assert (made.waiting, sink.kept) == (5, [])

    async def test_what_comes_within_a_moment_is_one_batch(self) -> None:
        sink = ListSink()
        async with started(sink, batch_seconds=0.2) as made:
            await record_all(made, 1, 30)
            await until(lambda: len(sink.kept) > 0, what="something was kept")
        assert sink.batches == [30]

    async def test_what_comes_while_a_batch_is_written_is_the_next_one(self) -> None:
        sink = ListSink()
        sink.free.clear()
        async with started(sink) as made:
            await record_all(made, 1, 3)
            await until_in_hand(sink)
            await record_all(made, 4, 9)
            sink.free.set()
            await until(lambda: len(sink.kept) == 9, what="all were kept")
        assert sink.batches == [3, 6]

    async def test_a_batch_is_gathered_also_where_something_waits_already(self) -> None:
        """As under load, where it always does: a batch for a few records is a dear one."""
        sink = ListSink()
        sink.free.clear()
        async with started(sink, batch_seconds=FOR_EVER, max_waiting=6) as made:
            await record_all(made, 1, 3)
            await until_in_hand(sink)
            await record_all(made, 4, 5)
            sink.free.set()
            await until(lambda: len(sink.kept) == 3, what="the first batch was kept")
            await until_it_rests()
            await made.record(event(6))
            await until(lambda: len(sink.kept) == 6, what="all were kept")
        assert sink.batches == [3, 3]

    async def test_a_batch_has_a_largest_size(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(recording, "_MAX_BATCH", 100)
        sink = ListSink()
        sink.free.clear()
        async with started(sink) as made:
            await record_all(made, 1, 250)
            sink.free.set()
            await until(lambda: len(sink.kept) == 250, what="all were kept")
        assert sink.batches == [100, 100, 50]
        assert sink.ids == names(1, 250)

    @pytest.mark.parametrize(
        ("max_waiting", "enough"), [(1, 1), (2, 1), (10, 5), (20_000, 2_000), (10**9, 2_000)]
    )
    async def test_enough_is_written_at_once_however_long_is_gathered(
        self, max_waiting: int, enough: int
    ) -> None:
        sink = ListSink()
        async with started(sink, batch_seconds=FOR_EVER, max_waiting=max_waiting) as made:
            await record_all(made, 1, enough)
            await until(lambda: len(sink.kept) == enough, what="all were kept")

    async def test_it_goes_on_after_it_had_nothing_to_do(self) -> None:
        sink = ListSink()
        async with started(sink) as made:
            for number in range(1, 6):
                await made.record(event(number))
                await until(lambda n=number: len(sink.kept) == n, what="it was kept")  # type: ignore[misc]  # bound now
        assert sink.batches == [1] * 5


class TestBounded:
    async def test_too_many_that_wait_are_refused_and_none_of_the_accepted_is_lost(self) -> None:
        sink = ListSink()
        sink.free.clear()
        async with started(sink, max_waiting=10) as made:
            await record_all(made, 1, 10)
            for number in range(11, 14):
                with pytest.raises(AuditUnavailableError, match="too many audit records wait"):
                    await made.record(event(number))
            assert made.waiting == 10
            sink.free.set()
            await until(lambda: len(sink.kept) == 11, what="all were kept")
            await made.record(event(14))
            await until(lambda: len(sink.kept) == 12, what="it takes more")
        assert sink.ids == [*names(1, 10), "", "request-14"]

    async def test_what_is_being_written_counts_as_waiting(self) -> None:
        sink = ListSink()
        sink.free.clear()
        async with started(sink, max_waiting=4) as made:
            await record_all(made, 1, 2)
            await until_in_hand(sink)
            await record_all(made, 3, 4)
            with pytest.raises(AuditUnavailableError):
                await made.record(event(5))

    async def test_refusals_become_one_gap_with_their_number(self) -> None:
        sink = ListSink()
        sink.free.clear()
        async with started(sink, max_waiting=2) as made:
            await record_all(made, 1, 2)
            for number in range(3, 8):
                with pytest.raises(AuditUnavailableError):
                    await made.record(event(number))
            sink.free.set()
            await until(lambda: len(sink.kept) == 3, what="the gap was kept")
        gap = sink.kept[-1]
        assert (gap.kind, gap.decision, gap.status) == (EventKind.GAP.value, "deny", 503)
        assert gap.reason == "5 requests were refused: their records could not be taken"
        assert (gap.time_us, gap.rule, gap.subject) == (NOW_US, "audit", None)

    async def test_each_time_of_refusals_is_a_gap_of_its_own(self) -> None:
        sink = ListSink()
        async with started(sink, max_waiting=1) as made:
            for turn in (1, 2):
                sink.free.clear()
                await made.record(event(turn))
                with pytest.raises(AuditUnavailableError):
                    await made.record(event(9))
                sink.free.set()
                await until(lambda t=turn: len(sink.kept) == 2 * t, what="the gap was kept")  # type: ignore[misc]  # bound now
        assert sink.ids == ["request-1", "", "request-2", ""]


class TestBlocking:
    async def test_an_event_is_accepted_when_it_is_kept(self) -> None:
        sink = ListSink()
        sink.free.clear()
        async with started(sink, blocking=True, timeout_seconds=FOR_EVER) as made:
            recording = asyncio.create_task(made.record(event()))
            await until_in_hand(sink)
            assert not recording.done()
            sink.free.set()
            await recording
            assert sink.ids == names(1, 1)

    async def test_nobody_waits_for_others_to_be_gathered(self) -> None:
        sink = ListSink()
        async with started(sink, blocking=True, batch_seconds=FOR_EVER) as made:
            await asyncio.wait_for(made.record(event()), 10)

    async def test_those_who_wait_together_share_a_batch(self) -> None:
        sink = ListSink()
        sink.free.clear()
        async with started(sink, blocking=True, timeout_seconds=FOR_EVER) as made:
            first = asyncio.create_task(made.record(event(1)))
            await until_in_hand(sink)
            others = [asyncio.create_task(made.record(each)) for each in events(2, 20)]
            await until(lambda: made.waiting == 20, what="all wait")
            sink.free.set()
            await asyncio.gather(first, *others)
        assert sink.batches == [1, 19]

    async def test_who_waits_too_long_is_refused_and_counted(self) -> None:
        sink = ListSink()
        sink.free.clear()
        async with started(sink, blocking=True, timeout_seconds=0.01) as made:
            for number in (1, 2):
                with pytest.raises(AuditUnavailableError, match="not written in time"):
                    await made.record(event(number))
            sink.free.set()
            await until(lambda: len(sink.kept) == 3, what="they and the gap were kept")
        assert sink.ids == ["request-1", "request-2", ""]
        assert sink.kept[-1].reason.startswith("2 requests")

    async def test_who_leaves_takes_nothing_from_the_others(self) -> None:
        sink = ListSink()
        sink.free.clear()
        async with started(sink, blocking=True, timeout_seconds=FOR_EVER) as made:
            leaving = asyncio.create_task(made.record(event(1)))
            staying = asyncio.create_task(made.record(event(2)))
            await until(lambda: made.waiting == 2, what="both wait")
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
            sink.free.set()
            await staying
        assert sink.ids == names(1, 2)

    async def test_memory_is_bounded_too(self) -> None:
        sink = ListSink()
        sink.free.clear()
        async with started(sink, blocking=True, max_waiting=3, timeout_seconds=FOR_EVER) as made:
            waiting = [asyncio.create_task(made.record(each)) for each in events(1, 3)]
            await until(lambda: made.waiting == 3, what="all wait")
            with pytest.raises(AuditUnavailableError, match="too many"):
                await made.record(event(4))
            sink.free.set()
            await asyncio.gather(*waiting)


class TestFailing:
    @pytest.mark.parametrize("blocking", [True, False])
    async def test_a_sink_that_fails_for_a_while_loses_nothing(
        self,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        *,
        blocking: bool,
    ) -> None:
        monkeypatch.setattr(recording, "_FIRST_PAUSE_SECONDS", 0.001)
        sink = ListSink()
        sink.failures = [StorageError("away"), OSError("still"), ValueError("whatever")]
        async with started(sink, blocking=blocking, timeout_seconds=FOR_EVER) as made:
            await asyncio.gather(*(made.record(each) for each in events(1, 20)))
            await until(lambda: len(sink.kept) == 20, what="all were kept")
        assert sink.ids == names(1, 20)
        said = [(r.levelname, r.getMessage()) for r in caplog.records]
        assert said == [
            ("ERROR", "audit records cannot be written: away"),
            ("WARNING", "audit records can be written again"),
        ]

    async def test_the_same_batch_comes_again_as_it_was(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recording, "_FIRST_PAUSE_SECONDS", 0.001)
        sink = ListSink()
        sink.free.clear()
        sink.failures = [StorageError("away")] * 3
        async with started(sink) as made:
            await record_all(made, 1, 3)
            await until_in_hand(sink)
            await record_all(made, 4, 6)
            sink.free.set()
            await until(lambda: len(sink.kept) == 6, what="all were kept")
        assert sink.tries == [events(1, 3)] * 4 + [events(4, 6)]

    async def test_the_pauses_grow_up_to_a_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pauses, sleep = [], asyncio.sleep

        async def note(seconds: float) -> None:
            if seconds > 0.05:
                pauses.append(seconds)
            await sleep(0)

        sink = ListSink()
        sink.failures = [StorageError("away")] * 8
        async with started(sink) as made:
            monkeypatch.setattr(asyncio, "sleep", note)
            await made.record(event())
            while not sink.kept:
                await sleep(0.001)
            monkeypatch.undo()
        assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]

    async def test_a_worker_that_was_ended_loses_nothing_and_gives_the_same_batch(self) -> None:
        """As the end of an event loop does it, for one."""
        sink = ListSink()
        sink.free.clear()
        async with started(sink) as made:
            await record_all(made, 1, 3)
            await until_in_hand(sink)
            assert made._working is not None
            made._working.cancel()
            await asyncio.gather(made._working, return_exceptions=True)
            sink.free.set()
            await made.record(event(4))
            await until(lambda: len(sink.kept) == 4, what="all were kept")
        assert sink.tries == [events(1, 3), events(1, 3), events(4, 4)]

    async def test_a_sink_that_does_not_start_is_told(self) -> None:
        class Broken(ListSink):
            async def start(self) -> None:
                raise StorageError("no database")

        made = recorder(Broken())
        with pytest.raises(StorageError, match="no database"):
            await made.start()
        await made.close()


class TestClosing:
    @pytest.mark.parametrize("batch_seconds", [0.005, FOR_EVER])
    async def test_what_waits_is_written_first_however_long_is_gathered(
        self, batch_seconds: float
    ) -> None:
        sink = ListSink()
        made = recorder(sink, batch_seconds=batch_seconds)
        await made.start()
        await record_all(made, 1, 100)
        await made.close()
        assert sink.ids == names(1, 100)
        assert sink.calls == ["start", "close"]
        assert made.waiting == 0

    async def test_what_the_sink_is_busy_with_is_waited_for(self) -> None:
        sink = ListSink()
        sink.free.clear()
        made = recorder(sink)
        await made.start()
        await record_all(made, 1, 3)
        await until_in_hand(sink)
        closing = asyncio.create_task(made.close())
        await asyncio.sleep(0)
        assert sink.calls == ["start"]
        sink.free.set()
        await closing
        assert (sink.ids, sink.calls) == (names(1, 3), ["start", "close"])

    async def test_nothing_is_taken_meanwhile_and_that_is_noted_later(self) -> None:
        sink = ListSink()
        sink.free.clear()
        made = recorder(sink)
        await made.start()
        await made.record(event(1))
        await until_in_hand(sink)
        closing = asyncio.create_task(made.close())
        await asyncio.sleep(0)
        with pytest.raises(AuditUnavailableError, match="is being closed"):
            await made.record(event(2))
        sink.free.set()
        await closing
        assert sink.ids == ["request-1", ""]

    async def test_what_cannot_be_written_in_time_is_told(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(recording, "_CLOSE_SECONDS", 0.02)
        sink = ListSink()
        sink.free.clear()
        made = recorder(sink)
        await made.start()
        await record_all(made, 1, 7)
        await made.close()
        assert "7 audit records could not be written and are lost" in caplog.messages
        assert (sink.kept, sink.calls, made.waiting) == ([], ["start", "close"], 0)

    async def test_who_still_waits_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(recording, "_CLOSE_SECONDS", 0.02)
        sink = ListSink()
        sink.free.clear()
        made = recorder(sink, blocking=True, timeout_seconds=FOR_EVER)
        await made.start()
        staying, leaving = (asyncio.create_task(made.record(each)) for each in events(1, 2))
        await until(lambda: made.waiting == 2, what="both wait")
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await made.close()
        with pytest.raises(AuditUnavailableError, match="was not written"):
            await staying

    async def test_a_sink_that_does_not_close_leaves_a_recorder_that_can_start(self) -> None:
        class Stuck(ListSink):
            async def close(self) -> None:
                await super().close()
                if self.calls.count("close") == 1:
                    raise OSError("stuck")

        sink = Stuck()
        made = recorder(sink)
        await made.start()
        with pytest.raises(OSError, match="stuck"):
            await made.close()
        await made.start()
        await made.record(event(1))
        await made.close()
        assert sink.ids == names(1, 1)

    async def test_a_second_start_works(self) -> None:
        sink = ListSink()
        made = recorder(sink)
        for turn in range(3):
            await made.start()
            await record_all(made, 10 * turn + 1, 10 * turn + 10)
            await made.close()
        assert sink.ids == names(1, 30)
        assert sink.calls == ["start", "close"] * 3

    async def test_closing_what_was_not_started_closes_the_sink(self) -> None:
        sink = ListSink()
        await recorder(sink).close()
        assert sink.calls == ["close"]


class TestWithoutALifespan:
    async def test_an_event_is_kept_without_a_start(self) -> None:
        sink = ListSink()
        made = recorder(sink)
        await made.record(event())
        await until(lambda: len(sink.kept) == 1, what="it was kept")
        await made.close()
        assert sink.calls == ["close"]

    async def test_a_blocking_one_too(self) -> None:
        sink = ListSink()
        made = recorder(sink, blocking=True)
        await made.record(event())
        assert sink.ids == names(1, 1)
        await made.close()

    def test_one_event_loop_after_another_can_be_used(self) -> None:
        """What one loop left undone is done on the next."""
        sink = ListSink()
        made = recorder(sink, batch_seconds=FOR_EVER)

        async def record(number: int) -> None:
            await made.record(event(number))
            # It begins to gather, and is ended with its loop.
            for _ in range(3):
                await asyncio.sleep(0)

        for number in range(1, 4):
            asyncio.run(record(number))
        assert (sink.ids, made.waiting) == ([], 3)
        asyncio.run(made.close())
        assert sink.ids == names(1, 3)

    def test_and_on_each_of_them_it_works_as_on_the_first(self) -> None:
        sink = ListSink()
        made = recorder(sink)

        async def record(number: int) -> None:
            await made.record(event(number))
            await until(lambda: len(sink.kept) == number, what="it was kept")

        for number in range(1, 4):
            asyncio.run(record(number))
        asyncio.run(made.close())
        assert sink.ids == names(1, 3)


Step = tuple[str, int]
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(st.sampled_from(("record", "fail", "hold", "free", "let work")), st.integers(1, 9)),
    max_size=30,
)


@settings(max_examples=examples(0.6))
@given(STEPS, st.integers(1, 12), st.integers(1, 5))
def test_whatever_happens_what_was_accepted_is_kept_once_and_in_order(
    steps: list[Step], max_waiting: int, max_batch: int
) -> None:
    asyncio.run(_goes_through(steps, max_waiting, max_batch))


async def _goes_through(steps: list[Step], max_waiting: int, max_batch: int) -> None:
    sink, accepted, refused, number = ListSink(), [], 0, 0
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(recording, "_MAX_BATCH", max_batch)
        patched.setattr(recording, "_FIRST_PAUSE_SECONDS", 0.00001)
        patched.setattr(recording, "_LONGEST_PAUSE_SECONDS", 0.00002)
        patched.setattr(logging.getLogger(recording.__name__), "disabled", True)
        made = recorder(sink, max_waiting=max_waiting, batch_seconds=0.0001)
        await made.start()
        for what, count in steps:
            if what == "record":
                for _ in range(count):
                    number += 1
                    try:
                        await made.record(event(number))
                        accepted.append(f"request-{number}")
                    except AuditUnavailableError:
                        refused += 1
            elif what == "fail":
                sink.failures += [StorageError("away")] * count
            elif what == "let work":
                for _ in range(count):
                    await asyncio.sleep(0)
            else:
                _turn(sink.free, what)
            assert made.waiting <= max_waiting + 1
        sink.free.set()
        await made.close()
    assert [name for name in sink.ids if name] == accepted
    gaps = [e for e in sink.kept if e.kind == "gap"]
    assert sum(int(gap.reason.split()[0]) for gap in gaps) == refused


def _turn(free: asyncio.Event, what: str) -> None:
    turn: Callable[[], None] = free.set if what == "free" else free.clear
    turn()
