"""How approvals look on the wire: the tool and its arguments, never the conversation."""

from __future__ import annotations

from typing import Any

import msgspec

from licet.agent.nesting import MAX_JSON_DEPTH, deeper_than
from licet.db.approval_records import FoundApproval
from licet.os.views import without_nulls


def approval_view(found: FoundApproval, *, now_us: int) -> dict[str, Any]:
    """An approval. Times are epoch seconds."""
    approval, resolution = found.approval, found.approval.resolution
    return without_nulls(
        {
            "id": approval.id,
            "run_id": approval.run_id,
            "session_id": approval.session_id,
            "status": found.status(now_us=now_us),
            "source_type": "agent",
            "source_name": approval.component_id,
            "approval_type": "required",
            "pause_type": "confirmation",
            "agent_id": approval.component_id,
            "user_id": approval.user_id,
            "tool_name": approval.tool_name,
            "tool_call_id": approval.tool_call_id,
            "tool_args": _readable(approval.arguments),
            "requirements": [],
            "created_at": _epoch(approval.created_at_us),
            "updated_at": _epoch(
                approval.created_at_us if resolution is None else resolution.at_us
            ),
            "expires_at": _epoch(approval.expires_at_us),
            "resolved_by": None if resolution is None else resolution.by,
            "resolved_at": None if resolution is None else _epoch(resolution.at_us),
            "resolution_data": None if resolution is None else resolution.data,
            "run_status": found.run_status,
        }
    )


def approval_status_view(found: FoundApproval, *, now_us: int) -> dict[str, Any]:
    """Where an approval stands. Times are epoch seconds."""
    resolution = found.approval.resolution
    return {
        "approval_id": found.approval.id,
        "status": found.status(now_us=now_us),
        "run_id": found.approval.run_id,
        "resolved_at": None if resolution is None else _epoch(resolution.at_us),
        "resolved_by": None if resolution is None else resolution.by,
    }


def _readable(arguments: str) -> Any:
    """The arguments for people; what is executed is the text itself."""
    try:
        value = msgspec.json.decode(arguments or "{}")
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return {"arguments": arguments}
    return {"arguments": arguments} if deeper_than(value, MAX_JSON_DEPTH) else value


def _epoch(epoch_us: int | None) -> int | None:
    return None if epoch_us is None else epoch_us // 1_000_000
