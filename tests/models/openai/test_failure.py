from __future__ import annotations

import json
from typing import Any

import pytest

from licet.errors import (
    ModelCredentialsError,
    ModelError,
    ModelProtocolError,
    ModelRateLimitError,
    ModelRequestError,
    ModelUnavailableError,
)
from licet.models.openai.failure import MAX_MESSAGE_CHARS, Failures
from tests.models.openai.parts import KEY

_FAILURES = Failures("OpenAI", (KEY,), "req_7")


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (204, ModelProtocolError, False),
        (302, ModelProtocolError, False),
        (400, ModelRequestError, False),
        (401, ModelCredentialsError, False),
        (403, ModelCredentialsError, False),
        (404, ModelRequestError, False),
        (408, ModelUnavailableError, True),
        (409, ModelUnavailableError, True),
        (413, ModelRequestError, False),
        (418, ModelRequestError, False),
        (422, ModelRequestError, False),
        (429, ModelRateLimitError, True),
        (500, ModelUnavailableError, True),
        (503, ModelUnavailableError, True),
    ],
)
def test_each_status_has_its_error(status: int, kind: type[ModelError], *, retryable: bool) -> None:
    error = _FAILURES.status(status, b'{"error": {"message": "because"}}', {})

    assert type(error) is kind
    assert (error.status, error.retryable) == (status, retryable)
    assert (error.provider, error.request_id) == ("OpenAI", "req_7")
    assert str(status) in str(error)


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "because"}},
        {"error": "because"},
        {"message": "because", "object": "error"},
        {"detail": "because"},
    ],
)
def test_the_providers_message_is_found_in_any_form(body: Any) -> None:
    error = _FAILURES.status(400, json.dumps(body).encode(), {})

    assert str(error) == "OpenAI answered 400: because"


@pytest.mark.parametrize(
    "body", [b"", b"<html>Bad gateway</html>", b'{"error": null}', b"[1]", b'{"detail": [1]}']
)
def test_a_body_without_a_message_leaves_the_status(body: bytes) -> None:
    assert str(_FAILURES.status(502, body, {})) == "OpenAI answered 502"


def test_a_plain_text_body_is_the_message() -> None:
    assert str(_FAILURES.status(502, b"upstream \xff\x00 gone", {})).endswith(
        "upstream \ufffd gone"
    )


def test_an_exhausted_quota_is_not_retried() -> None:
    body = b'{"error": {"message": "pay", "code": "insufficient_quota"}}'

    assert not _FAILURES.status(429, body, {}).retryable


@pytest.mark.parametrize(
    ("status", "says", "retryable"), [(400, "true", True), (500, "false", False)]
)
def test_the_server_may_say_whether_to_retry(status: int, says: str, *, retryable: bool) -> None:
    assert _FAILURES.status(status, b"", {"x-should-retry": says}).retryable is retryable


def test_secrets_are_blotted_out_wherever_they_are_echoed() -> None:
    body = json.dumps({"error": {"message": f"Incorrect API key: {KEY}."}}).encode()

    errors = [
        _FAILURES.status(401, body, {}),
        _FAILURES.reported({"message": KEY}),
        _FAILURES.unreachable(f"was asked with {KEY}"),
        _FAILURES.protocol(KEY),
    ]

    for error in errors:
        assert KEY not in str(error)
        assert "***" in str(error)
    assert KEY not in repr(_FAILURES)


def test_a_message_is_bounded_and_on_one_line() -> None:
    body = json.dumps({"error": {"message": "a\n\x1b[31mb" + "x" * 10_000}}).encode()

    message = str(_FAILURES.status(400, body, {}))

    assert len(message) < MAX_MESSAGE_CHARS + 50
    assert message.isprintable()
