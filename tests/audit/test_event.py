from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.audit.event import MAX_TEXT_CHARS, AuditEvent, EventKind, storable_text
from licet.db.audit_records import AuditRecord
from licet.db.codec import storable
from tests.audit.events import any_event, event


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        ("/agents/{agent_id}", "/agents/{agent_id}"),
        ("a name with spaces, ünd mehr 😀", "a name with spaces, ünd mehr 😀"),
        ("a\0b", "a\N{REPLACEMENT CHARACTER}b"),
        ("\ud800", "\N{REPLACEMENT CHARACTER}"),
        ("a\r\nb", "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}b"),
        ("\x1b[31m", "\N{REPLACEMENT CHARACTER}[31m"),
        ("\u202egnp", "\N{REPLACEMENT CHARACTER}gnp"),
        ("x" * 10_000, "x" * MAX_TEXT_CHARS),
        ("\0" * 10_000, "\N{REPLACEMENT CHARACTER}" * MAX_TEXT_CHARS),
    ],
)
def test_a_strangers_text_is_made_such_as_every_sink_keeps(text: str, kept: str) -> None:
    assert storable_text(text) == kept


@given(st.text(st.characters(exclude_categories=[]), max_size=700))
def test_whatever_a_text_is_it_can_be_stored_and_stands_on_one_line(text: str) -> None:
    kept = storable_text(text)
    assert storable(kept)
    assert kept.isprintable()
    assert len(kept) == min(len(text), MAX_TEXT_CHARS)
    assert storable_text(kept) == kept


@given(any_event())
def test_an_event_survives_its_json(given: AuditEvent) -> None:
    assert msgspec.json.decode(msgspec.json.encode(given), type=AuditEvent) == given


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        event().decision = "deny"  # type: ignore[misc]


def test_a_record_is_an_event_between_its_writer_and_its_hash() -> None:
    assert AuditRecord.__struct_fields__ == (
        "writer_id",
        "seq",
        *AuditEvent.__struct_fields__,
        "hash",
    )


def test_no_field_has_room_for_a_credential_or_for_what_was_said() -> None:
    names = set(AuditEvent.__struct_fields__)
    assert not names & {"token", "authorization", "headers", "cookie", "query", "body", "claims"}
    kinds = ["request", "grant", "run", "tool_call", "approval", "schedule", "gap"]
    assert [kind.value for kind in EventKind] == kinds
