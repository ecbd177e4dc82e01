"""Decision: deny, allow or no opinion, always with a reason and the rule that decided."""

from __future__ import annotations

from enum import IntEnum
from typing import NoReturn

import msgspec


class Verdict(IntEnum):
    """Deny is zero: whatever was forgotten is a denial."""

    DENY = 0
    ALLOW = 1
    NO_OPINION = 2


class Decision(msgspec.Struct, frozen=True):
    """What an authorizer says. ``failed``: it could not find out, which is a denial too."""

    verdict: Verdict = Verdict.DENY
    reason: str = "nothing allows it"
    rule: str = "default"
    failed: bool = False

    @property
    def allowed(self) -> bool:
        """Whether the request may go on."""
        return self.verdict is Verdict.ALLOW

    def __bool__(self) -> NoReturn:
        # A decision that is true in an ``if`` would make NO_OPINION, or DENY, an open door.
        raise TypeError("a Decision is neither true nor false; ask for decision.allowed")


def allow(reason: str, rule: str) -> Decision:
    """The request may go on, if nobody denies it."""
    return Decision(Verdict.ALLOW, reason, rule)


def deny(reason: str, rule: str) -> Decision:
    """The request may not go on, whoever else allows it."""
    return Decision(Verdict.DENY, reason, rule)


def no_opinion(reason: str, rule: str) -> Decision:
    """Others decide."""
    return Decision(Verdict.NO_OPINION, reason, rule)
