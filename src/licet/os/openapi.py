"""The OpenAPI document: FastAPI's, with what each operation needs of its caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from licet.os.rules import Rule
from licet.os.table import RouteTable

_SCHEME = "bearer"
_REFUSALS = {
    "401": "No token, or one that does not verify (RFC 6750)",
    "403": "The token does not permit it (RFC 6750)",
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
    if rule is not None and rule.public:
        operation["security"] = []
        return
    scopes = [admin_scope] if rule is None else list(rule.scopes)
    operation["security"] = [{_SCHEME: scopes}]
    operation["x-required-scopes"] = scopes
    needs = ", ".join(f"`{scope}`" for scope in scopes) or "any verified token"
    said = operation.get("description")
    operation["description"] = f"{said}\n\nNeeds {needs}." if said else f"Needs {needs}."
    for status, meaning in _REFUSALS.items():
        operation.setdefault("responses", {}).setdefault(status, {"description": meaning})
