"""``@tool``: a function definition becomes a tool."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

from licet.tools.function import DEFAULT_MAX_RESULT_CHARS, Function
from licet.tools.requirement import ApprovalBy, requirement


@overload
def tool(fn: Callable[..., Any], /) -> Function: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    stop_after_tool_call: bool = False,
    max_result_chars: int = DEFAULT_MAX_RESULT_CHARS,
    requires_confirmation: bool = False,
    requires_user_input: bool = False,
    user_input_fields: Sequence[str] = (),
    external_execution: bool = False,
    approval: ApprovalBy | None = None,
) -> Callable[[Callable[..., Any]], Function]: ...
def tool(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    stop_after_tool_call: bool = False,
    max_result_chars: int = DEFAULT_MAX_RESULT_CHARS,
    requires_confirmation: bool = False,
    requires_user_input: bool = False,
    user_input_fields: Sequence[str] = (),
    external_execution: bool = False,
    approval: ApprovalBy | None = None,
) -> Function | Callable[[Callable[..., Any]], Function]:
    """Make a tool of a function or method: ``@tool``, or ``@tool(name=..., ...)``.

    Args:
        fn: the function, when used without parentheses.
        name: how models call it; the function's own name when absent.
        description: what it does; the docstring's text before its first section when absent.
        stop_after_tool_call: the run ends with this tool's result as its answer.
        max_result_chars: a longer result is cut, with a note.
        requires_confirmation: a run pauses before each call, until its owner says yes or no.
        requires_user_input: it pauses, until its owner gives values that no model gives.
        user_input_fields: for which parameters; for all when absent.
        external_execution: it pauses, until its owner brings the result of a call that was made
            elsewhere. The function is never called.
        approval: ``"admin"``: it pauses, until somebody who may decide approvals says yes or no.

    Raises:
        ConfigurationError: the name or a parameter cannot be used; the message names it.
    """

    def decorate(fn: Callable[..., Any]) -> Function:
        return Function.from_callable(
            fn,
            name=name,
            description=description,
            stop_after_tool_call=stop_after_tool_call,
            max_result_chars=max_result_chars,
            requirement=requirement(
                requires_confirmation=requires_confirmation,
                requires_user_input=requires_user_input,
                user_input_fields=user_input_fields,
                external_execution=external_execution,
                approval=approval,
            ),
        )

    return decorate if fn is None else decorate(fn)
