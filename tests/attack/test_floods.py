"""One cheap request must not keep the server from everybody else."""

from __future__ import annotations

import asyncio
import json
import resource
import threading
import time
from collections.abc import Iterator
from typing import Any, Self
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.agent.output_schema import MAX_SCHEMA_PARTS, OutputSchema
from licet.errors import InvalidInputError
from licet.os.urlencoded import MAX_FIELDS, urlencoded_fields
from tests.support.live import LiveServer, serve
from tests.support.world import OWNER, World

ALMOST_ALL = 10 * 1024 * 1024 - 1024
FORM = {"content-type": "application/x-www-form-urlencoded"}


class Bystander:
    """Asks for ``/health`` again and again; remembers the longest wait."""

    def __init__(self, url: str) -> None:
        self.longest_seconds = 0.0
        self._url = url
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=60) as client:
            while not self._done.is_set():
                began = time.perf_counter()
                client.get("/health")
                waited = time.perf_counter() - began
                self.longest_seconds = max(self.longest_seconds, waited)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def server(world: World) -> Iterator[LiveServer]:
    with serve(world.agent_os().get_app()) as live:
        yield live


def post(world: World, server: LiveServer, body: bytes, kind: dict[str, str]) -> httpx.Response:
    headers = world.bearer(OWNER, "agents:run") | kind
    return httpx.post(f"{server.url}/agents/alpha/runs", content=body, headers=headers, timeout=60)


def schema(**parts: Any) -> dict[str, Any]:
    return {"type": "object", **parts}


def test_a_form_of_escapes_takes_little_room_and_lets_others_through(
    world: World, server: LiveServer
) -> None:
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Bystander(server.url) as bystander:
        escapes = b"%41" * (ALMOST_ALL // 3)
        answer = post(world, server, b"stream=0&message=" + escapes, FORM)
    assert answer.json()["input"]["input_content"] == "A" * (ALMOST_ALL // 3)
    # A plain decoder: 4 seconds, and 800 MB.
    assert bystander.longest_seconds < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 400 * 1024


@pytest.mark.parametrize("field", [b"", b"a=", b"a=b"])
def test_a_form_of_very_many_fields_is_refused_at_once(
    world: World, server: LiveServer, field: bytes
) -> None:
    body = b"message=hi" + (b"&" + field) * (ALMOST_ALL // 4)
    with Bystander(server.url) as bystander:
        assert post(world, server, body, FORM).status_code == 422
    assert bystander.longest_seconds < 2


LARGE: dict[str, Any] = {"a": [[]] * 200_000}


@pytest.mark.parametrize("given", [LARGE, json.dumps(LARGE)], ids=["object", "text"])
@pytest.mark.parametrize("field", ["metadata", "session_state", "output_schema"])
def test_a_large_object_is_refused(
    world: World, server: LiveServer, field: str, given: object
) -> None:
    body = json.dumps({"message": "hi", field: given}).encode()
    answer = post(world, server, body, {"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", field]
    assert "bytes of JSON" in answer.json()["detail"][0]["msg"]


def test_a_schema_of_many_parts_is_refused() -> None:
    OutputSchema.of(schema(allOf=[{}] * 100))
    with pytest.raises(InvalidInputError, match=f"at most {MAX_SCHEMA_PARTS} objects"):
        OutputSchema.of(schema(allOf=[{}] * MAX_SCHEMA_PARTS))


def doubling(levels: int) -> dict[str, Any]:
    """Each level follows the next one twice, in a keyword whose steps nobody counts."""
    twice = {f"d{i}": {k: {"$ref": f"#/$defs/d{i + 1}"} for k in "ab"} for i in range(levels)}
    steps = {name: {"dependentSchemas": inner} for name, inner in twice.items()}
    return {"$defs": {**steps, f"d{levels}": {}}, "$ref": "#/$defs/d0"}


@pytest.mark.parametrize(
    ("given", "keyword"),
    [
        (schema(unevaluatedProperties=False, **doubling(40)), "unevaluatedProperties"),
        (schema(properties={"a": {"unevaluatedItems": False}}), "unevaluatedItems"),
        (schema(patternProperties={"(a+)+$": {}}), "patternProperties"),
        (schema(properties={"a": {"pattern": "(a+)+$"}}), "pattern"),
    ],
)
def test_a_schema_that_could_take_for_ever_is_refused(
    world: World, server: LiveServer, given: dict[str, Any], keyword: str
) -> None:
    body = json.dumps({"message": "hi", "output_schema": given}).encode()
    answer = post(world, server, body, {"content-type": "application/json"})
    assert answer.status_code == 422
    assert f"without '{keyword}'" in answer.json()["detail"][0]["msg"]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


class TestUrlencodedFields:
    @given(st.lists(st.tuples(TEXTS.filter(bool), TEXTS), max_size=5))
    def test_what_is_encoded_is_read(self, fields: list[tuple[str, str]]) -> None:
        assert asyncio.run(urlencoded_fields(urlencode(fields).encode())) == fields

    @given(st.integers(32 * 1024 - 8, 32 * 1024 + 8), st.sampled_from(["é", "%", "+", "日"]))
    def test_nothing_is_lost_where_pieces_meet(self, length: int, letter: str) -> None:
        value = "x" * length + letter * 12_000
        body = urlencode({"a": value}).encode()
        assert asyncio.run(urlencoded_fields(body)) == [("a", value)]

    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            (b"", []),
            (b"&&a=1&", [("a", "1")]),
            (b"a", [("a", "")]),
            (b"a=b=c", [("a", "b=c")]),
            (b"a=%zz%4", [("a", "%zz%4")]),
            ("a=é".encode(), [("a", "é")]),
        ],
    )
    def test_odd_forms(self, body: bytes, fields: list[tuple[str, str]]) -> None:
        assert asyncio.run(urlencoded_fields(body)) == fields

    @pytest.mark.parametrize("body", [b"a=%ff", b"\xff=a", b"&" * MAX_FIELDS])
    def test_what_is_refused(self, body: bytes) -> None:
        with pytest.raises(InvalidInputError, match="body"):
            asyncio.run(urlencoded_fields(body))
