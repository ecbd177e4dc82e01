"""``/authz``: why a request would be let in, or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response

from licet.errors import InvalidInputError
from licet.os import values
from licet.os.explaining import Question, explanation_view
from licet.os.routes.service_account_bodies import MAX_SCOPE_CHARS, MAX_SCOPES
from licet.os.rules import requires
from licet.os.schemas import json_body
from licet.os.server import Server
from licet.os.views import JSON

_WHO = ("token", "scopes")


def authz_routes(server: Server) -> APIRouter:
    """``/authz/explain``."""
    router = APIRouter(tags=["Authorization"])

    @router.post(
        "/authz/explain",
        summary="What the server would answer to a request, and why; nothing is run",
        openapi_extra=json_body(
            *("method", "path", "token", "subject", "issuer"),
            scopes={"type": "array", "items": {"type": "string"}},
        ),
    )
    @requires("authz:explain")
    async def explain(request: Request) -> Response:
        question = read_question(values.json_body(await request.body()))
        if server.explainer is None:
            raise HTTPException(503, "Authorization is off: there is nothing to explain")
        return JSON(explanation_view(await server.explainer.explain(question)))

    return router


def read_question(given: Mapping[str, Any]) -> Question:
    """The body of ``POST /authz/explain``.

    Raises:
        InvalidInputError: something of it cannot be used.
    """
    for field in ("method", "path"):
        if given.get(field) is None:
            raise values.MissingFieldError(field)
    if all(given.get(field) is not None for field in _WHO):
        raise InvalidInputError("token", "nothing, where scopes are given")
    token, issuer, subject = (given.get(name) for name in ("token", "issuer", "subject"))
    return Question(
        method=values.text(given["method"], "method"),
        path=values.text(given["path"], "path"),
        token=None if token is None else _token(token),
        scopes=_scopes(given.get("scopes")),
        **({} if subject is None else {"subject": values.identifier(subject, "subject")}),
        **({} if issuer is None else {"issuer_alias": values.identifier(issuer, "issuer")}),
    )


def _token(value: object) -> bytes:
    text = values.text(value, "token")
    if not text.isascii() or not text.isprintable():
        raise InvalidInputError("token", "a token, without 'Bearer'")
    return text.encode()


def _scopes(value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > MAX_SCOPES:
        raise InvalidInputError("scopes", f"a list of at most {MAX_SCOPES} texts")
    scopes = tuple(values.text(scope, "scopes") for scope in value)
    if any(len(scope) > MAX_SCOPE_CHARS for scope in scopes):
        raise InvalidInputError("scopes", f"scopes of at most {MAX_SCOPE_CHARS} characters")
    return scopes
