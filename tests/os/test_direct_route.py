"""An endpoint that takes the request and texts of its path is simply called, and documented."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, Request, Response
from starlette.testclient import TestClient

from licet.errors import NotFoundError
from licet.os.direct_route import DirectRoute
from licet.os.problems import add_error_handlers


class Text(Response):
    media_type = "text/plain"


async def both(agent_id: str, request: Request, run_id: str) -> Text:
    return Text(f"{agent_id} {run_id} {request.query_params}")


async def only_request(asked: Request) -> Response:
    return Text(asked.method)


async def only_text(run_id: str) -> Response:
    return Text(run_id)


async def nothing() -> Response:
    return Text("nothing")


async def converted(run_id: int) -> Response:
    return Text(repr(run_id))


async def of_the_query(run_id: str, wanted: str = "none") -> Response:
    return Text(f"{run_id} {wanted}")


async def of_a_header(run_id: Annotated[str, Header()] = "none") -> Response:
    return Text(run_id)


async def no_response(run_id: str) -> dict[str, str]:
    return {"run_id": run_id}


def of_a_thread(run_id: str) -> Response:
    return Text(run_id)


DIRECT = [
    (both, "/agents/{agent_id}/runs/{run_id}", "/agents/a/runs/7?x=1", "a 7 x=1"),
    (only_request, "/runs/{run_id}", "/runs/7", "GET"),
    (only_text, "/runs/{run_id}", "/runs/7", "7"),
    (nothing, "/runs", "/runs", "nothing"),
]
AS_OTHERS = [
    (converted, "/runs/{run_id}", "/runs/7", "7"),
    (of_the_query, "/runs/{run_id}", "/runs/7?wanted=yes", "7 yes"),
    (of_a_header, "/runs/{other}", "/runs/7", "none"),
    (no_response, "/runs/{run_id}", "/runs/7", '{"run_id":"7"}'),
    (of_a_thread, "/runs/{run_id}", "/runs/7", "7"),
]


def served(endpoint: Any, template: str, **options: Any) -> tuple[FastAPI, DirectRoute]:
    router = APIRouter(route_class=DirectRoute)
    router.add_api_route(template, endpoint, **options)
    app = FastAPI()
    add_error_handlers(app)
    app.router.routes[:0] = router.routes
    (route,) = router.routes
    assert isinstance(route, DirectRoute)
    return app, route


@pytest.mark.parametrize(("endpoint", "template", "path", "answer"), DIRECT + AS_OTHERS)
def test_it_answers_as_a_route_of_fastapi(
    endpoint: Any, template: str, path: str, answer: str
) -> None:
    app, _ = served(endpoint, template)
    plain = FastAPI()
    plain.add_api_route(template, endpoint)
    ours, theirs = (TestClient(each).get(path) for each in (app, plain))
    assert ours.text == answer
    assert (ours.status_code, ours.text, ours.headers) == (200, theirs.text, theirs.headers)
    assert app.openapi()["paths"] == plain.openapi()["paths"]


@pytest.mark.parametrize(("endpoint", "template"), [case[:2] for case in DIRECT])
def test_nothing_is_looked_for_that_the_endpoint_does_not_take(
    endpoint: Any, template: str
) -> None:
    _, route = served(endpoint, template)
    assert route.is_direct


@pytest.mark.parametrize(("endpoint", "template"), [case[:2] for case in AS_OTHERS])
def test_an_endpoint_that_takes_more_is_called_by_fastapi(endpoint: Any, template: str) -> None:
    _, route = served(endpoint, template)
    assert not route.is_direct


async def refuse() -> None:
    raise NotFoundError("Run", "7", "Run not found")


@pytest.mark.parametrize("options", [{"dependencies": [Depends(refuse)]}, {"max_body_size": 1}])
def test_so_is_one_whose_route_asks_for_more(options: dict[str, Any]) -> None:
    _, route = served(only_text, "/runs/{run_id}", **options)
    assert not route.is_direct


def test_an_error_is_answered_as_everywhere() -> None:
    async def failing(run_id: str) -> Response:
        raise NotFoundError("Run", run_id, "Run not found")

    app, _ = served(failing, "/runs/{run_id}")
    answer = TestClient(app).get("/runs/7")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Run not found"})
