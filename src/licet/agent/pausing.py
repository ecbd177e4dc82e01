"""Pausing: what is stored with a run that waits for people."""

from __future__ import annotations

import msgspec

from licet.agent.decisions import open_calls, undecided
from licet.agent.execution import Execution
from licet.agent.output import RunOutput
from licet.agent.run_request import RunRequest, new_id
from licet.agent.run_row import Waits
from licet.db.approval_records import ApprovalRecord
from licet.tools.requirement import Wait


def paused(output: RunOutput) -> RunOutput:
    """A run that is to pause, with an id for each approval that it waits for."""
    return msgspec.structs.replace(
        output,
        content=output.messages[-1].content,
        tools=tuple(
            msgspec.structs.replace(tool, approval_id=new_id())
            if tool.undecided and tool.waits_for is Wait.APPROVAL
            else tool
            for tool in output.tools
        ),
    )


def waits_of(output: RunOutput, request: RunRequest, execution: Execution, *, now_us: int) -> Waits:
    """What a paused run leaves for whoever goes on with it, and what others are to decide."""
    left = None if execution.leave is None else execution.leave(request)
    waiting = undecided(output)
    arguments = {call.id: call.function.arguments for call in open_calls(output)}
    by_others = all(tool.waits_for is Wait.APPROVAL for tool in waiting)
    principal = request.principal
    return Waits(
        job=None if left is None else left.job,
        approvals=tuple(
            ApprovalRecord(
                id=tool.approval_id,
                run_id=output.run_id,
                owner=request.owner,
                session_id=output.session_id,
                component_id=output.agent_id,
                user_id=output.user_id,
                tool_call_id=tool.tool_call_id,
                tool_name=tool.tool_name,
                arguments=arguments[tool.tool_call_id],
                requested_by="" if principal is None else principal.owner,
                continues=execution.durable and by_others,
                created_at_us=now_us,
                expires_at_us=None if left is None else left.expires_at_us,
            )
            for tool in waiting
            if tool.approval_id is not None
        ),
    )
