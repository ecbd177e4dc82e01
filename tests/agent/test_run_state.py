"""What tools leave in the session's state, and what becomes of a run whose state cannot be kept."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from licet.agent import Agent, RunOutput
from licet.context import RunContext
from licet.db.base import Access, SessionChanges
from licet.db.in_memory import InMemoryDb
from licet.db.records import RunQuery, SessionKey
from licet.testing import CallTools, ScriptedModel

KEY = SessionKey("", "s")


def circle() -> Any:
    state: dict[str, Any] = {}
    state["a"] = state["b"] = state
    return state


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def agent(db: InMemoryDb, left: Any) -> Agent:
    """An agent whose tool leaves a value in the state."""

    def leave(context: RunContext) -> str:
        """Leave it."""
        context.session_state["left"] = left
        return "left"

    model = ScriptedModel([CallTools(("leave", {})), "done"])
    return Agent(id="a", model=model, db=db, tools=[leave], session_state={"count": 1})


async def stored(db: InMemoryDb) -> tuple[RunOutput, dict[str, Any]]:
    """The run and the session's state as they are stored."""
    store = db.store(Access(""))
    (run,) = await store.list_runs(KEY, RunQuery())
    session = await store.update_session(KEY, SessionChanges(), updated_at_us=1)
    assert session is not None
    assert run.status is RunOutput.from_json(run.body).status
    return RunOutput.from_json(run.body), session.session_state


@pytest.mark.parametrize("left", [1, "x", {"a": [None]}, deep(60)])
async def test_what_json_can_hold_is_kept(left: Any) -> None:
    db = InMemoryDb()
    output = await agent(db, left).arun("hi", session_id="s")
    assert output.status == "COMPLETED"
    assert await stored(db) == (output, {"count": 1, "left": left})


@pytest.mark.parametrize(
    ("left", "why"),
    [
        (circle(), "nested deeper than 64 levels"),
        (deep(65), "nested deeper than 64 levels"),
        (deep(900), "nested deeper than 64 levels"),
        ("\ud800", "no JSON (UnicodeEncodeError)"),
        (object(), "a value that JSON cannot"),
    ],
    ids=["circle", "65 levels", "900 levels", "surrogate", "object"],
)
async def test_a_run_whose_state_cannot_be_kept_has_failed_and_says_why(
    left: Any, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    db = InMemoryDb()
    with caplog.at_level(logging.CRITICAL):
        output = await agent(db, left).arun("hi", session_id="s")
    assert (output.status, output.session_state) == ("ERROR", {"count": 1})
    assert why in output.content
    assert await stored(db) == (output, {"count": 1})
