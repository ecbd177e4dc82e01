"""The OpenAPI document: FastAPI's, with what each operation needs of its caller."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI

from licet.os.rules import Rule
from licet.os.table import RouteTable

_SCHEME = "bearer"
_REFUSALS = {
    "401": "No token, or one that does not verify (RFC 6750)",
    "403": "The token does not permit it (RFC 6750)",
    "429": "This client has failed to authenticate too often",
    "503": "What the answer depends on cannot be read or recorded; try again",
}
_OF_BODIES = {
    "400": "The body asks for something that cannot be done",
    "413": "The body is too large",
    "422": "The body is not what it has to be",
}
_OF_PARAMETERS = {"422": "A parameter is not what it has to be"}
_OF_OBJECTS = {
    "404": "It does not exist, or is not the caller's",
    "409": "There is one already, or there are several and the request does not say which",
}


def describe(app: FastAPI, table: RouteTable, *, admin_scope: str) -> None:
    """Let ``app.openapi()`` say which scopes each operation needs. Undeclared: the admin's."""
    plain: Callable[[], dict[str, Any]] = app.openapi
    described: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        document = plain()
        if described.get("document") is not document:
            _describe(document, table, admin_scope)
            described["document"] = document
        return document

    # FastAPI's documented way to extend the document.
    app.openapi = openapi  # type: ignore[method-assign]


def _describe(document: dict[str, Any], table: RouteTable, admin_scope: str) -> None:
    rules = {(e.template, e.methods[0].lower()): e.rule for e in table.entries()}
    schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes[_SCHEME] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    for path, operations in document.get("paths", {}).items():
        for method, operation in operations.items():
            _state(operation, rules.get((path, method)), admin_scope)


def _state(operation: dict[str, Any], rule: Rule | None, admin_scope: str) -> None:
    parameters, has_body = operation.get("parameters", ()), "requestBody" in operation
    _answer(operation, _OF_BODIES if has_body else _OF_PARAMETERS if parameters else {})
    if has_body or any(_names_an_object(parameter) for parameter in parameters):
        _answer(operation, _OF_OBJECTS)
    if rule is not None and rule.public:
        operation["security"] = []
        return
    scopes = [admin_scope] if rule is None else list(rule.scopes)
    operation["security"] = [{_SCHEME: scopes}]
    operation["x-required-scopes"] = scopes
    needs = ", ".join(f"`{scope}`" for scope in scopes) or "any verified token"
    said = operation.get("description")
    operation["description"] = f"{said}\n\nNeeds {needs}." if said else f"Needs {needs}."
    _answer(operation, _REFUSALS)


def _names_an_object(parameter: Mapping[str, Any]) -> bool:
    return bool(parameter["in"] == "path" or parameter["name"] == "db_id")


def _answer(operation: dict[str, Any], answers: Mapping[str, str]) -> None:
    """Name statuses that an operation may answer, beside those that it names itself."""
    responses = operation.setdefault("responses", {})
    for status, meaning in answers.items():
        responses.setdefault(status, {"description": meaning})
