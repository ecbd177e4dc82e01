"""Every request has an id: it comes in, goes through all that the request does, and out again."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from licet.os.middleware.request_id import REQUEST_ID_KEY, RequestIdMiddleware
from licet.request_id import REQUEST_ID

RANDOM = re.compile(r"[0-9a-f]{32}")
GOOD = [
    "a",
    "7",
    ".",
    "_",
    "-",
    "x" * 128,
    "9f1c2e4a-6b7d-4c1e-8a2b-3d4e5f607182",
    "Root-1-67891233-abc.DEF_9",
]
BAD = [
    "",
    " ",
    "x" * 129,
    "a b",
    "a,b",
    "a:b",
    "a/b",
    "a=b",
    "{}",
    "ä",
    "a\tb",
    '"a"',
    "<b>",
    "\x1b[31m",
    "%0a",
    "a\nb",
    "a\x00",
]


def scope(*ids: str, kind: str = "http") -> Scope:
    headers = [(b"x-request-id", each.encode("latin-1")) for each in ids]
    return {"type": kind, "path": "/", "headers": [(b"host", b"x"), *headers]}


async def no_receive() -> Message:
    raise AssertionError("nothing is to be read")


class Seen:
    """An app that answers, and what was seen of the way."""

    def __init__(self, *messages: Message) -> None:
        self.messages = messages or ({"type": "http.response.start", "status": 200},)
        self.scopes: list[Scope] = []
        self.in_context: list[str | None] = []
        self.sent: list[Message] = []

    async def app(self, scope: Scope, _receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        self.in_context.append(REQUEST_ID.get())
        for message in self.messages:
            await send(message)

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def ask(self, asked: Scope) -> str:
        """The id that a request gets, the same wherever it is looked for."""
        await RequestIdMiddleware(self.app, new_id=lambda: "new")(asked, no_receive, self.send)
        found = {self.scopes[-1][REQUEST_ID_KEY], self.in_context[-1], *self.ids()}
        (one,) = found
        assert isinstance(one, str)
        return one

    def ids(self, message: int = 0) -> list[str]:
        """The ids in the headers of a message that was sent."""
        headers = self.sent[message]["headers"]
        return [value.decode() for name, value in headers if name.lower() == b"x-request-id"]


@pytest.mark.parametrize("kind", ["http", "websocket"])
class TestComingIn:
    @pytest.mark.parametrize("request_id", GOOD)
    async def test_a_well_formed_id_is_kept(self, kind: str, request_id: str) -> None:
        assert await Seen().ask(scope(request_id, kind=kind)) == request_id

    @pytest.mark.parametrize("request_id", BAD)
    async def test_any_other_is_replaced(self, kind: str, request_id: str) -> None:
        assert await Seen().ask(scope(request_id, kind=kind)) == "new"

    @pytest.mark.parametrize("ids", [(), ("a", "b"), ("a", "a"), ("a", ""), ("", "a"), ("a",) * 3])
    async def test_none_or_several_are_replaced(self, kind: str, ids: tuple[str, ...]) -> None:
        assert await Seen().ask(scope(*ids, kind=kind)) == "new"


@given(ids=st.lists(st.binary(max_size=140) | st.from_regex(rb"\A[\w.-]+\Z"), max_size=3))
async def test_whatever_comes_in_what_goes_out_is_well_formed(ids: list[bytes]) -> None:
    got = await Seen().ask(scope(*(each.decode("latin-1") for each in ids)))
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", got)
    assert got == "new" or [got.encode()] == ids


FORKING = """
import asyncio, os
from licet.os.middleware.request_id import REQUEST_ID_KEY, RequestIdMiddleware

async def app(scope, receive, send):
    print(scope[REQUEST_ID_KEY], flush=True)

middleware = RequestIdMiddleware(app)

def ask():
    asyncio.run(middleware({"type": "http", "headers": []}, None, None))

ask()
if os.fork():
    os.wait()
ask()
"""


def test_processes_that_come_of_one_give_names_of_their_own() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKING], capture_output=True, text=True, timeout=60, check=True
    )
    assert len(set(done.stdout.split())) == 3


async def test_new_ids_are_random() -> None:
    seen = Seen()
    for _ in range(100):
        await RequestIdMiddleware(seen.app)(scope(), no_receive, seen.send)
    found = [each[REQUEST_ID_KEY] for each in seen.scopes]
    assert len(set(found)) == 100
    assert all(RANDOM.fullmatch(each) for each in found)


class TestGoingOut:
    @pytest.mark.parametrize(
        "kind", ["http.response.start", "websocket.http.response.start", "websocket.accept"]
    )
    @pytest.mark.parametrize("own", [[], [b"x-request-id"], [b"X-Request-Id", b"x-request-id"]])
    async def test_the_first_message_has_it_once_whatever_the_app_says(
        self, kind: str, own: list[bytes]
    ) -> None:
        headers = [(b"a", b"1"), *((name, b"own") for name in own), (b"b", b"2")]
        seen = Seen({"type": kind, "headers": headers})
        await seen.ask(scope("r-1"))
        assert seen.sent[0]["headers"] == [(b"a", b"1"), (b"b", b"2"), (b"x-request-id", b"r-1")]
        assert headers[-1] == (b"b", b"2")

    async def test_headers_may_be_left_out_or_made_as_they_are_read(self) -> None:
        made = ((name, b"1") for name in (b"a", b"b"))
        for given_headers, names in (({}, []), ({"headers": made}, [b"a", b"b"])):
            seen = Seen({"type": "http.response.start", "status": 200, **given_headers})
            await seen.ask(scope("r-1"))
            assert [name for name, _ in seen.sent[0]["headers"]] == [*names, b"x-request-id"]

    async def test_other_messages_pass_as_they_are(self) -> None:
        body = {"type": "http.response.body", "body": b"x"}
        seen = Seen({"type": "http.response.start", "status": 200}, body)
        await seen.ask(scope())
        assert seen.sent[1] is body


class TestThrough:
    async def test_it_ends_with_the_request(self) -> None:
        await Seen().ask(scope("r-1"))
        assert REQUEST_ID.get() is None

    async def test_what_is_logged_of_a_failure_still_has_it(self) -> None:
        async def fails(_scope: Scope, _receive: Receive, _send: Send) -> None:
            raise ZeroDivisionError

        token = REQUEST_ID.set("before")
        with pytest.raises(ZeroDivisionError):
            await RequestIdMiddleware(fails)(scope("r-1"), no_receive, Seen().send)
        assert REQUEST_ID.get() == "r-1"
        REQUEST_ID.reset(token)

    async def test_a_request_is_named_once(self) -> None:
        seen = Seen()
        inner = RequestIdMiddleware(seen.app, new_id=lambda: "inner")
        await RequestIdMiddleware(inner, new_id=lambda: "outer")(scope(), no_receive, seen.send)
        assert (seen.scopes[0][REQUEST_ID_KEY], seen.ids()) == ("outer", ["outer"])

    async def test_the_life_of_the_app_is_no_request(self) -> None:
        seen = Seen({"type": "lifespan.startup.complete"})
        await RequestIdMiddleware(seen.app)({"type": "lifespan"}, no_receive, seen.send)
        assert (seen.in_context, seen.sent) == ([None], list(seen.messages))
