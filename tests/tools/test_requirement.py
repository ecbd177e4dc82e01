from __future__ import annotations

from typing import Any

import pytest

from licet.errors import ConfigurationError
from licet.tools import tool
from licet.tools.requirement import Requirement, Wait, requirement


@pytest.mark.parametrize(
    ("given", "wait"),
    [
        ({"requires_confirmation": True}, Wait.CONFIRMATION),
        ({"requires_user_input": True}, Wait.USER_INPUT),
        ({"external_execution": True}, Wait.EXTERNAL_EXECUTION),
        ({"approval": "admin"}, Wait.APPROVAL),
        ({"approval": "admin", "requires_confirmation": True}, Wait.APPROVAL),
    ],
)
def test_a_tool_waits_for_what_it_was_given(given: dict[str, Any], wait: Wait) -> None:
    assert requirement(**given) == Requirement(wait)


def test_a_tool_that_was_given_nothing_waits_for_nothing() -> None:
    assert requirement() is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"requires_confirmation": True, "external_execution": True}, "one thing"),
        ({"requires_user_input": True, "approval": "admin"}, "one thing"),
        ({"approval": "anybody"}, "'admin'"),
        ({"user_input_fields": ["to"]}, "requires_user_input=True"),
        ({"requires_user_input": True, "user_input_fields": "to"}, "a list"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        requirement(**given)


def mail(subject: str, to: str, urgent: bool = False) -> str:  # noqa: FBT001, FBT002 - a tool
    """Write.

    Args:
        subject: what about.
        to: to whom.
        urgent: now.
    """
    return f"{subject}{to}{urgent}"


def test_models_are_not_told_of_what_people_give() -> None:
    made = tool(requires_user_input=True, user_input_fields=["to", "urgent"])(mail)
    assert list(made.parameters["properties"]) == ["subject"]
    assert made.parameters["required"] == ["subject"]
    assert list(made.user_fields) == ["to", "urgent"]
    assert made.user_fields["to"]["description"] == "to whom."


def test_without_a_list_people_give_everything() -> None:
    made = tool(requires_user_input=True)(mail)
    assert made.parameters["properties"] == {}
    assert list(made.user_fields) == ["subject", "to", "urgent"]


@pytest.mark.parametrize("fields", [["too"], ["subject", "self"]])
def test_people_are_asked_for_parameters_only(fields: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="must be among its parameters: subject"):
        tool(requires_user_input=True, user_input_fields=fields)(mail)


def test_a_tool_without_parameters_asks_for_no_input() -> None:
    def now() -> str:
        return ""

    with pytest.raises(ConfigurationError, match="it has none"):
        tool(requires_user_input=True)(now)
