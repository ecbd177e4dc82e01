"""The route table as rows: what ``licet routes`` prints, and the table in the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from licet.authz.permission import Permission
    from licet.os.table import Entry, RouteTable


class Access(StrEnum):
    """Who may use a route."""

    PUBLIC = "public"
    VERIFIED = "verified"
    SCOPES = "scopes"
    UNDECLARED = "undeclared"


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteRow:
    """One route. ``demands`` are all needed; each names the scopes of which one is enough.

    ``filtered``: whoever reaches anything of the family is answered what they reach of it.
    ``source`` is where it was declared, None for an undeclared route. ``mappable``: a mapping could
    declare it.
    """

    method: str
    path: str
    access: Access
    demands: tuple[tuple[str, ...], ...] = ()
    filtered: bool = False
    source: str | None = None
    mappable: bool = True

    def needs(self, *, admin_scope: str, quote: str = "") -> str:
        """What a caller has to hold, in words; ``quote`` stands around each scope."""
        if self.access is Access.PUBLIC:
            return "public"
        if self.access is Access.VERIFIED:
            return "any verified token"
        if self.access is Access.UNDECLARED:
            return f"undeclared: {quote}{admin_scope}{quote} only"
        text = " and ".join(
            " or ".join(f"{quote}{scope}{quote}" for scope in demand) for demand in self.demands
        )
        return f"{text} (lists what is reached)" if self.filtered else text

    def to_json(self) -> dict[str, Any]:
        """The row for programs."""
        return {
            "method": self.method,
            "path": self.path,
            "access": self.access.value,
            "needs": [list(demand) for demand in self.demands],
            "filtered": self.filtered,
            "source": self.source,
        }


def route_rows(table: RouteTable) -> list[RouteRow]:
    """A row for each method of each route, by path and method."""
    rows = [_row(entry, method) for entry in table.entries() for method in entry.methods]
    return sorted(rows, key=lambda row: (row.path, row.method))


def markdown_table(rows: Sequence[RouteRow], *, admin_scope: str) -> str:
    """The rows as a table in Markdown, with a line break at the end."""
    lines = ["| Method | Path | Needs |", "| --- | --- | --- |"]
    lines += [
        f"| {row.method} | `{row.path}` | {row.needs(admin_scope=admin_scope, quote='`')} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def _row(entry: Entry, method: str) -> RouteRow:
    from licet.os.table import FRONT_END

    rule = entry.rule
    if rule is None:
        return RouteRow(
            method=method,
            path=entry.template,
            access=Access.UNDECLARED,
            mappable=entry.kind != FRONT_END,
        )
    access = Access.SCOPES if rule.permissions else Access.VERIFIED
    return RouteRow(
        method=method,
        path=entry.template,
        access=Access.PUBLIC if rule.public else access,
        demands=tuple(_alternatives(permission) for permission in rule.permissions),
        filtered=any(permission.listing for permission in rule.permissions),
        source=rule.source,
    )


def _alternatives(permission: Permission) -> tuple[str, ...]:
    one = f"{{{permission.id_param}}}" if permission.id_param is not None else "<id>"
    if permission.id_param is None and not permission.listing:
        return (permission.scope,)
    return (permission.scope, f"{permission.resource}:{one}:{permission.action}")
