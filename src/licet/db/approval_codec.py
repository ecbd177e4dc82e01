"""Approvals to rows and back, in the order of ``APPROVAL_COLUMNS``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from licet.db.approval_records import ApprovalRecord, FoundApproval, Resolution
from licet.db.codec import checked, json_text
from licet.db.records import RunStatus

APPROVAL_COLUMNS = (
    "id",
    "run_id",
    "owner",
    "session_id",
    "component_id",
    "user_id",
    "tool_call_id",
    "tool_name",
    "arguments",
    "requested_by",
    "continues",
    "created_at_us",
    "expires_at_us",
    "approved",
    "resolved_by",
    "resolver",
    "resolved_at_us",
    "resolution_data",
)

_INDEXED = frozenset({"id", "run_id"})
_RESOLUTION = APPROVAL_COLUMNS[-5:]


def approval_row(approval: ApprovalRecord) -> tuple[Any, ...]:
    """An approval's values.

    Raises:
        StorageError: a text or a value of it cannot be stored.
    """
    asked = (
        approval.id,
        approval.run_id,
        approval.owner,
        approval.session_id,
        approval.component_id,
        approval.user_id,
        approval.tool_call_id,
        approval.tool_name,
        # As JSON: a model may write what no column holds.
        json_text(approval.arguments, "arguments"),
        approval.requested_by,
        int(approval.continues),
        approval.created_at_us,
        approval.expires_at_us,
    )
    decided = (None,) * len(_RESOLUTION)
    if approval.resolution is not None:
        decided = resolution_row(approval.resolution)
    return checked((*asked, *decided), APPROVAL_COLUMNS, indexed=_INDEXED)


def resolution_row(resolution: Resolution) -> tuple[Any, ...]:
    """A decision's values, in the order of the last columns.

    Raises:
        StorageError: a text or a value of it cannot be stored.
    """
    data = resolution.data
    row = (
        int(resolution.approved),
        resolution.by,
        resolution.by_owner,
        resolution.at_us,
        None if data is None else json_text(data, "resolution_data"),
    )
    return checked(row, _RESOLUTION)


def approval_record(row: Sequence[Any]) -> ApprovalRecord:
    """A row of approvals as a record."""
    values = dict(zip(APPROVAL_COLUMNS, row, strict=True))
    approved, by, by_owner, at_us, data = [values.pop(name) for name in _RESOLUTION]
    resolution = None
    if approved is not None:
        resolution = Resolution(
            approved=bool(approved),
            by=by,
            by_owner=by_owner,
            at_us=at_us,
            data=None if data is None else msgspec.json.decode(data),
        )
    values["arguments"] = msgspec.json.decode(values["arguments"])
    values["continues"] = bool(values["continues"])
    return ApprovalRecord(**values, resolution=resolution)


def found_approval(row: Sequence[Any]) -> FoundApproval:
    """A row of approvals, and behind it the status of its run."""
    return FoundApproval(approval=approval_record(row[:-1]), run_status=RunStatus(row[-1]))
