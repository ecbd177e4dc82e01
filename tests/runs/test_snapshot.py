from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.agent.output import RunInput
from licet.agent.output_schema import OutputSchema
from licet.agent.run_request import RunRequest
from licet.authn.frozen import frozen
from licet.authn.principal import Principal, PrincipalKind
from licet.errors import InvalidInputError, StorageError
from licet.models.message import Image, TextFile
from licet.runs.snapshot import Snapshot, StoredRequest

# What a JSON document may hold, with the numbers that a double holds.
TEXTS = st.text(st.characters(codec="utf-8"))
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | TEXTS
)
VALUES = st.recursive(
    SCALARS.filter(lambda value: value not in (float("inf"), -float("inf"))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=4)

FULL = Principal(
    issuer_alias="corp",
    issuer="https://corp.test",
    subject="alice",
    scopes=("agents:run", "agents:x:read"),
    token_id="t1",
    key_id="k1",
    issued_at=1.5,
    expires_at=2.5,
    session_id="s",
    sid="login",
    kind=PrincipalKind.SERVICE,
    claims=frozen({"roles": ["a", {"b": [1]}], "n": 10**18}),
    dependencies=frozen({"tenant": {"id": 7}}),
    session_state=frozen({"seen": [1, 2]}),
    actors=("gateway",),
)
SCHEMA = {"title": "Answer", "type": "object", "properties": {"n": {"type": "integer"}}}


def request(**values: Any) -> RunRequest:
    usual = {"input": RunInput("hi"), "run_id": "r", "session_id": "s", "request_id": "q"}
    return RunRequest(**{**usual, **values})


def test_a_principal_is_after_any_way_through_json_who_it_was() -> None:
    kept = Snapshot.from_json(Snapshot.of(FULL, taken_at=12.25).to_json())
    assert kept.principal() == FULL
    assert kept.taken_at == 12.25
    # Whatever a later version adds to a principal has to be carried, too.
    assert {field.name for field in dataclasses.fields(Principal)} == set(
        Snapshot.__struct_fields__
    ) - {"taken_at"}


def test_what_nobody_can_change_on_a_principal_cannot_be_changed_on_what_is_kept_of_it() -> None:
    claims = Snapshot.from_json(Snapshot.of(FULL, taken_at=0).to_json()).principal().claims
    with pytest.raises(TypeError):
        claims["roles"] = ()  # type: ignore[index]  # that is what is tried
    with pytest.raises(AttributeError):
        claims["roles"].append("admin")


@given(OBJECTS, OBJECTS, OBJECTS, st.lists(TEXTS).map(tuple), st.floats(0, 2**40) | st.none())
def test_any_principal_comes_back(
    claims: Any, dependencies: Any, state: Any, scopes: tuple[str, ...], expires_at: float | None
) -> None:
    principal = Principal(
        issuer_alias="a",
        issuer=None,
        subject="s",
        scopes=scopes,
        expires_at=expires_at,
        claims=frozen(claims),
        dependencies=frozen(dependencies),
        session_state=frozen(state),
    )
    assert Snapshot.from_json(Snapshot.of(principal, taken_at=1).to_json()).principal() == principal


@pytest.mark.parametrize("number", [2**64, -(2**70), 10**30])
def test_a_claim_may_be_any_whole_number(number: int) -> None:
    principal = dataclasses.replace(FULL, claims=frozen({"n": number}))
    kept = Snapshot.from_json(Snapshot.of(principal, taken_at=1).to_json())
    assert kept.principal().claims["n"] == number


def test_no_token_is_in_a_snapshot() -> None:
    names = set(json.loads(Snapshot.of(FULL, taken_at=1).to_json()))
    assert not {name for name in names if "token" in name} - {"token_id"}


def test_a_request_is_after_any_way_through_json_what_it_was() -> None:
    asked = request(
        input=RunInput("look", images=(Image(data="aGk="),), files=(TextFile("a.txt", "a text"),)),
        owner="corp|alice",
        user_id="alice",
        principal=FULL,
        session_state={"a": [1]},
        dependencies={"b": {"c": None}},
        metadata={"d": 1.5},
        output_schema=OutputSchema.of(SCHEMA),
    )
    kept = StoredRequest.from_json(StoredRequest.of(asked).to_json())
    assert kept.request(FULL) == asked
    assert {field.name for field in dataclasses.fields(RunRequest)} == set(
        StoredRequest.__struct_fields__
    ) | {"principal"}


def test_what_was_not_given_is_not_given_later() -> None:
    asked = request()
    kept = StoredRequest.from_json(StoredRequest.of(asked).to_json())
    assert kept.request(None) == asked


@given(OBJECTS, OBJECTS)
def test_any_request_comes_back(state: dict[str, Any], metadata: dict[str, Any]) -> None:
    asked = request(session_state=state, metadata=metadata, input=RunInput("x"))
    assert StoredRequest.from_json(StoredRequest.of(asked).to_json()).request(None) == asked


@pytest.mark.parametrize("value", ["\ud800", {"a": object()}], ids=["text", "object"])
def test_a_request_that_is_no_json_is_refused_as_such(value: Any) -> None:
    with pytest.raises(InvalidInputError):
        StoredRequest.of(request(dependencies={"key": value})).to_json()


@pytest.mark.parametrize(
    "stored",
    [b"", b"{", b"[]", b"{}", b'{"input": 3}', b"\xff", b"[" * 100_000],
    ids=lambda b: b[:9],
)
@pytest.mark.parametrize("kind", [Snapshot, StoredRequest])
def test_what_is_something_else_is_said_to_be_unreadable(kind: Any, stored: bytes) -> None:
    with pytest.raises(StorageError, match="cannot be read"):
        kind.from_json(stored)


def test_a_request_takes_its_place_in_a_trace_along_and_older_ones_have_none() -> None:
    asked = RunRequest(input=RunInput("hi"), run_id="r", session_id="s")
    place = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    traced = StoredRequest.of(asked, trace_context=place).to_json()
    assert StoredRequest.from_json(traced).request(None).trace_context == place
    untraced = StoredRequest.of(asked).to_json()
    assert b"trace_context" not in untraced
    assert StoredRequest.from_json(untraced).request(None).trace_context is None
