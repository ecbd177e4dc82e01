"""Running an agent over HTTP: forms, JSON, files, streams, and everything that may be wrong."""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from licet.agent import Agent
from licet.context import RunContext
from licet.db.in_memory import InMemoryDb
from licet.errors import ModelUnavailableError
from licet.models.base import ModelRequest
from licet.models.message import Usage
from licet.testing import CallTools, Fail, Say, ScriptedModel
from tests.support.live import LiveServer, serve
from tests.support.world import OWNER, STRANGER, World

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def answer(request: ModelRequest) -> Say | CallTools | Fail:
    """What the model says depends on the last user message."""
    said = [m for m in request.messages if m.role in {"user", "tool"}][-1]
    if said.content == "fail":
        return Fail(ModelUnavailableError("the provider is away", provider="x", status=503))
    if said.content == "crash":
        return Fail(RuntimeError("secret detail"))
    if said.content == "who":
        return CallTools(("whoami", {}))
    return Say(f"You said: {said.content}", usage=Usage(3, 2, 5))


def whoami(context: RunContext) -> str:
    """Tell who asks."""
    principal = context.principal
    assert principal is not None
    return f"{principal.subject} {sorted(context.dependencies.items())} {context.session_state}"


@pytest.fixture(scope="module")
def world() -> World:
    db = InMemoryDb()
    model = ScriptedModel(answer)
    made = World(db=db, model=model)
    made.agents = [
        Agent(id="alpha", name="Alpha", model=model, db=db),
        Agent(
            id="shop",
            model=model,
            tools=[whoami],
            session_state={"cart": []},
            dependencies={"tenant": None, "secret": "s3cret"},
            add_history_to_context=True,
        ),
    ]
    return made


@pytest.fixture(scope="module")
def server(world: World) -> Iterator[LiveServer]:
    with serve(world.agent_os().get_app()) as live:
        yield live


@pytest.fixture
def client(world: World, server: LiveServer) -> Iterator[httpx.Client]:
    headers = world.bearer(OWNER, "agents:run", "sessions:read")
    with httpx.Client(base_url=server.url, headers=headers, timeout=20) as made:
        yield made


def run(client: httpx.Client, agent: str = "alpha", **fields: Any) -> httpx.Response:
    return client.post(f"/agents/{agent}/runs", data={"stream": "false", **fields})


def events(text: str) -> list[dict[str, Any]]:
    found = []
    for index, frame in enumerate(text.strip().split("\n\n")):
        name, number, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['event']}"
        assert number == f"id: {index}"
        found.append(event)
    return found


class TestAnswers:
    def test_urlencoded_multipart_and_json_are_the_same(self, client: httpx.Client) -> None:
        fields = {"message": "hi", "stream": "false"}
        answers = [
            client.post("/agents/alpha/runs", data=fields),
            client.post("/agents/alpha/runs", files={k: (None, v) for k, v in fields.items()}),
            client.post("/agents/alpha/runs", json={"message": "hi", "stream": False}),
        ]
        for each in answers:
            body = each.json()
            assert each.status_code == 200
            assert (body["content"], body["status"]) == ("You said: hi", "COMPLETED")
            assert (body["agent_id"], body["user_id"]) == ("alpha", OWNER)
            assert body["metrics"]["total_tokens"] == 5
            assert isinstance(body["created_at"], int)

    def test_streams_by_default(self, client: httpx.Client) -> None:
        reply = client.post("/agents/alpha/runs", data={"message": "hi", "session_id": "st"})
        assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["x-accel-buffering"] == "no"
        got = events(reply.text)
        assert [e["event"] for e in got] == [
            "RunStarted",
            "ModelRequestStarted",
            "RunContent",
            "RunContent",
            "RunContent",
            "ModelRequestCompleted",
            "RunContentCompleted",
            "RunCompleted",
        ]
        for event in got:
            assert event["session_id"] == "st"
            assert event["agent_id"] == "alpha"
            assert event["nested_depth"] == 0
        assert "".join(e["content"] for e in got if e["event"] == "RunContent") == "You said: hi"
        assert got[-1]["content"] == "You said: hi"

    def test_only_text_and_the_end_where_events_are_not_wanted(self, client: httpx.Client) -> None:
        reply = client.post("/agents/alpha/runs", data={"message": "hi", "stream_events": "false"})
        assert {e["event"] for e in events(reply.text)} == {"RunContent", "RunCompleted"}

    def test_a_failed_run_is_200_with_its_status(self, client: httpx.Client) -> None:
        body = run(client, message="fail").json()
        assert (body["status"], body["content"]) == ("ERROR", "the provider is away")
        got = events(client.post("/agents/alpha/runs", data={"message": "fail"}).text)
        assert [e["event"] for e in got] == ["RunStarted", "ModelRequestStarted", "RunError"]
        assert got[-1]["error_type"] == "model_unavailable"

    def test_what_nobody_foresaw_keeps_its_text(self, client: httpx.Client) -> None:
        reply = run(client, message="crash")
        assert reply.status_code == 200
        assert "secret detail" not in reply.text

    def test_empty_values_count_as_absent(self, client: httpx.Client) -> None:
        body = run(client, message="hi", session_id="", user_id="").json()
        assert len(body["session_id"]) == 36

    def test_a_trailing_slash_is_tolerated(self, client: httpx.Client) -> None:
        reply = client.post("/agents/alpha/runs/", data={"message": "hi", "stream": "false"})
        assert reply.status_code == 200

    def test_unknown_fields_become_nothing(self, client: httpx.Client) -> None:
        body = run(
            client, message="hi", run_id="mine", principal="root", tool_choice="none", foo="bar"
        ).json()
        assert body["run_id"] != "mine"
        assert body["user_id"] == OWNER

    def test_history_goes_on_in_a_session(self, client: httpx.Client, world: World) -> None:
        run(client, "shop", message="first", session_id="h")
        run(client, "shop", message="second", session_id="h")
        sent = world.model.requests[-1].messages
        assert [m.content for m in sent] == ["first", "You said: first", "second"]

    def test_files_reach_the_model(self, client: httpx.Client, world: World) -> None:
        reply = client.post(
            "/agents/alpha/runs",
            data={"message": "look", "stream": "false"},
            files=[
                ("files", ("dot.png", PIXEL, "image/png")),
                ("files", ("a.csv", "a,b\n1,ü".encode(), "text/csv")),
            ],
        )
        assert reply.status_code == 200
        (message,) = world.model.requests[-1].messages
        assert base64.b64decode(message.images[0].data) == PIXEL
        assert (message.files[0].name, message.files[0].text) == ("a.csv", "a,b\n1,ü")

    def test_images_can_be_described_in_json(self, client: httpx.Client, world: World) -> None:
        images = [{"url": "https://example.org/x.png"}, {"content": "AAAA", "format": "gif"}]
        assert run(client, message="look", images=json.dumps(images)).status_code == 200
        (message,) = world.model.requests[-1].messages
        assert message.images[0].url == "https://example.org/x.png"
        assert message.images[1].mime_type == "image/gif"

    def test_output_schema_and_metadata_can_be_given(self, client: httpx.Client) -> None:
        schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
        body = run(
            client, message="hi", output_schema=json.dumps(schema), metadata='{"k": [1]}'
        ).json()
        assert body["error_type"] == "output_schema"
        assert body["metadata"] == {"k": [1]}


class TestWhose:
    def test_the_user_is_the_tokens_subject(self, client: httpx.Client) -> None:
        assert run(client, message="hi", user_id="somebody").json()["user_id"] == OWNER

    def test_the_session_claim_is_the_session_of_requests_that_name_none(
        self, server: LiveServer, world: World
    ) -> None:
        headers = world.bearer(OWNER, "agents:run", session_id="claimed")
        with httpx.Client(base_url=server.url, headers=headers) as client:
            assert run(client, message="hi").json()["session_id"] == "claimed"
            assert run(client, message="hi", session_id="own").json()["session_id"] == "own"

    def test_a_session_of_the_same_id_is_another_for_each_owner(
        self, server: LiveServer, world: World, client: httpx.Client
    ) -> None:
        run(client, "shop", message="secret", session_id="shared")
        headers = world.bearer(STRANGER, "agents:run", "sessions:read")
        with httpx.Client(base_url=server.url, headers=headers) as stranger:
            run(stranger, "shop", message="hello", session_id="shared")
            sent = world.model.requests[-1].messages
            assert [m.content for m in sent] == ["hello"]
            seen = stranger.get("/sessions/shared").text
        assert "secret" not in seen

    def test_an_administrators_run_stays_with_them_unless_they_name_a_user(
        self, server: LiveServer, world: World, client: httpx.Client
    ) -> None:
        run(client, message="squatting", session_id="admin-session")
        with httpx.Client(base_url=server.url, headers=world.admin()) as admin:
            run(admin, message="private plans", session_id="admin-session")
            assert "private" not in client.get("/sessions/admin-session").text
            body = run(admin, message="for you", session_id="admin-session", user_id=OWNER).json()
            assert body["user_id"] == OWNER
        assert "for you" in client.get("/sessions/admin-session").text

    def test_tools_see_the_principal_and_only_declared_values(self, client: httpx.Client) -> None:
        body = run(
            client,
            "shop",
            message="who",
            dependencies='{"tenant": "t1"}',
            session_state='{"cart": ["x"]}',
        ).json()
        assert body["tools"][0]["result"] == (
            "olga [('secret', 's3cret'), ('tenant', 't1')] {'cart': ['x']}"
        )


class TestReadingRuns:
    def test_a_run_can_be_read_and_listed(self, client: httpx.Client) -> None:
        made = run(client, message="hi", session_id="reading").json()
        path = f"/agents/alpha/runs/{made['run_id']}"
        assert client.get(path, params={"session_id": "reading"}).json() == made
        (listed,) = client.get("/agents/alpha/runs", params={"session_id": "reading"}).json()
        assert listed["run_id"] == made["run_id"]
        assert listed["run_input"] == "hi"
        assert listed["created_at"].endswith("Z")

    @pytest.mark.parametrize(
        ("status", "count"), [("COMPLETED", 1), ("ERROR", 0), ("completed", 0)]
    )
    def test_lists_can_be_filtered_by_status(
        self, client: httpx.Client, status: str, count: int
    ) -> None:
        made = run(client, message="hi").json()
        params = {"session_id": made["session_id"], "status": status}
        assert len(client.get("/agents/alpha/runs", params=params).json()) == count

    def test_the_session_has_to_be_named(self, client: httpx.Client) -> None:
        reply = client.get("/agents/alpha/runs/x")
        assert reply.status_code == 422
        assert reply.json()["detail"][0]["loc"] == ["query", "session_id"]

    def test_a_run_of_another_agent_is_not_there(self, client: httpx.Client) -> None:
        made = run(client, message="hi", session_id="one").json()
        reply = client.get(f"/agents/shop/runs/{made['run_id']}", params={"session_id": "one"})
        assert (reply.status_code, reply.json()) == (404, {"detail": "Run not found"})

    def test_unknown_agents_runs_and_sessions_are_404(self, client: httpx.Client) -> None:
        made = run(client, message="hi", session_id="known").json()
        assert run(client, "nobody", message="x").json() == {"detail": "Agent not found"}
        for run_id, session in ((made["run_id"], "other"), ("other", "known")):
            reply = client.get(f"/agents/alpha/runs/{run_id}", params={"session_id": session})
            assert reply.json() == {"detail": "Run not found"}
        reply = client.get("/agents/alpha/runs", params={"session_id": "other"})
        assert reply.json() == {"detail": "Session not found"}


BAD = [
    ({}, "message", "Field required"),
    ({"message": ""}, "message", "Field required"),
    ({"message": "a\0b"}, "message", "NUL"),
    ({"message": "x", "stream": "perhaps"}, "stream", "true or false"),
    ({"message": "x", "background": "perhaps"}, "background", "true or false"),
    ({"message": "x", "session_id": "a\nb"}, "session_id", "printable"),
    ({"message": "x", "session_id": "a" * 256}, "session_id", "255"),
    ({"message": "x", "session_state": "{"}, "session_state", "valid JSON"),
    ({"message": "x", "session_state": "[]"}, "session_state", "a JSON object"),
    ({"message": "x", "session_state": '{"admin": 1}'}, "session_state", "declares (none)"),
    ({"message": "x", "dependencies": '{"db": 1}'}, "dependencies", "declares"),
    ({"message": "x", "metadata": '"x"'}, "metadata", "a JSON object"),
    ({"message": "x", "metadata": '{"a": "\\u0000"}'}, "metadata", "NUL"),
    ({"message": "x", "metadata": "[" * 100_000}, "metadata", "valid JSON"),
    ({"message": "x", "output_schema": '{"type": "array"}'}, "output_schema", "object"),
    (
        {"message": "x", "output_schema": '{"type":"object","$ref":"http://x.example/y"}'},
        "output_schema",
        "no remote",
    ),
    (
        {"message": "x", "output_schema": '{"type":"object","properties":1}'},
        "output_schema",
        "schema",
    ),
    ({"message": "x", "images": "{}"}, "images", "array of objects"),
    ({"message": "x", "images": '[{"filepath": "/etc/passwd"}]'}, "images", "paths"),
    ({"message": "x", "images": '[{"url": "http://x.example"}]'}, "images", "https"),
    ({"message": "x", "images": '[{"url": "https://u:p@x.example"}]'}, "images", "https"),
    ({"message": "x", "images": '[{"url": "file:///etc/passwd"}]'}, "images", "https"),
    ({"message": "x", "images": '[{"url": "https://["}]'}, "images", "https"),
    ({"message": "x", "images": '[{"content": "@@@"}]'}, "images", "base64"),
    (
        {"message": "x", "images": '[{"content": "AAAA", "mime_type": "text/html"}]'},
        "images",
        "mime",
    ),
    ({"message": "x", "images": "[{}]"}, "images", "either"),
    ({"message": "x", "audio": "[]"}, "audio", "only images"),
    ({"message": "x", "files": "text"}, "files", "files, not text"),
]


class TestBadInput:
    @pytest.mark.parametrize(("fields", "field", "expected"), BAD)
    def test_the_field_and_what_was_expected_are_named(
        self, client: httpx.Client, fields: dict[str, str], field: str, expected: str
    ) -> None:
        reply = client.post("/agents/alpha/runs", data=fields)
        assert reply.status_code == 422, reply.text
        (problem,) = reply.json()["detail"]
        assert problem["loc"] == ["body", field]
        assert expected in problem["msg"]

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            (b"{", "application/json"),
            (b"[]", "application/json"),
            (b'"x"', "application/json"),
            (b"\xff\xfe", "application/json"),
            (b'{"message": "\\ud800"}', "application/json"),
            (b'{"message": 5}', "application/json"),
            (b'{"message": {"a": 1}}', "application/json"),
            (b'{"message": "x", "stream": 5}', "application/json"),
            (b'{"message": "x", "files": ["a"]}', "application/json"),
            (b'{"message": "x", "session_id": 5}', "application/json"),
            (b'{"message": NaN}', "application/json"),
            (b"[" * 200_000, "application/json"),
            (b"", "application/json"),
            (b"", ""),
            (b"message=x", "text/plain"),
            (b"message=x", "multipart/form-data"),
            (b"junk", "multipart/form-data; boundary=x"),
            (b"--x\r\n\r\nabc", "multipart/form-data; boundary=x"),
            (b"--x--", "multipart/form-data; boundary=x; charset=klingon"),
            (
                b'--x\r\nContent-Disposition: form-data; name="message"\r\n\r\n\xff\r\n--x--\r\n',
                "multipart/form-data; boundary=x; charset=klingon",
            ),
            (b"message=%FF%FE", "application/x-www-form-urlencoded; charset=klingon"),
            (b"&" * 100_000, "application/x-www-form-urlencoded"),
            (b"a=1&" * 5000, "application/x-www-form-urlencoded"),
        ],
    )
    def test_no_body_yields_a_500(self, client: httpx.Client, body: bytes, kind: str) -> None:
        headers = {"content-type": kind} if kind else {}
        reply = client.post("/agents/alpha/runs", content=body, headers=headers)
        assert reply.status_code in {400, 413, 422}, reply.text
        assert "detail" in reply.json()

    def test_unsupported_files_are_400(self, client: httpx.Client) -> None:
        reply = client.post(
            "/agents/alpha/runs",
            data={"message": "x"},
            files={"files": ("x.exe", b"MZ", "application/x-msdownload")},
        )
        assert reply.status_code == 400
        assert "Unsupported file type" in reply.json()["detail"]

    def test_text_files_have_to_be_utf8(self, client: httpx.Client) -> None:
        reply = client.post(
            "/agents/alpha/runs",
            data={"message": "x"},
            files={"files": ("x.txt", b"\xff\xfe\x00", "text/plain")},
        )
        assert reply.status_code == 422

    def test_a_large_file_for_which_the_server_has_no_folder_is_503(
        self,
        client: httpx.Client,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
        large = {"files": ("x.txt", b"x" * 2_000_000, "text/plain")}
        reply = client.post("/agents/alpha/runs", data={"message": "x"}, files=large)
        assert (reply.status_code, reply.json()) == (
            503,
            {"detail": "The upload cannot be kept at present"},
        )
        assert int(reply.headers["retry-after"]) > 0
        assert "an upload cannot be kept: [Errno 2] No such file or directory" in caplog.text


class TestLiveness:
    def test_a_run_can_be_read_while_it_works_and_outlives_its_client(self) -> None:
        gate = threading.Event()

        class ThreadGate:
            async def wait(self) -> object:
                return await asyncio.to_thread(gate.wait, 20)

        world = World(model=ScriptedModel([Say("one two", hold=ThreadGate(), hold_after=1)]))
        headers = world.bearer(OWNER, "agents:run", "sessions:read")
        with (
            serve(world.agent_os().get_app()) as server,
            httpx.Client(base_url=server.url, headers=headers, timeout=20) as client,
        ):
            form = {"message": "hi", "session_id": "s"}
            with client.stream("POST", "/agents/alpha/runs", data=form) as stream:
                for line in stream.iter_lines():
                    if line == "event: RunContent":
                        break
            (run,) = client.get("/sessions/s/runs").json()
            assert (run["status"], run["run_input"]) == ("RUNNING", "hi")
            gate.set()
            while (run := client.get("/sessions/s/runs").json()[0])["status"] == "RUNNING":
                pass
            assert (run["status"], run["content"]) == ("COMPLETED", "one two")
