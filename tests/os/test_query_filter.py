from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from licet.os.query_filter import QueryFilter, keep_queries_out_of_the_log


def said(message: str, *arguments: Any, level: int = logging.INFO) -> str | None:
    """What the filter leaves of a record; None: nothing."""
    args = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], dict) else arguments
    record = logging.LogRecord("uvicorn.error", level, __file__, 1, message, (args,), None)
    record.args = args
    return record.getMessage() if QueryFilter().filter(record) else None


@pytest.mark.parametrize(
    ("message", "arguments", "left"),
    [
        (
            '%s - "%s %s HTTP/%s" %d',
            ("127.0.0.1:1", "GET", "/agents?access_token=x", "1.1", 401),
            '127.0.0.1:1 - "GET /agents HTTP/1.1" 401',
        ),
        ('%s - "WebSocket %s" 403', ("nobody", "/live?a?b"), 'nobody - "WebSocket /live" 403'),
        ("%s", ("/a%3Fb?",), "/a%3Fb"),
        ('"%s" %d', ("*?access_token=x", 401), '"*" 401'),
        ("is %s all right?", ("it",), "is it all right?"),
        ("all right?", (), "all right?"),
        ("%(path)s", ({"path": "/x"},), "/x"),
    ],
)
def test_paths_are_logged_without_their_queries(
    message: str, arguments: tuple[Any, ...], left: str
) -> None:
    assert said(message, *arguments) == left


@pytest.mark.parametrize("mark", ["< %s: %s", "> %s: %s", "! no valid HTTP request"])
def test_headers_of_handshakes_are_told_at_no_level(mark: str) -> None:
    arguments = ("Authorization", "Bearer x")[: mark.count("%")]
    assert said(mark, *arguments, level=logging.DEBUG) is None
    assert said(mark, *arguments, level=logging.INFO) is not None


@pytest.fixture
def as_before() -> Iterator[None]:
    """What uvicorn sets up is undone."""
    loggers = [logging.getLogger(f"uvicorn{name}") for name in ("", ".access", ".error")]
    states = [(one, one.level, one.propagate, one.handlers[:]) for one in loggers]
    yield
    for one, level, propagate, handlers in states:
        one.setLevel(level)
        one.propagate, one.handlers = propagate, handlers


@pytest.mark.usefixtures("as_before")
def test_it_is_put_once_and_stays_when_logging_is_set_up_anew() -> None:
    for _ in range(2):
        keep_queries_out_of_the_log()
        uvicorn.Config("nothing:here")  # sets up uvicorn's logging
    for name in ("uvicorn.access", "uvicorn.error"):
        filters = logging.getLogger(name).filters
        assert [type(each) for each in filters] == [QueryFilter]
