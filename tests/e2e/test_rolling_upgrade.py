"""Replicas of one version, replaced one by one with another version of the program, under load.

No accepted run is lost, none doubled; what paused under the old version is decided under the new.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest

from licet.db.base import Access
from licet.db.postgres import PostgresDb
from licet.db.records import RecentRuns, RunHead, RunStatus
from tests.support.postgres import EmbeddedPostgres, fresh_schema
from tests.support.survival import (
    ANSWER,
    DEADLINE_SECONDS,
    STEPS,
    Replica,
    Seen,
    check,
    follow,
    house,
)
from tests.support.upgrade import PROGRAM, SERVER_ERROR, People, says

REPLICAS = 3
STOPPED = "the server was stopped"
ALL_STEPS = list(range(1, STEPS + 1))
# What was asked, whether durably, and what the tools came to when it was decided with B.
PAUSES: Sequence[tuple[str, bool, list[str]]] = [
    ("pay", False, ["B paid 7"]),
    ("pay", True, ["B paid 7"]),
    ("refund", False, ["B refunded 5"]),
    ("refund", True, ["B refunded 5"]),
    ("both", False, ["B paid 7", "B refunded 5"]),
    ("both", True, ["B paid 7", "B refunded 5"]),
    ("mail", False, ["B mailed hi to bob"]),
    ("mail", True, ["B mailed hi to bob"]),
    ("shell", False, ["a b c"]),
    ("shell", True, ["a b c"]),
    # B asks for another's approval: that its owner confirmed it is not enough.
    ("drop", True, ["The call was not made: nobody has decided about it. Ask for it anew."]),
    ("legacy", True, ["There is no tool 'legacy'. There are: drop, mail, pay, refund, shell."]),
]


@dataclass(frozen=True)
class Paused:
    """A run that paused, and what could be seen of it then."""

    seen: Seen
    durable: bool
    run: dict[str, Any]
    approvals: list[dict[str, Any]]


class Load:
    """Begins runs of all kinds, one after the other, and sees each to its end."""

    def __init__(self, people: People, pool: ThreadPoolExecutor) -> None:
        self._people = people
        self._pool = pool
        self._stop = threading.Event()
        self.seen: list[Future[Seen]] = []
        self._thread = threading.Thread(target=self._begin_all)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _begin_all(self) -> None:
        kinds: Sequence[Callable[[str], Seen]] = [
            self._durable,
            self._foreground,
            lambda key: self._people.stream("go", key=key, background="true"),
            lambda key: self._people.stream("go", key=key),
            lambda key: self._decided("pay", key, durable=True),
            lambda key: self._decided("pay", key, durable=False),
            lambda key: self._decided("refund", key, durable=True),
            lambda key: self._decided("refund", key, durable=False),
        ]
        for number, kind in enumerate(itertools.cycle(kinds)):
            if self._stop.wait(0.3):
                return
            self.seen.append(self._pool.submit(kind, f"{number}"))

    def _durable(self, key: str) -> Seen:
        seen = self._people.begin("go", key=key)
        follow(seen, self._people.url)
        return seen

    def _foreground(self, key: str) -> Seen:
        return self._people.seen("worker", self._people.begin_here("go", key=key))

    def _decided(self, message: str, key: str, *, durable: bool) -> Seen:
        seen = pausing(self._people, message, key, durable=durable)
        if durable and self._people.until(seen, "PAUSED", "ERROR", "CANCELLED"):
            decide(self._people, seen, durable=True)
        elif not durable and self._people.run(seen)["status"] == "PAUSED":
            decide(self._people, seen, durable=False)
        return seen


def pausing(people: People, message: str, key: str, *, durable: bool) -> Seen:
    """A run that pauses, or will."""
    if durable:
        return people.begin(message, key=key, agent="cashier")
    return people.seen("cashier", people.begin_here(message, key=key, agent="cashier"))


def decide(people: People, seen: Seen, *, durable: bool) -> None:
    """Have all decided that a run waits with, and let it go on."""
    people.approve(seen)
    # A durable run goes on by itself where its owner has nothing to say.
    if not durable or any(t.get("approval_type") is None for t in people.run(seen)["tools"]):
        people.go_on(seen, durable=durable)
    follow(seen, people.url)


def paused(people: People) -> list[Paused]:
    """Runs of all kinds that wait for people."""
    seen = [
        pausing(people, message, f"paused {number}", durable=durable)
        for number, (message, durable, _) in enumerate(PAUSES)
    ]
    return [
        Paused(each, durable, people.until(each, "PAUSED"), people.approvals(each))
        for each, (_, durable, _) in zip(seen, PAUSES, strict=True)
    ]


def decide_under_b(people: People, waiting: Sequence[Paused]) -> None:
    """What A left is as it was, whatever was rolled out; now it is decided."""
    for before in waiting:
        assert people.run(before.seen) == before.run
        assert people.approvals(before.seen) == before.approvals
        decide(people, before.seen, durable=before.durable)


def stored(db_url: str) -> list[RunHead]:
    """All runs that there are."""

    async def read() -> list[RunHead]:
        db = PostgresDb(db_url)
        found = await db.store(Access("", sees_all=True)).recent_runs(RecentRuns(limit=1000))
        await db.close()
        return list(found)

    return asyncio.run(read())


class RollOut:
    """What is begun while replicas of both versions serve."""

    def __init__(self, people: People, pool: ThreadPoolExecutor) -> None:
        self._people = people
        self._pool = pool
        self.ended: list[Replica] = []
        self.newcomers: dict[Seen, Future[None]] = {}
        self.slow: dict[Seen, Future[Seen]] = {}

    def before_end(self, old: Replica, new: Replica) -> None:
        """Begin at the old one what it will not finish, and at the new one what only it knows."""
        place = len(self.ended)
        self.ended.append(old)
        for name, form in (("durable", {"background": "true"}), ("foreground", {})):
            seen, key = self._people.unseen(), f"{name} {place}"
            self.slow[seen] = self._pool.submit(
                self._people.stream, "slow", key=key, at=old, into=seen, **form
            )
        for number in range(3):
            key = f"newcomer {place} {number}"
            seen = self._people.begin("go", key=key, agent="newcomer", at=new)
            # The others do not know its agent.
            self.newcomers[seen] = self._pool.submit(follow, seen, lambda: new.url)
        until(lambda: all(is_being_shown(seen) for seen in self.slow))

    def wait(self) -> None:
        """Until all of it has been read to its end."""
        for reading in self.slow.values():
            reading.result()
        for following in self.newcomers.values():
            following.result()


def is_being_shown(seen: Seen) -> bool:
    """Whether a reader has some of a run's answer."""
    return any(event["event"] == "RunContent" for event in seen.events)


def until(holds: Callable[[], object]) -> None:
    """Look again and again until it holds."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def served(folder: Path, db_url: str) -> Iterator[tuple[People, ThreadPoolExecutor]]:
    """Three replicas of A, and the people who use them."""
    with (
        house(folder, db_url, program=PROGRAM, says=says()) as at,
        ThreadPoolExecutor(100) as pool,
    ):
        people = People(at)
        (folder / "public.pem").write_text(people.tokens.public_key)
        for _ in range(REPLICAS):
            at.start()
        at.wait_until_serving()
        yield people, pool


@dataclass(frozen=True)
class Judge:
    """Looks at runs when all is over. ``calls`` are those of tools, by run."""

    people: People
    calls: dict[str, list[int]]

    def worker(self, seen: Seen) -> None:
        """A run of three steps: all of them done, or, in the foreground, honestly stopped."""
        run, calls = self.people.run(seen), self.calls.get(seen.run_id, [])
        if run["status"] == "CANCELLED":
            assert run["cancellation_reason"] == STOPPED
            assert calls == ALL_STEPS[: len(calls)]
        else:
            assert (run["status"], run["content"]) == ("COMPLETED", ANSWER)
            assert calls == ALL_STEPS

    def cashier(self, seen: Seen) -> None:
        """A run whose one call was decided: made once, or, in the foreground, stopped honestly."""
        run, calls = self.people.run(seen), self.calls.get(seen.run_id, [])
        if run["status"] == "CANCELLED":
            assert run["cancellation_reason"] == STOPPED
            assert len(calls) <= 1
        else:
            assert run["status"] == "COMPLETED", run
            assert len(calls) == 1

    def newcomer(self, seen: Seen) -> None:
        """A run of an agent that only B has: nothing was lacking."""
        check(seen, self.calls.get(seen.run_id, []))

    def decided(self, before: Paused, results: list[str]) -> None:
        """What was decided with B came to what B's tools do, and was done once."""
        run, calls = self.people.run(before.seen), self.calls.get(before.seen.run_id, [])
        assert run["status"] == "COMPLETED", run
        assert [tool["result"] for tool in run["tools"]] == results
        assert len(calls) == sum(result.startswith("B ") for result in results)

    def slow(self, seen: Seen) -> None:
        """A run that its process did not finish: told whole by another one, or honestly stopped."""
        last = seen.events[-1]
        if last["event"] == "RunCancelled":
            assert last["reason"] == STOPPED
        else:
            assert (last["event"], last["content"]) == ("RunCompleted", ANSWER)
            assert [event["event_index"] for event in seen.events] == list(range(len(seen.events)))
            assert seen.text() == ANSWER


@pytest.mark.timeout(400)
def test_a_roll_out_of_another_version_loses_no_run_and_doubles_none(
    tmp_path: Path, postgres_server: EmbeddedPostgres
) -> None:
    with fresh_schema(postgres_server) as url, served(tmp_path, url) as (people, pool):
        waiting, rolling = paused(people), RollOut(people, pool)
        people.at.version = "B"
        with Load(people, pool) as load:
            people.at.replace_all(rolling.before_end)
        begun = [each.result() for each in load.seen]
        rolling.wait()
        decide_under_b(people, waiting)
        judge = Judge(people, people.at.calls())
        for seen in begun:
            (judge.worker if seen.agent_id == "worker" else judge.cashier)(seen)
        for seen in rolling.newcomers:
            judge.newcomer(seen)
        for seen in rolling.slow:
            judge.slow(seen)
        for before, (_, _, results) in zip(waiting, PAUSES, strict=True):
            judge.decided(before, results)
        heads = stored(url)
        printed = [each.process.output for each in (*rolling.ended, *people.at.replicas)]
    accepted = [*begun, *rolling.slow, *rolling.newcomers, *(each.seen for each in waiting)]
    assert sorted(head.run_id for head in heads) == sorted(seen.run_id for seen in accepted)
    assert {head.status for head in heads} <= {RunStatus.COMPLETED, RunStatus.CANCELLED}
    assert all(head.status is RunStatus.COMPLETED for head in heads if head.durable)
    assert len(begun) >= 8 * REPLICAS
    # Some were shown to readers, and then told anew by another process.
    assert any("supersedes_from_index" in e for seen in rolling.slow for e in seen.events)
    assert SERVER_ERROR not in people.statuses
    assert not [text for text in printed if "Traceback" in text], printed
