"""How many examples a property is tried on: a matter of the profile, not of each test."""

from __future__ import annotations

from hypothesis import settings


def examples(share: float) -> int:
    """A share of what the profile draws for a property that costs next to nothing."""
    return max(1, round(settings().max_examples * share))
