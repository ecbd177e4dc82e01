"""Runs wait for people, who decide, twice and at once, while processes die and authority goes."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from licet.db.records import RunRecord
from tests.support.examples import examples
from tests.support.pause_place import PEOPLE, WAYS, PausePlace

T = TypeVar("T")
Todo = Callable[[RunRecord], Awaitable[None]]


@dataclass(frozen=True)
class Then:
    """What happens to the work that a decision begins: it takes its time, its process ends."""

    held: bool = False
    process: Literal["killed", "ended"] | None = None


NOTHING = Then()

people = st.sampled_from(PEOPLE)
sessions = st.sampled_from(["s", "t"])
messages = st.sampled_from(["pay", "refund", "pay refund", "pay look|refund", "refund|pay", "look"])
places = st.integers(0, 5)
afterwards = st.builds(
    Then, held=st.booleans(), process=st.sampled_from([None, None, "killed", "ended"])
)
answers = st.lists(st.booleans(), min_size=1, max_size=2)


class PauseLife(RuleBasedStateMachine):
    """Clients begin, decide, cancel and delete; the model answers or does not; processes die."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        self.place = PausePlace(self.folder)
        self.revoked: set[str] = set()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    async def with_run(self, place: int, todo: Sequence[Todo], then: Then = NOTHING) -> None:
        """Do all of it at once with a run; with one that waits for people, where any does."""
        if then.held:
            self.place.tools_open.clear()
        runs = await self.place.waiting()
        if runs:
            run = runs[place % len(runs)]
            await self.place.beside(gathered(run, todo))
        if then.process is not None:
            await self.place.replace_the_process(killed=then.process == "killed")

    @initialize(who=people, asked=st.permutations(WAYS))
    def start(self, who: str, asked: list[str]) -> None:
        self.do(self.stack.enter_async_context(self.place.served()))
        for way, message in zip(asked, ["pay", "refund", "pay refund"], strict=True):
            self.begin(way=way, who=who, message=message, session_id="s")

    @rule(way=st.sampled_from(WAYS), who=people, message=messages, session_id=sessions)
    def begin(self, way: str, **asked: Any) -> None:
        self.do(self.place.beside(self.place.begin(way, **asked), seconds=0.2))

    @rule(place=places, said=answers, durable=st.booleans(), then=afterwards)
    def decide(self, place: int, said: list[bool], then: Then, **how: Any) -> None:
        """Its owner does, once or twice at once."""
        decisions = [partial(self.place.decide, yes=yes, **how) for yes in said]
        self.do(self.with_run(place, decisions, then))

    @rule(place=places, said=answers, then=afterwards)
    def resolve(self, place: int, said: list[bool], then: Then) -> None:
        """Boss does, once or twice at once."""
        decisions = [partial(self.place.resolve, yes=yes) for yes in said]
        self.do(self.with_run(place, decisions, then))

    @rule(place=places)
    def resolve_what_is_ones_own(self, place: int) -> None:
        self.do(self.with_run(place, [self.place.resolve_own]))

    @rule(place=places)
    def cancel(self, place: int) -> None:
        self.do(self.with_run(place, [self.place.cancel]))

    @rule(who=people, session_id=sessions)
    def delete(self, who: str, session_id: str) -> None:
        self.do(self.place.delete(who, session_id))

    @precondition(lambda self: not self.revoked)
    @rule(who=people)
    def revoke(self, who: str) -> None:
        self.revoked.add(who)
        self.do(self.place.revoke(who))

    @rule()
    def hold_the_model(self) -> None:
        self.place.model.open.clear()

    @rule()
    def let_all_go_on(self) -> None:
        self.place.let_all_go_on()

    @rule(seconds=st.sampled_from([0.0, 0.02, 0.2]))
    def let_time_pass(self, seconds: float) -> None:
        self.do(asyncio.sleep(seconds))

    @rule(killed=st.booleans())
    def replace_the_process(self, killed: object) -> None:
        self.do(self.place.replace_the_process(killed=bool(killed)))

    def teardown(self) -> None:
        try:
            self.do(self.place.until_all_ended())
            self.do(self.place.check())
        finally:
            self.do(self.stack.aclose())
            self.loop.close()
            shutil.rmtree(self.folder)


async def gathered(run: RunRecord, todo: Sequence[Todo]) -> None:
    """All of it at once."""
    await asyncio.gather(*(each(run) for each in todo))


TestPauseLife = PauseLife.TestCase
TestPauseLife.settings = settings(
    max_examples=examples(0.12),
    stateful_step_count=20,
    suppress_health_check=[HealthCheck.too_slow],
)
