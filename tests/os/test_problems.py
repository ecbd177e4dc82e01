from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI

from licet.errors import (
    ConflictError,
    InvalidInputError,
    LicetError,
    ModelError,
    NotFoundError,
    StorageError,
)
from licet.os.media import UnsupportedMediaError
from licet.os.problems import add_error_handlers
from licet.os.values import MissingFieldError
from tests.support.live import LiveServer, serve
from tests.support.world import OWNER, World

ERRORS: dict[str, Exception] = {
    "unsupported": UnsupportedMediaError("files", "Unsupported file type: x/y"),
    "invalid": InvalidInputError("images", "base64"),
    "inner": InvalidInputError("images.0.url", "an https url"),
    "path": InvalidInputError("path.run_id", "text"),
    "body": InvalidInputError("body", "valid JSON"),
    "missing": MissingFieldError("message"),
    "not-found": NotFoundError("Run", "r", "Run not found"),
    "conflict": ConflictError("it is finished"),
    "storage": StorageError("host db.internal is away"),
    "model": ModelError("the provider is away", provider="x"),
    "licet": LicetError("something"),
    "unforeseen": KeyError("secret detail"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    app = FastAPI()
    add_error_handlers(app)

    @app.get("/{name}")
    async def fail(name: str) -> None:
        raise ERRORS[name]

    with serve(app) as live:
        yield live


@pytest.mark.parametrize(
    ("name", "status", "detail"),
    [
        ("unsupported", 400, "Unsupported file type: x/y"),
        ("not-found", 404, "Run not found"),
        ("conflict", 409, "it is finished"),
        ("storage", 503, "The database cannot be reached; nothing was done"),
        ("model", 500, "Internal server error (ModelError)"),
        ("licet", 500, "Internal server error (LicetError)"),
        ("unforeseen", 500, "Internal server error (KeyError)"),
    ],
)
def test_each_error_has_its_status(server: LiveServer, name: str, status: int, detail: str) -> None:
    answer = httpx.get(f"{server.url}/{name}")
    assert answer.status_code == status
    assert answer.json() == {"detail": detail}
    assert answer.headers.get("retry-after") == ("5" if status == 503 else None)


@pytest.mark.parametrize(
    ("name", "kind", "place", "message"),
    [
        ("invalid", "value_error", ["body", "images"], "expected base64"),
        ("inner", "value_error", ["body", "images", "0", "url"], "expected an https url"),
        ("path", "value_error", ["path", "run_id"], "expected text"),
        ("body", "value_error", ["body"], "expected valid JSON"),
        ("missing", "missing", ["body", "message"], "Field required"),
    ],
)
def test_a_value_that_cannot_be_used_is_422_and_named(
    server: LiveServer, name: str, kind: str, place: list[str], message: str
) -> None:
    answer = httpx.get(f"{server.url}/{name}")
    assert answer.status_code == 422
    assert answer.json() == {
        "detail": [{"type": kind, "loc": place, "msg": message, "input": None}]
    }


def test_what_a_database_says_goes_to_the_log_alone(
    server: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    assert "db.internal" not in httpx.get(f"{server.url}/storage").text
    assert "db.internal" in caplog.text


@pytest.mark.parametrize("path", ["/agents/alpha/runs", "/agents/alpha/runs/r"])
def test_a_session_that_the_query_names_is_refused_there(path: str) -> None:
    world = World()
    with serve(world.agent_os().get_app()) as server:
        answer = httpx.get(
            server.url + path,
            params={"session_id": "a\0"},
            headers=world.bearer(OWNER, "agents:run"),
        )
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "session_id"]


def test_whoever_leaves_in_the_middle_of_a_body_is_no_failure(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    caplog.set_level("DEBUG", "licet")
    server_log = logging.getLogger("uvicorn.error")
    with serve(world.agent_os().get_app()) as live:
        # Its lines go their own way.
        server_log.addHandler(caplog.handler)
        try:
            with socket.create_connection((live.host, live.port)) as link:
                head = ["POST /sessions HTTP/1.1", "Host: x", "Content-Length: 100"]
                head += [f"{name}: {value}" for name, value in world.admin().items()]
                link.sendall("\r\n".join([*head, "", "{"]).encode())
            deadline = time.monotonic() + 20
            while "the client of /sessions has left" not in caplog.text:
                assert time.monotonic() < deadline, caplog.text
                time.sleep(0.005)
            # Whatever the server says of it, it has said before it answers the next one.
            assert httpx.get(f"{live.url}/health").status_code == 200
        finally:
            server_log.removeHandler(caplog.handler)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
