from __future__ import annotations

from licet.tools import Function, tool


@tool
def plain(a: int) -> int:
    """Plainly."""
    return a


@tool(name="renamed", description="Otherwise.", stop_after_tool_call=True, max_result_chars=5)
def configured(a: int) -> int:
    return a


def test_without_parentheses_the_functions_own_name_and_docstring_are_used() -> None:
    assert isinstance(plain, Function)
    assert (plain.name, plain.description) == ("plain", "Plainly.")
    assert not plain.stop_after_tool_call


def test_settings_are_taken() -> None:
    assert (configured.name, configured.description) == ("renamed", "Otherwise.")
    assert configured.stop_after_tool_call
    assert configured.max_result_chars == 5


def test_a_decorated_function_can_still_be_called() -> None:
    assert plain(3) == 3
    assert configured(4) == 4
