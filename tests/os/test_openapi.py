from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from tests.support.world import World


def operations() -> dict[str, dict[str, Any]]:
    """The documented operations of an app of one's own."""
    base = FastAPI()

    @base.get("/closed")
    async def closed() -> None:
        """Nobody opened this."""

    @base.get("/reports/{report_id}")
    async def report(report_id: str) -> None:
        pass

    @base.get("/hello")
    async def hello() -> None:
        pass

    @base.get("/anybody")
    async def anybody() -> None:
        pass

    config = {
        "scope_mappings": {"GET /reports/{id}": ["reports:{id}:read", "x:y"], "GET /hello": []},
        "public_paths": ["/anybody"],
        "admin_scope": "root:all",
    }
    document = World().agent_os(base_app=base, config=config).get_app().openapi()
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_each_operation_says_what_it_needs() -> None:
    found = operations()
    scopes = {name: operation.get("x-required-scopes") for name, operation in found.items()}
    assert scopes["GET /closed"] == ["root:all"]
    assert scopes["GET /reports/{report_id}"] == ["reports:read", "x:y"]
    assert scopes["GET /hello"] == []
    assert scopes["GET /anybody"] is None
    assert scopes["GET /sessions"] == ["sessions:read"]
    assert found["GET /anybody"]["security"] == []
    assert found["GET /hello"]["security"] == [{"bearer": []}]


def test_the_need_stands_in_the_description_and_refusals_among_the_answers() -> None:
    found = operations()
    assert found["GET /closed"]["description"] == "Nobody opened this.\n\nNeeds `root:all`."
    assert found["GET /hello"]["description"] == "Needs any verified token."
    assert {"401", "403"} <= set(found["GET /hello"]["responses"])
    assert "401" not in found["GET /anybody"]["responses"]


def test_bodies_that_are_read_by_hand_are_described() -> None:
    found = operations()
    run = found["POST /agents/{agent_id}/runs"]["requestBody"]["content"]
    assert set(run) == {
        "multipart/form-data",
        "application/x-www-form-urlencoded",
        "application/json",
    }
    assert all(body["schema"]["required"] == ["message"] for body in run.values())
    assert "files" in run["multipart/form-data"]["schema"]["properties"]
    rename = found["POST /sessions/{session_id}/rename"]["requestBody"]["content"]
    assert list(rename["application/json"]["schema"]["properties"]) == ["session_name"]


def test_streams_are_described_with_what_is_asked_of_them() -> None:
    found, run = operations(), "/agents/{agent_id}/runs/{run_id}"
    follow, resume = found[f"GET {run}/events"], found[f"POST {run}/resume"]
    for operation in (follow, resume):
        assert list(operation["responses"]["200"]["content"]) == ["text/event-stream"]
        assert {"404", "422"} <= set(operation["responses"])
    named = {(given["in"], given["name"]) for given in follow["parameters"]}
    assert named >= {("header", "Last-Event-ID"), ("query", "last_event_index")}
    for body in resume["requestBody"]["content"].values():
        assert set(body["schema"]["properties"]) == {"last_event_index", "session_id"}
    assert "ended" in found[f"POST {run}/cancel"]["responses"]["409"]["description"]


def test_a_run_says_what_it_may_be_answered_with_and_that_it_can_be_asked_for_once() -> None:
    run = operations()["POST /agents/{agent_id}/runs"]
    assert {"200", "202", "400", "422", "429", "503"} <= set(run["responses"])
    accepted = run["responses"]["202"]["content"]["application/json"]["schema"]
    assert sorted(accepted["properties"]) == ["run_id", "session_id", "status"]
    assert "Too many runs wait" in run["responses"]["429"]["description"]
    key = next(p for p in run["parameters"] if p["in"] == "header")
    assert (key["name"], key["required"], key["schema"]["maxLength"]) == (
        "Idempotency-Key",
        False,
        255,
    )
    for body in run["requestBody"]["content"].values():
        assert body["schema"]["properties"]["background"]["default"] is False


def test_health_is_everybodys_and_may_be_bad() -> None:
    found = operations()
    for path in ("/health", "/health/live", "/health/ready"):
        assert found[f"GET {path}"]["security"] == []
    assert "503" in found["GET /health/ready"]["responses"]
    assert "503" not in found["GET /health/live"]["responses"]
