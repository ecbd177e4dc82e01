from __future__ import annotations

from licet.runs.log import EventLog
from licet.runs.logs import RunLogs


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def ended(logs: RunLogs, run_id: str, frame: bytes = b"x") -> None:
    log = logs.open(run_id)
    log.append(frame)
    log.close()
    logs.keep(run_id, log)


def kept(logs: RunLogs, *run_ids: str) -> list[str]:
    return [run_id for run_id in run_ids if logs.get(run_id) is not None]


def test_the_log_of_a_run_is_there_from_its_beginning_on_and_when_it_has_ended() -> None:
    logs = RunLogs()
    log = logs.open("a")
    assert logs.get("a") is log
    log.close()
    logs.keep("a", log)
    assert logs.get("a") is log
    assert logs.get("b") is None


def test_what_has_ended_is_kept_for_a_while() -> None:
    clock = Clock()
    logs = RunLogs(keep_seconds=600, clock=clock)
    logs.open("works")
    ended(logs, "a")
    clock.seconds = 599
    ended(logs, "b")
    assert kept(logs, "works", "a", "b") == ["works", "a", "b"]
    clock.seconds = 600
    assert kept(logs, "works", "a", "b") == ["works", "b"]
    clock.seconds = 100_000
    assert kept(logs, "works", "a", "b") == ["works"]
    assert len(logs) == 1


def test_of_too_many_the_one_that_ended_first_goes() -> None:
    logs = RunLogs(max_ended=2)
    for run_id in ("a", "b", "c"):
        ended(logs, run_id)
    assert kept(logs, "a", "b", "c") == ["b", "c"]


def test_of_too_much_the_one_that_ended_first_goes() -> None:
    logs = RunLogs(max_ended_bytes=5)
    for run_id, frame in (("a", b"xx"), ("b", b"xx"), ("c", b"xxx"), ("d", b"x")):
        ended(logs, run_id, frame)
    assert kept(logs, "a", "b", "c", "d") == ["c", "d"]
    ended(logs, "huge", b"x" * 6)
    assert len(logs) == 0


def test_what_was_never_opened_or_is_kept_already_is_not_kept_again() -> None:
    clock = Clock()
    logs = RunLogs(keep_seconds=10, clock=clock)
    ended(logs, "a")
    clock.seconds = 5
    log = logs.get("a")
    assert log is not None
    logs.keep("a", log)
    logs.keep("unknown", EventLog())
    assert len(logs) == 1
    clock.seconds = 10
    assert logs.get("a") is None


def test_a_run_that_goes_on_has_the_log_that_it_had_if_nothing_is_missing_in_it() -> None:
    logs = RunLogs()
    ended(logs, "a")
    paused = logs.get("a")
    log = logs.open("a", first_index=1, leg=1)
    assert log is paused
    assert (log.ended, log.leg) == (False, 1)
    logs.keep("a", log)
    assert logs.open("a", first_index=5, leg=2) is not log


def test_whoever_closes_late_does_not_take_the_log_of_a_run_that_goes_on_already() -> None:
    logs = RunLogs(max_ended=0)
    before = logs.open("a")
    now = logs.open("a", first_index=1, leg=1)
    before.close()
    logs.keep("a", before)
    assert logs.get("a") is now
    assert not now.ended
