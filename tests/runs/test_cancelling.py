from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from licet.agent.output import RunOutput
from licet.db.base import Store
from licet.db.records import RunRecord, RunStatus, Saving, SessionKey
from licet.db.run_states import ENDED, may_follow
from licet.errors import NotFoundError
from licet.runs.cancelling import RunEndedError, cancel_run
from tests.runs.stored import record

REASON, NOW_US = "cancelled by olga", 99_000_000


class Row:
    """A store with one run, which others change just before it is written.

    Args:
        now: the run.
        then: what it becomes, one after the other, whenever somebody is about to change it.
    """

    def __init__(self, now: RunRecord | None, *then: RunRecord | None) -> None:
        self.run = now
        self.asked: list[tuple[SessionKey, str, int]] = []
        self._then = list(then)

    def _others_come_first(self) -> None:
        if self._then:
            self.run = self._then.pop(0)

    async def get_run(self, _key: SessionKey, _run_id: str) -> RunRecord | None:
        return self.run

    async def save_run(self, run: RunRecord, *, session_state: dict[str, Any] | None) -> Saving:
        assert session_state is None
        self._others_come_first()
        if self.run is None:
            return Saving.ABSENT
        if not may_follow(self.run.status, run.status) or run.executor_id != self.run.executor_id:
            return Saving.REFUSED
        self.run = run
        return Saving.SAVED

    async def ask_to_cancel(self, key: SessionKey, run_id: str, *, now_us: int) -> bool:
        self._others_come_first()
        if self.run is None or self.run.status is not RunStatus.RUNNING:
            return False
        self.asked.append((key, run_id, now_us))
        return True


class Here:
    """What works in this process."""

    def __init__(self, *run_ids: str) -> None:
        self.run_ids = run_ids
        self.stopped: list[tuple[str, str]] = []

    def stop(self, run_id: str, reason: str) -> bool:
        if run_id in self.run_ids:
            self.stopped.append((run_id, reason))
        return run_id in self.run_ids


async def cancel(row: Row, here: Here | None = None, *, seen: RunRecord | None = None) -> None:
    run = seen or row.run
    assert run is not None
    await cancel_run(
        run,
        store=cast("Store", row),
        stop_here=(here or Here()).stop,
        reason=REASON,
        now_us=NOW_US,
    )


def stored(row: Row) -> RunOutput:
    assert row.run is not None
    output = RunOutput.from_json(row.run.body)
    assert output.status is row.run.status
    return output


@pytest.mark.parametrize("status", [RunStatus.PENDING, RunStatus.PAUSED])
async def test_what_nobody_works_on_is_cancelled_at_once(status: RunStatus) -> None:
    row = Row(record(status, content="half", executor_id="before"))
    await cancel(row)
    output = stored(row)
    assert (output.status, output.content) == (RunStatus.CANCELLED, "half")
    assert (output.error_type, output.cancellation_reason) == ("cancelled", REASON)
    assert row.run is not None
    assert (row.run.updated_at_us, row.run.executor_id) == (NOW_US, "before")


async def test_what_works_here_is_stopped_and_nobody_else_is_asked() -> None:
    row, here = Row(record(RunStatus.RUNNING)), Here("r")
    await cancel(row, here)
    assert here.stopped == [("r", REASON)]
    assert row.asked == []


async def test_whoever_works_elsewhere_is_asked() -> None:
    run = record(RunStatus.RUNNING)
    row, here = Row(run), Here("another")
    await cancel(row, here)
    assert row.asked == [(run.session_key, "r", NOW_US)]
    assert stored(row).status is RunStatus.RUNNING


@pytest.mark.parametrize("status", sorted(ENDED))
async def test_what_has_ended_stays_as_it_ended(status: RunStatus) -> None:
    row = Row(record(status, content="done"))
    with pytest.raises(RunEndedError, match=f"has ended already: {status}"):
        await cancel(row)
    assert stored(row).content == "done"


@pytest.mark.parametrize("seen", [RunStatus.PENDING, RunStatus.RUNNING, RunStatus.PAUSED])
async def test_a_run_that_ends_while_it_is_looked_at_has_ended(seen: RunStatus) -> None:
    row = Row(record(seen), record(RunStatus.COMPLETED))
    with pytest.raises(RunEndedError):
        await cancel(row)


@pytest.mark.parametrize("seen", [RunStatus.PENDING, RunStatus.RUNNING, RunStatus.PAUSED])
async def test_a_run_that_is_deleted_while_it_is_looked_at_is_not_there(seen: RunStatus) -> None:
    with pytest.raises(NotFoundError, match="Run not found"):
        await cancel(Row(record(seen), None))


async def test_a_run_that_begins_while_it_is_looked_at_is_stopped_where_it_works() -> None:
    begun = record(RunStatus.RUNNING, executor_id="elsewhere")
    row = Row(record(RunStatus.PENDING), begun)
    await cancel(row)
    assert [run_id for _, run_id, _ in row.asked] == ["r"]


async def test_a_run_that_pauses_while_it_is_looked_at_is_cancelled() -> None:
    running = record(RunStatus.RUNNING, executor_id="elsewhere")
    row = Row(running, replace(running, status=RunStatus.PAUSED))
    await cancel(row)
    assert stored(row).status is RunStatus.CANCELLED
