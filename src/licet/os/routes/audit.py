"""``/audit``: what was decided."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from licet.db.audit_records import AuditCursor, AuditQuery, AuditRecord
from licet.errors import InvalidInputError
from licet.os.rules import requires
from licet.os.server import Server
from licet.os.views import JSON, iso

MAX_RECORDS = 500
_LAST_EPOCH_SECOND = 253_402_300_799  # the end of the year 9999
_CURSOR = re.compile(r"(-?[0-9]{1,19})\.(-?[0-9]{1,19})\.(.{1,800})", re.DOTALL)


class Decisions(BaseModel):
    """Which decisions, the latest first. Times are epoch seconds, both inclusive."""

    decision: Literal["allow", "deny"] | None = None
    issuer: str | None = Field(None, description="The issuer's alias")
    subject: str | None = None
    action: str | None = Field(None, description="A permission, agents:run")
    resource_id: str | None = None
    request_id: str | None = None
    client: str | None = Field(None, description="The address that requests came from")
    since: float | None = Field(None, ge=0, le=_LAST_EPOCH_SECOND)
    until: float | None = Field(None, ge=0, le=_LAST_EPOCH_SECOND)
    limit: int = Field(50, ge=1, le=MAX_RECORDS)
    before: str | None = Field(None, description="meta.next of the page before")


def audit_routes(server: Server) -> APIRouter:
    """``/audit``."""
    router = APIRouter(tags=["Audit"])

    @router.get("/audit", summary="What was decided, the latest first")
    @requires("audit:read")
    async def list_decisions(which: Annotated[Decisions, Query()]) -> Response:
        found = await server.default_db.audit().find(
            AuditQuery(
                decision=which.decision,
                issuer_alias=which.issuer,
                subject=which.subject,
                action=which.action,
                resource_id=which.resource_id,
                request_id=which.request_id,
                client=which.client,
                since_us=_epoch_us(which.since),
                until_us=_epoch_us(which.until),
                before=None if which.before is None else read_cursor(which.before),
                limit=which.limit,
            )
        )
        following = cursor_text(found[-1].cursor) if len(found) == which.limit else None
        return JSON(
            {
                "data": [audit_view(record) for record in found],
                "meta": {"limit": which.limit, "next": following},
            }
        )

    return router


def cursor_text(cursor: AuditCursor) -> str:
    """A place in time as clients send it back."""
    return f"{cursor.time_us}.{cursor.seq}.{cursor.writer_id}"


def read_cursor(text: str) -> AuditCursor:
    """The place that a text names.

    Raises:
        InvalidInputError: it names none.
    """
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise InvalidInputError("query.before", "meta.next of the page before")
    time_us, seq, writer_id = match.groups()
    return AuditCursor(int(time_us), writer_id, int(seq))


def _epoch_us(seconds: float | None) -> int | None:
    # The nearest: a time that was read off a record finds that record.
    return None if seconds is None else round(seconds * 1_000_000)


def shown_time(time_us: int) -> str | None:
    """ISO 8601 in UTC. None: it is no time; whoever can write the database can write that."""
    try:
        return iso(time_us)
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def audit_view(record: AuditRecord) -> dict[str, Any]:
    """A record for programs; ``time`` is ISO 8601 in UTC."""
    return {
        "time": shown_time(record.time_us),
        "time_us": record.time_us,
        "request_id": record.request_id,
        "kind": record.kind,
        "decision": record.decision,
        "status": record.status,
        "rule": record.rule,
        "reason": record.reason,
        "issuer": record.issuer_alias,
        "subject": record.subject,
        "credential": record.credential,
        "token_id": record.token_id,
        "action": record.action,
        "resource": record.resource,
        "resource_id": record.resource_id,
        "method": record.method,
        "route": record.route,
        "client": record.client,
        "latency_us": record.latency_us,
        "writer": record.writer_id,
        "seq": record.seq,
    }
