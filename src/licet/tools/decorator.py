"""``@tool``: a function definition becomes a tool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

from licet.tools.function import DEFAULT_MAX_RESULT_CHARS, Function


@overload
def tool(fn: Callable[..., Any], /) -> Function: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    stop_after_tool_call: bool = False,
    max_result_chars: int = DEFAULT_MAX_RESULT_CHARS,
) -> Callable[[Callable[..., Any]], Function]: ...
def tool(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    stop_after_tool_call: bool = False,
    max_result_chars: int = DEFAULT_MAX_RESULT_CHARS,
) -> Function | Callable[[Callable[..., Any]], Function]:
    """Make a tool of a function or method: ``@tool``, or ``@tool(name=..., ...)``.

    Args:
        fn: the function, when used without parentheses.
        name: how models call it; the function's own name when absent.
        description: what it does; the docstring's text before its first section when absent.
        stop_after_tool_call: the run ends with this tool's result as its answer.
        max_result_chars: a longer result is cut, with a note.

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
        )

    return decorate if fn is None else decorate(fn)
