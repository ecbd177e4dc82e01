"""Another owner's id behaves as an unused one, for every method that there is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from licet.db.base import Access, Db, SessionChanges, Store
from licet.db.records import RecentRuns, RunQuery, RunStatus, SessionKey, SessionQuery
from licet.db.work_records import QueueLimits
from licet.errors import LicetError
from tests.contract.pause_rows import approval
from tests.contract.rows import ADMIN, ALICE, everything, run, session, stored
from tests.contract.work_rows import job_of, queued

Call = Callable[[Store, SessionKey, str], Awaitable[Any]]

VICTIM = Access("alice")
PROBERS = [
    Access("mallory"),
    Access(""),
    Access("alice "),
    Access("ALICE"),
    Access("%"),
    Access("alice' OR '1'='1"),
    Access("alice\0"),
]

CALLS: dict[str, Call] = {
    "begin_run": lambda store, key, run_id: store.begin_run(
        session(key.session_id, owner=key.owner, at=9),
        run(key.session_id, owner=key.owner, run_id=f"{run_id} of {key.owner}", at=9),
        history_runs=5,
    ),
    "save_run": lambda store, key, run_id: store.save_run(
        run(key.session_id, owner=key.owner, run_id=run_id, at=9), session_state={"x": 1}
    ),
    "enqueue_run": lambda store, key, run_id: store.enqueue_run(
        session(key.session_id, owner=key.owner, at=9),
        waiting := queued(key.session_id, owner=key.owner, run_id=f"{run_id} of {key.owner}", at=9),
        job_of(waiting),
        limits=QueueLimits(),
    ),
    "work_on_run": lambda store, key, run_id: store.work_on_run(
        run(key.session_id, owner=key.owner, run_id=run_id, at=9), history_runs=5
    ),
    "pause_run": lambda store, key, run_id: store.pause_run(
        pausing := run(
            key.session_id, owner=key.owner, run_id=run_id, status=RunStatus.PAUSED, at=9
        ),
        session_state={"x": 1},
        job=job_of(pausing),
        approvals=[approval(pausing, created_at_us=9)],
    ),
    "continue_run": lambda store, key, run_id: store.continue_run(
        run(key.session_id, owner=key.owner, run_id=run_id, at=9), paused_at_us=1, history_runs=5
    ),
    "ask_to_cancel": lambda store, key, run_id: store.ask_to_cancel(key, run_id, now_us=9),
    "find_run": lambda store, _, run_id: store.find_run(run_id),
    "get_run": lambda store, key, run_id: store.get_run(key, run_id),
    "list_runs": lambda store, key, _: store.list_runs(key, RunQuery()),
    "recent_runs": lambda store, key, _: store.recent_runs(RecentRuns(session_id=key.session_id)),
    "create_session": lambda store, key, _: store.create_session(
        session(key.session_id, owner=key.owner, at=9)
    ),
    "find_sessions": lambda store, key, _: store.find_sessions(key.session_id),
    "list_sessions": lambda store, key, _: store.list_sessions(
        SessionQuery(session_ids=frozenset({key.session_id}))
    ),
    "update_session": lambda store, key, _: store.update_session(
        key, SessionChanges(session_name="taken"), updated_at_us=9
    ),
    "delete_sessions": lambda store, key, _: store.delete_sessions([key]),
    "total_tokens": lambda store, key, _: store.total_tokens(key),
}

STATUS_BEFORE = {"continue_run": RunStatus.PAUSED}


async def outcome(call: Call, store: Store, key: SessionKey, run_id: str) -> object:
    """What a prober can see: an answer, or an error."""
    try:
        answer = await call(store, key, run_id)
    except LicetError as error:
        return (type(error), str(error))
    return list(answer) if isinstance(answer, (list, tuple)) else answer


def test_the_table_has_every_method_of_a_store() -> None:
    methods = {name for name in vars(Store) if not name.startswith("_")}
    assert methods == set(CALLS)


@pytest.mark.parametrize("prober", PROBERS, ids=lambda access: repr(access.owner))
@pytest.mark.parametrize("aim", ["their own key", "the victim's key"])
@pytest.mark.parametrize("method", sorted(CALLS))
async def test_a_foreign_id_behaves_as_an_unused_one(
    db: Db, method: str, prober: Access, aim: str
) -> None:
    owner = prober.owner if aim == "their own key" else VICTIM.owner
    key, store = SessionKey(owner, "s"), db.store(prober)
    unused = await outcome(CALLS[method], store, key, "r")
    await db.store(ADMIN).delete_sessions([SessionKey(prober.owner, "s")])

    status = STATUS_BEFORE.get(method, RunStatus.RUNNING)
    secret = run(run_id="r", total_tokens=5, body=b'"secret"', status=status, at=1)
    await stored(db.store(VICTIM), secret, session_name="secret")
    before = await everything(db)
    assert await outcome(CALLS[method], store, key, "r") == unused

    victims = [row for row in await everything(db) if row.owner == VICTIM.owner]
    assert victims == before


@pytest.mark.parametrize("method", sorted(CALLS))
async def test_who_sees_all_gets_what_the_owner_gets(db: Db, method: str) -> None:
    key, answers = SessionKey("alice", "s"), []
    for access in (ALICE, ADMIN):
        await db.store(ALICE).delete_sessions([key])
        status = STATUS_BEFORE.get(method, RunStatus.RUNNING)
        await stored(db.store(ALICE), run(run_id="r", total_tokens=5, status=status, at=1), at=1)
        answers.append(await outcome(CALLS[method], db.store(access), key, "r"))
    assert answers[0] == answers[1]
    assert (answers[0] not in (None, False)) is (method not in ("create_session", "enqueue_run"))
