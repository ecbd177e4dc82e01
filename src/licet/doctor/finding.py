"""Finding: one thing to mend, and what a check came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How much there is to it, the least first."""

    OK = "ok"
    WARNING = "warning"
    """It works; somebody should have decided that it is meant so."""
    PROBLEM = "problem"
    """It does not work, loses something, or is open."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What can be found. ``code`` is stable, and explained in the documentation."""

    code: str
    level: Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found.

    Attributes:
        kind: which of the things that can be.
        where: the part of the deployment, for people.
        what: what is wrong with it; holds no secret.
        remedy: what to do.
    """

    kind: Kind
    where: str
    what: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one check came to. ``about``: what it looked at."""

    about: str
    findings: Sequence[Finding] = ()

    @property
    def level(self) -> Level:
        """That of the worst finding."""
        return max((f.kind.level for f in self.findings), key=list(Level).index, default=Level.OK)
