"""AuditEvent: one decision. Holds ids and names, never a token, an argument or a conversation."""

from __future__ import annotations

from enum import StrEnum

import msgspec

MAX_TEXT_CHARS = 500
_UNKNOWN = "\N{REPLACEMENT CHARACTER}"


class EventKind(StrEnum):
    """What an event is about."""

    REQUEST = "request"
    """A request or a handshake was decided."""
    GRANT = "grant"
    """A request that was let in asked to pass on more than its caller holds."""
    RUN = "run"
    """Whether a run goes on, or begins later, under the authority of whoever asked for it."""
    TOOL_CALL = "tool_call"
    """Whether a run may call a tool under that authority."""
    APPROVAL = "approval"
    """Somebody decided about a call that waited for it."""
    SCHEDULE = "schedule"
    """A schedule was due, and it was decided whether it fires."""
    GAP = "gap"
    """Requests were refused because their records could not be taken; the reason says how many."""


class AuditEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One decision.

    Attributes:
        time_us: when it fell, epoch microseconds.
        request_id: as the answer's ``X-Request-ID`` has it; of a run and its calls, that of the
            request which began it; of a schedule, what came of the firing.
        kind: an ``EventKind``.
        decision: ``allow`` or ``deny``; of an approval, what was decided.
        status: of the answer that refused; None: it was let in. What no request waits for has the
            one that a request would have had.
        reason: why.
        rule: what settled it: ``scope:agents:run``, ``admin``, ``token_expired``, …
        issuer_alias, subject: who asked; None: nobody could be made out.
        credential: ``jwt``, ``service_account`` or ``none``.
        token_id: the ``jti``, or the digest that stands for it; of a service account its id.
        action: the permissions that were asked for, ``agents:run``.
        resource: the family of the first of them.
        resource_id: the object.
        method: of the request; ``WEBSOCKET`` of a handshake, ``RUN`` of a run, ``SCHEDULE`` of a
            schedule.
        route: its template; the path that was asked for, where no route is; the own path of a run,
            an approval or a schedule.
        client: the address that it came from.
        latency_us: from its arrival to the decision, microseconds.
    """

    time_us: int
    request_id: str
    kind: str
    decision: str
    status: int | None
    reason: str
    rule: str
    issuer_alias: str | None
    subject: str | None
    credential: str
    token_id: str | None
    action: str | None
    resource: str | None
    resource_id: str | None
    method: str
    route: str
    client: str | None
    latency_us: int


def storable_text(text: str) -> str:
    """A stranger's text as every sink can keep it: bounded, printable, Unicode."""
    if len(text) > MAX_TEXT_CHARS:
        text = text[:MAX_TEXT_CHARS]
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _UNKNOWN for char in text)
