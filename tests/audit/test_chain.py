from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.audit.chain import (
    GENESIS,
    batch_message,
    chained,
    is_plain,
    record_hash,
    registration_hash,
    registration_message,
)
from licet.audit.event import AuditEvent
from licet.db.audit_records import AuditBatch, AuditRecord, AuditWriter
from tests.audit.events import any_event, event, events, values_of
from tests.contract.audit_rows import batch, record, writer

EVENTS = st.lists(any_event(), min_size=1, max_size=5)


def heads(of: Sequence[AuditEvent], *, writer_id: str = "w", first_seq: int = 1) -> list[str]:
    return [r.hash for r in chained(GENESIS, of, writer_id=writer_id, first_seq=first_seq)]


def test_the_hash_is_that_of_the_one_before_and_of_all_values_as_json() -> None:
    """By hand, so that another program can be written that verifies."""
    one, other = chained(GENESIS, events(1, 2), writer_id="w", first_seq=1)
    expected = GENESIS
    for made in (one, other):
        values = list(msgspec.to_builtins(made))[:-1]
        covered = json.dumps(values, separators=(",", ":"))
        expected = hashlib.sha256((expected + covered).encode()).hexdigest()
        assert made.hash == expected


@given(EVENTS)
def test_records_are_numbered_and_each_proves_the_one_before(of: list[AuditEvent]) -> None:
    made = chained(GENESIS, of, writer_id="w", first_seq=7)
    assert [r.seq for r in made] == list(range(7, 7 + len(of)))
    previous = GENESIS
    for each in made:
        assert record_hash(previous, each) == each.hash
        previous = each.hash


@given(EVENTS, st.integers(0, 5))
def test_a_chain_is_the_same_however_it_was_cut_into_batches(
    of: list[AuditEvent], place: int
) -> None:
    first, rest = of[:place], of[place:]
    begun = chained(GENESIS, first, writer_id="w", first_seq=1)
    head = begun[-1].hash if begun else GENESIS
    continued = chained(head, rest, writer_id="w", first_seq=len(first) + 1)
    assert [*begun, *continued] == chained(GENESIS, of, writer_id="w", first_seq=1)


@given(any_event(), st.data())
def test_any_other_value_of_any_field_is_another_hash(of: AuditEvent, data: st.DataObject) -> None:
    (made,) = chained(GENESIS, [of], writer_id="w", first_seq=1)
    name = data.draw(st.sampled_from(AuditEvent.__struct_fields__))
    value = data.draw(values_of(name).filter(lambda value: value != getattr(of, name)))
    assert record_hash(GENESIS, msgspec.structs.replace(made, **{name: value})) != made.hash


@pytest.mark.parametrize(
    "changes", [{"writer_id": "v"}, {"seq": 2}, {"status": 0}, {"status": "403"}, {"subject": ""}]
)
def test_who_wrote_it_and_which_it_is_are_covered_too(changes: dict[str, Any]) -> None:
    (made,) = chained(GENESIS, [event(status=403, subject=None)], writer_id="w", first_seq=1)
    assert record_hash(GENESIS, msgspec.structs.replace(made, **changes)) != made.hash
    assert record_hash("1" * 64, made) != made.hash


@given(st.lists(any_event(), min_size=2, max_size=6, unique_by=repr), st.data())
def test_removing_inserting_or_moving_any_event_changes_the_head(
    of: list[AuditEvent], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(of) - 1))
    other = data.draw(st.integers(0, len(of) - 1).filter(lambda n: n != place))
    removed = [*of[:place], *of[place + 1 :]]
    inserted = [*of[:place], data.draw(any_event()), *of[place:]]
    moved = list(of)
    moved[place], moved[other] = moved[other], moved[place]
    for changed in (removed, inserted, moved):
        assert heads(changed)[-1] != heads(of)[-1]


def test_neighbouring_texts_are_not_run_together() -> None:
    one = event(rule="ab", reason="c")
    assert heads([one]) != heads([event(rule="a", reason="bc")])
    assert heads([one]) != heads([event(rule='ab","', reason="c")])


WRITER = writer(3)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "other"},
        {"number": 4},
        {"os_id": "other"},
        {"key_id": "other"},
        {"key_id": None},
        {"registered_at_us": 4_001},
    ],
)
def test_a_registration_covers_all_that_it_says(changes: dict[str, Any]) -> None:
    assert registration_hash(GENESIS, replace(WRITER, **changes)) != registration_hash(
        GENESIS, WRITER
    )
    assert registration_hash("1" * 64, WRITER) != registration_hash(GENESIS, WRITER)


@pytest.mark.parametrize("changes", [{"hash": "other"}, {"signature": "other"}])
def test_what_is_made_of_a_registration_is_not_covered_by_itself(changes: dict[str, Any]) -> None:
    assert registration_hash(GENESIS, replace(WRITER, **changes)) == registration_hash(
        GENESIS, WRITER
    )


BATCH = batch([record(1), record(2)])


@pytest.mark.parametrize(
    "changes",
    [
        {"writer_id": "other"},
        {"number": 2},
        {"first_seq": 2},
        {"last_seq": 3},
        {"hash": "other"},
        {"created_at_us": 5_001},
    ],
)
def test_the_signature_of_a_batch_is_about_all_that_it_says(changes: dict[str, Any]) -> None:
    assert batch_message(replace(BATCH, **changes)) != batch_message(BATCH)


def test_what_is_signed_of_one_sort_is_never_that_of_another() -> None:
    registration = registration_message("w", 1, "h")
    assert registration_message("w", 2, "h") != registration
    assert registration_message("v", 1, "h") != registration
    assert registration_message("w", 1, "g") != registration
    like = AuditBatch(
        writer_id="w",
        number=1,
        first_seq=1,
        last_seq=1,
        hash="h",
        created_at_us=1,
        signature=None,
    )
    assert json.loads(batch_message(like))[0] != json.loads(registration)[0]


@pytest.mark.parametrize(
    ("row", "plain"),
    [
        (record(), True),
        (record(reason=b"bytes"), False),
        (record(latency_us=1.0), False),
        (record(seq=True), False),
        (writer(), True),
        (writer(key_id=None, signature=None), True),
        (writer(os_id=b"os"), False),
    ],
)
def test_nothing_but_integers_texts_and_none_is_plain(
    row: AuditRecord | AuditWriter, *, plain: bool
) -> None:
    assert is_plain(row) is plain


def test_bytes_have_the_hash_of_their_base64_and_so_have_to_be_looked_for() -> None:
    text, raw = record(subject="YWJj"), record(subject=b"abc")
    assert record_hash(GENESIS, text) == record_hash(GENESIS, raw)
    assert is_plain(text)
    assert not is_plain(raw)
