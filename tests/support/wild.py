"""Hypothesis strategies for what a client may send: likely values, and everything else."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import strategies as st

FIELDS = (
    "message",
    "stream",
    "stream_events",
    "background",
    "session_id",
    "last_event_index",
    "session_name",
    "session_state",
    "session_ids",
    "session_types",
    "summary",
    "metadata",
    "dependencies",
    "output_schema",
    "images",
    "audio",
    "files",
    "user_id",
    "agent_id",
    "team_id",
    "tools",
    "continue_from",
    "fork",
    "regenerate",
    "input",
    "status",
    "resolved_by",
    "resolution_data",
)
PARAMETERS = (
    "session_id",
    "last_event_index",
    "user_id",
    "db_id",
    "type",
    "page",
    "limit",
    "sort_by",
    "sort_order",
    "status",
    "created_after",
    "created_before",
    "component_id",
    "session_name",
    "run_id",
    "agent_id",
    "tool_name",
)
_LIKELY = (
    "s1",
    "r1",
    "alpha",
    "olga",
    "in-memory",
    "agent",
    "team",
    "desc",
    "completed",
    "pending",
    "approved",
    "end",
    "1",
    "true",
    "false",
    "",
    "[]",
    "{}",
)
_ODD = (
    "\0",
    "%00",
    "..",
    ".",
    "/",
    "*",
    "a" * 300,
    "\U0001f600" * 255,
    "\u202e",
    "\ufeff",
    "-1",
    "1e400",
    "9" * 400,
    "NaN",
    "'; DROP TABLE licet_sessions; --",
    "[" * 5000,
    '{"a":' * 900 + "1" + "}" * 900,
    '{"type": "object", "$ref": "#"}',
    '{"type": "object", "allOf": [{"$ref": "#/nowhere"}]}',
    '[{"content": "AAAA", "mime_type": ["image/png"]}]',
    '[{"url": 5}, {"url": "https://["}]',
)

words = st.one_of(st.sampled_from(_LIKELY), st.sampled_from(_ODD), st.text(max_size=20))

json_values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), words),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)

segments = st.one_of(
    words.map(lambda text: quote(text, safe="")),
    st.binary(max_size=8).map(quote),
    st.sampled_from(("%", "%zz", "%ff%fe", "%ed%a0%80", "%2F..%2F", ";a=b", "a%0d%0ab")),
)

queries = st.lists(
    st.tuples(st.sampled_from(PARAMETERS), st.one_of(words, st.integers())), max_size=4
).map(urlencode)

header_values = st.text(
    st.characters(min_codepoint=32, max_codepoint=255, exclude_categories=["Cc"]), max_size=30
)

headers = st.dictionaries(
    st.sampled_from(("Accept", "Origin", "Cookie", "Last-Event-ID", "X-Forwarded-For", "Range")),
    header_values,
    max_size=2,
)

given = st.dictionaries(st.sampled_from(FIELDS), st.one_of(words, json_values), max_size=5)
"""Fields of a body."""


CALLS = ("<first>", "<second>", "<third>", "<fourth>")
"""What stands for the ids of calls in ``decisions``."""

_user_fields = st.dictionaries(st.sampled_from(("name", "value", "field_type")), json_values)
decisions: st.SearchStrategy[list[Any]] = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {},
            optional={
                "tool_call_id": st.one_of(st.sampled_from(CALLS), words, json_values),
                "tool_name": words,
                "tool_args": json_values,
                "confirmed": st.one_of(st.booleans(), json_values),
                "confirmation_note": st.one_of(words, json_values),
                "result": st.one_of(words, json_values),
                "user_input_schema": st.one_of(st.lists(_user_fields, max_size=2), json_values),
                "requires_confirmation": st.booleans(),
                "external_execution_required": st.booleans(),
                "approval_type": words,
                "approval_id": words,
                "answered": st.booleans(),
            },
        ),
        json_values,
    ),
    max_size=4,
)
"""What somebody may say of calls."""


def _as_json(fields: Any) -> tuple[str, bytes]:
    return "application/json", json.dumps(fields).encode()


def _as_form(fields: dict[str, Any]) -> tuple[str, bytes]:
    texts = {name: _text(value) for name, value in fields.items()}
    return "application/x-www-form-urlencoded", urlencode(texts).encode()


def _as_multipart(fields: dict[str, Any]) -> tuple[str, bytes]:
    body = b""
    for name, value in fields.items():
        file = '; filename="x.txt"\r\nContent-Type: text/plain' if name == "files" else ""
        head = f'--wild\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        body += head.encode() + _text(value).encode() + b"\r\n"
    return "multipart/form-data; boundary=wild", body + b"--wild--\r\n"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


bodies: st.SearchStrategy[tuple[str, bytes]] = st.one_of(
    given.map(_as_json),
    given.map(_as_form),
    given.map(_as_multipart),
    json_values.map(_as_json),
    st.tuples(
        st.sampled_from(
            (
                "application/json",
                "application/x-www-form-urlencoded",
                "multipart/form-data; boundary=wild",
                "multipart/form-data",
                "text/plain; charset=klingon",
                "\xff",
            )
        ),
        st.one_of(
            st.binary(max_size=50), st.sampled_from((b'"\\ud800"', b"[" * 50_000, b"--wild"))
        ),
    ),
)
"""A content type, and a body that may be of it."""
