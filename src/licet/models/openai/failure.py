"""What went wrong at a provider, as typed errors. Messages are bounded and hold no secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from licet.errors import (
    ModelCredentialsError,
    ModelError,
    ModelProtocolError,
    ModelRateLimitError,
    ModelRequestError,
    ModelUnavailableError,
)

MAX_MESSAGE_CHARS = 600
_MIN_SECRET_CHARS = 6
_REDIRECTS = range(300, 400)
_ERRORS = range(400, 600)
_SERVER_ERRORS = range(500, 600)

_CLASS_BY_STATUS: Mapping[int, type[ModelError]] = {
    401: ModelCredentialsError,
    403: ModelCredentialsError,
    408: ModelUnavailableError,
    409: ModelUnavailableError,
    429: ModelRateLimitError,
}
_STATUS_BY_TYPE: Mapping[str, int] = {
    "authentication_error": 401,
    "exceed_context_size_error": 400,
    "insufficient_quota": 429,
    "invalid_api_key": 401,
    "invalid_request_error": 400,
    "not_found_error": 404,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "tokens": 429,
    "requests": 429,
}
_PERMANENT_CODES = frozenset({"insufficient_quota", "billing_not_active"})


@dataclass(frozen=True, slots=True)
class Failures:
    """Makes the errors of one exchange. ``secrets`` are blotted out of whatever a provider says."""

    provider: str
    secrets: tuple[str, ...] = field(default=(), repr=False)
    request_id: str | None = None

    def of_request(self, request_id: str | None) -> Failures:
        """The same, for a request that the provider has named."""
        return replace(self, request_id=request_id)

    def status(self, status: int, body: bytes, headers: Mapping[str, str]) -> ModelError:
        """The error for an answer with an HTTP status other than 200."""
        said, code = _read(_json(body))
        if not said and not body.lstrip().startswith((b"{", b"[", b"<")):
            said = body.decode("utf-8", "replace")
        if status in _REDIRECTS:
            said = "it redirects; give the final address as base_url"
        retryable = _retryable(status, code)
        if (should := headers.get("x-should-retry")) in {"true", "false"}:
            retryable = should == "true"
        return self._error(status, f"answered {status}", said, retryable=retryable)

    def reported(self, error: Any) -> ModelError:
        """The error for an error object within an answer, whose HTTP status was 200.

        Its code tells the kind, if it is known; else it is a failure of the provider.
        """
        said, code = _read({"error": error})
        known = code if isinstance(code, int) else _STATUS_BY_TYPE.get(str(code), 500)
        status = known if known in _ERRORS else 500
        retryable = _retryable(status, code)
        return self._error(status, "broke off with an error", said, retryable=retryable)

    def unreachable(self, what: str, *, retryable: bool = True) -> ModelUnavailableError:
        """The error for an answer that never came, or not to its end."""
        return ModelUnavailableError(
            f"{self.provider} {self._clean(what)}",
            provider=self.provider,
            request_id=self.request_id,
            retryable=retryable,
        )

    def protocol(self, what: str, *, retryable: bool = False) -> ModelProtocolError:
        """The error for an answer that is not the protocol: ``what`` it is instead."""
        return ModelProtocolError(
            f"{self.provider} sent {self._clean(what)}",
            provider=self.provider,
            request_id=self.request_id,
            retryable=retryable,
        )

    def _error(self, status: int, what: str, said: str, *, retryable: bool) -> ModelError:
        said = self._clean(said)
        return _class_of(status)(
            f"{self.provider} {what}" + (f": {said}" if said else ""),
            provider=self.provider,
            status=status,
            request_id=self.request_id,
            retryable=retryable,
        )

    def _clean(self, text: str) -> str:
        for secret in self.secrets:
            if len(secret) >= _MIN_SECRET_CHARS:
                text = text.replace(secret, "***")
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return text if len(text) <= MAX_MESSAGE_CHARS else text[: MAX_MESSAGE_CHARS - 1] + "…"


def _class_of(status: int) -> type[ModelError]:
    if status in _SERVER_ERRORS:
        return ModelUnavailableError
    if status in _ERRORS:
        return _CLASS_BY_STATUS.get(status, ModelRequestError)
    return ModelProtocolError


def _retryable(status: int, code: str | int | None) -> bool:
    if code in _PERMANENT_CODES:
        return False
    return status in {408, 409, 429} or status in _SERVER_ERRORS


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _read(body: Any) -> tuple[str, str | int | None]:
    """Message and code, from any of the forms in use: an object or a string, nested or flat."""
    if not isinstance(body, dict):
        return "", None
    error = body.get("error") or body
    if isinstance(error, str):
        return error, None
    if not isinstance(error, dict):
        return "", None
    said = error.get("message") or error.get("detail") or ""
    code = next(
        (x for x in (error.get("code"), error.get("type")) if isinstance(x, str | int) and x), None
    )
    return said if isinstance(said, str) else "", code
