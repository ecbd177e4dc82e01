"""Requirement: what has to be decided before a tool's call is made. No model decides it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from licet.errors import ConfigurationError

ApprovalBy = Literal["admin"]


class Wait(StrEnum):
    """What a call waits for."""

    CONFIRMATION = "confirmation"
    """The run's owner says yes or no."""
    USER_INPUT = "user_input"
    """The run's owner gives values that no model gives."""
    EXTERNAL_EXECUTION = "external_execution"
    """It is executed elsewhere, and the run's owner brings the result."""
    APPROVAL = "approval"
    """Somebody who may decide approvals says yes or no."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a tool's calls wait for.

    ``user_fields`` are the parameters that the owner fills in; with USER_INPUT, none means all.
    """

    wait: Wait
    user_fields: tuple[str, ...] = ()


def requirement(
    *,
    requires_confirmation: bool = False,
    requires_user_input: bool = False,
    user_input_fields: Sequence[str] = (),
    external_execution: bool = False,
    approval: ApprovalBy | None = None,
) -> Requirement | None:
    """The requirement that ``@tool`` was given; None: a call is made at once.

    Raises:
        ConfigurationError: two of them were, or one that cannot be used.
    """
    if approval not in {None, "admin"}:
        raise ConfigurationError(f"approval={approval!r}: expected 'admin'")
    if isinstance(user_input_fields, str) or (user_input_fields and not requires_user_input):
        raise ConfigurationError(
            "user_input_fields is a list of parameters, and needs requires_user_input=True"
        )
    asked = [
        wait
        for wait, is_asked in (
            # Whoever approves confirms: the two are one question.
            (Wait.CONFIRMATION, requires_confirmation and approval is None),
            (Wait.USER_INPUT, requires_user_input),
            (Wait.EXTERNAL_EXECUTION, external_execution),
            (Wait.APPROVAL, approval is not None),
        )
        if is_asked
    ]
    if len(asked) > 1:
        raise ConfigurationError(
            f"a tool's call waits for one thing, not for {' and '.join(asked)}: make it two tools"
        )
    return Requirement(asked[0], tuple(user_input_fields)) if asked else None
