"""Whatever text or JSON a row holds comes back as it was; what cannot be stored is refused."""

from __future__ import annotations

import json
import math
from typing import Any, Final, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from licet.db.base import Access, Db, SessionChanges
from licet.db.codec import MAX_KEY_BYTES
from licet.db.records import RunQuery, Saving, SessionKey
from licet.errors import StorageError
from tests.contract.rows import ALICE, everything, run, session, stored
from tests.support.examples import examples

TEXTS = [
    "",
    "plain",
    'it\'s "quoted" \\ back',
    "naïve café — 日本語 — 👩🏽\u200d🚀",
    "line\nline\r\n\ttab\x01\x7f\u2028",
    "%s ? $1 :name {x} %% _",
    "'; DROP TABLE licet_runs; --",
    "x" * 100_000,
]
BAD_TEXTS = ["a\0b", "\ud83d", "\udc00"]

_NO_SURROGATES: Final[tuple[Literal["Cs"]]] = ("Cs",)

texts = st.text(st.characters(exclude_categories=_NO_SURROGATES, exclude_characters="\0"))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(exclude_categories=_NO_SURROGATES))
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(texts, children, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
async def test_texts_come_back_as_they_were(db: Db, text: str) -> None:
    key = text[:MAX_KEY_BYTES]
    access = Access(key)
    written = session(
        key,
        owner=key,
        component_id=text,
        user_id=text,
        session_name=text,
        first_input=text,
        session_state={text: text},
        metadata={text: [text]},
    )
    record = run(
        key, owner=key, run_id=key, component_id=text, body=json.dumps({text: text}).encode()
    )
    begun = await db.store(access).begin_run(written, record, history_runs=1)
    assert begun.session == written
    assert await everything(db) == [written, record]
    assert await db.store(access).get_run(SessionKey(key, key), key) == record


@pytest.mark.parametrize(
    "body",
    [b'"a\\u0000b"', '"👩🏽\u200d🚀 日本語"'.encode(), b'{"a":1}', b"[" + b"1," * 200_000 + b"1]"],
    ids=["escaped NUL", "emoji", "object", "long"],
)
async def test_bodies_come_back_byte_for_byte(db: Db, body: bytes) -> None:
    record = await stored(db.store(ALICE), run(body=body))
    found = await db.store(ALICE).get_run(record.session_key, record.run_id)
    assert found is not None
    assert found.body == body


@settings(
    max_examples=examples(0.25),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(state=st.dictionaries(texts, json_values, max_size=4))
async def test_any_json_comes_back_as_it_was(db: Db, state: dict[str, Any]) -> None:
    store, key = db.store(ALICE), SessionKey("alice", "s")
    await store.create_session(session())
    changes = SessionChanges(session_state=state, metadata=state, summary={"of": state})
    changed = await store.update_session(key, changes, updated_at_us=1)
    assert changed is not None
    assert changed.session_state == state
    assert changed.metadata == state
    assert changed.summary == {"of": state}


@pytest.mark.parametrize("bad", BAD_TEXTS)
@pytest.mark.parametrize("field", ["session_id", "component_id", "user_id", "session_name"])
async def test_a_text_that_cannot_be_stored_is_refused(db: Db, field: str, bad: str) -> None:
    with pytest.raises(StorageError, match=field):
        await db.store(ALICE).create_session(session(**{"session_id": "s", field: bad}))
    assert await everything(db) == []


@pytest.mark.parametrize("name", ["owner", "session_id", "run_id"])
async def test_a_key_longer_than_every_index_takes_is_refused(db: Db, name: str) -> None:
    long = {name: "é" * (MAX_KEY_BYTES // 2) + "x"}
    record = run(**{"session_id": "s", **long})
    with pytest.raises(StorageError, match=name):
        await stored(db.store(Access(record.owner)), record)
    assert await everything(db) == []


@pytest.mark.parametrize("bad", BAD_TEXTS)
async def test_a_new_name_that_cannot_be_stored_is_refused(db: Db, bad: str) -> None:
    await db.store(ALICE).create_session(kept := session())
    with pytest.raises(StorageError, match="session_name"):
        await db.store(ALICE).update_session(
            kept.key, SessionChanges(session_name=bad), updated_at_us=1
        )
    assert await everything(db) == [kept]


@pytest.mark.parametrize("bad", [b"\xff", b'"raw \0 NUL"'])
async def test_a_body_that_is_no_json_text_is_refused(db: Db, bad: bytes) -> None:
    with pytest.raises(StorageError, match="body"):
        await stored(db.store(ALICE), run(body=bad))
    record = await stored(db.store(ALICE), run())
    with pytest.raises(StorageError, match="body"):
        await db.store(ALICE).save_run(run(run_id=record.run_id, body=bad), session_state=None)
    assert await db.store(ALICE).get_run(record.session_key, record.run_id) == record


@pytest.mark.parametrize("bad", [object(), {1, 2, math.inf}.__iter__, {"x": lambda: None}])
async def test_a_state_that_is_no_json_is_refused(db: Db, bad: object) -> None:
    record = await stored(db.store(ALICE), run(), session_state={"kept": 1})
    with pytest.raises(StorageError, match="session_state"):
        await db.store(ALICE).save_run(record, session_state={"bad": bad})
    (found,) = await db.store(ALICE).find_sessions("s")
    assert found.session_state == {"kept": 1}


async def test_a_number_beyond_64_bits_is_refused(db: Db) -> None:
    with pytest.raises(StorageError, match="created_at_us"):
        await db.store(ALICE).create_session(session(created_at_us=2**63))
    with pytest.raises(StorageError, match="total_tokens"):
        await stored(db.store(ALICE), run(total_tokens=2**70))


@pytest.mark.parametrize("bad", BAD_TEXTS)
async def test_nothing_is_found_under_a_key_that_cannot_be_stored(db: Db, bad: str) -> None:
    await stored(db.store(ALICE), run())
    store, key = db.store(ALICE), SessionKey("alice", bad)
    changes = SessionChanges(session_name="x")
    assert await store.get_run(key, "r") is None
    assert await store.get_run(SessionKey("alice", "s"), bad) is None
    assert list(await store.list_runs(key, RunQuery())) == []
    assert list(await store.list_runs(SessionKey("alice", "s"), RunQuery(component_id=bad))) == []
    assert list(await store.find_sessions(bad)) == []
    assert await store.update_session(key, changes, updated_at_us=1) is None
    assert await store.delete_sessions([key]) == 0
    assert await store.delete_sessions([SessionKey("alice", "s")], session_type=bad) == 0
    assert await store.total_tokens(key) == 0
    assert await store.save_run(run(bad), session_state=None) is Saving.ABSENT
    assert await store.save_run(run(run_id=bad), session_state=None) is Saving.ABSENT
