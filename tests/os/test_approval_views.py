"""How an approval looks: its arguments can be read, whatever a model wrote."""

from __future__ import annotations

from typing import Any

import pytest

from licet.db.approval_records import ApprovalRecord, FoundApproval, Resolution
from licet.db.records import RunStatus
from licet.os.approval_views import approval_status_view, approval_view
from licet.os.views import JSON

NOW_US = 3_000_000


def found(**values: Any) -> FoundApproval:
    """An approval of a run that waits."""
    base: dict[str, Any] = {
        "id": "1",
        "run_id": "r",
        "owner": "o",
        "session_id": "s",
        "component_id": "a",
        "user_id": None,
        "tool_call_id": "c",
        "tool_name": "refund",
        "arguments": "{}",
        "requested_by": "o",
        "continues": False,
        "created_at_us": 1_999_999,
    }
    return FoundApproval(approval=ApprovalRecord(**{**base, **values}), run_status=RunStatus.PAUSED)


def deep(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


@pytest.mark.parametrize("arguments", ["{", "\ud800", deep(65), deep(990), deep(100_000)])
def test_arguments_that_cannot_be_shown_are_shown_as_their_text(arguments: str) -> None:
    view = approval_view(found(arguments=arguments), now_us=NOW_US)
    assert view["tool_args"] == {"arguments": arguments}


def test_other_arguments_are_shown_as_what_they_are_also_where_the_stack_is_deep() -> None:
    assert approval_view(found(arguments=""), now_us=NOW_US)["tool_args"] == {}
    view = approval_view(found(arguments=deep(64)), now_us=NOW_US)
    assert bytes(JSON(view).body).count(b'"a":') == 64


def test_times_are_epoch_seconds_and_what_is_not_known_is_left_out() -> None:
    view = approval_view(found(expires_at_us=4_000_000), now_us=NOW_US)
    assert (view["created_at"], view["updated_at"], view["expires_at"]) == (1, 1, 4)
    assert not {"user_id", "resolved_by", "resolved_at", "resolution_data"} & set(view)


def test_the_status_keeps_its_nulls() -> None:
    assert approval_status_view(found(), now_us=NOW_US) == {
        "approval_id": "1",
        "status": "pending",
        "run_id": "r",
        "resolved_at": None,
        "resolved_by": None,
    }
    decided = Resolution(approved=False, by="bo", by_owner="x|bo", at_us=2_500_000)
    view = approval_status_view(found(resolution=decided), now_us=NOW_US)
    assert (view["status"], view["resolved_at"], view["resolved_by"]) == ("rejected", 2, "bo")
