"""Suite: what one kind of measurement is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from benchmarks.finding import Finding
from benchmarks.stage import Conditions


class Suite(Protocol):
    """Starts what it needs, measures all sides in turn, checks every answer, and tells."""

    def __call__(self, conditions: Conditions, /) -> Sequence[Finding]:
        """What was found.

        Raises:
            AssertionError: a single answer was wrong; then no figure counts.
        """
