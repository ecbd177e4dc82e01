"""Finding: one figure of one suite, on all sides, round by round; and what it must be."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

OURS, PEER = "licet", "AgentOS"

K = TypeVar("K")
T = TypeVar("T")


class Spread(NamedTuple):
    """The median of some numbers, and the lowest and the highest of them."""

    median: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Must:
    """A bound: on the ratio of ours to another side, or on our figure itself.

    Args:
        beside: the other side; None: our figure itself.
        at_least: the lower bound, if there is one.
        at_most: the upper bound, if there is one.
    """

    beside: str | None = None
    at_least: float | None = None
    at_most: float | None = None

    def holds(self, value: float) -> bool:
        """Whether a value is within the bound."""
        return (self.at_least is None or value >= self.at_least) and (
            self.at_most is None or value <= self.at_most
        )

    def __str__(self) -> str:
        of = "" if self.beside is None else f" × {self.beside}"
        low = [] if self.at_least is None else [f"≥ {self.at_least:g}{of}"]
        high = [] if self.at_most is None else [f"≤ {self.at_most:g}{of}"]
        return ", ".join([*low, *high])


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was measured.

    Args:
        what: as the results name it.
        unit: of the figures.
        figures: for each side its figures, one a round; the n-th of all sides are neighbours in
            time. Where nothing of ours was measured, there is nothing that it must be.
        musts: what has to hold.
    """

    what: str
    unit: str
    figures: Mapping[str, Sequence[float]]
    musts: tuple[Must, ...] = ()

    def spread(self, side: str = OURS) -> Spread:
        """The figures of one side."""
        return _spread(self.figures[side])

    def ratio(self, side: str) -> Spread:
        """Ours to another side's, of each round: noise of the machine falls on both."""
        pairs = zip(self.figures[OURS], self.figures[side], strict=True)
        return _spread([own / other for own, other in pairs])

    def value(self, must: Must) -> float | None:
        """What a bound is about; None: the side was not measured."""
        if must.beside is None:
            return self.spread().median
        return self.ratio(must.beside).median if must.beside in self.figures else None

    @property
    def missed(self) -> tuple[Must, ...]:
        """The bounds that do not hold, among those that could be looked at."""
        return tuple(
            must
            for must in self.musts
            if (value := self.value(must)) is not None and not must.holds(value)
        )


def in_turn(
    sides: Mapping[K, Callable[[], T]], *, rounds: int, warm: bool = True
) -> dict[K, list[T]]:
    """What each side gives in each round: A B A B … With ``warm`` a first round does not count."""
    found: dict[K, list[T]] = {side: [] for side in sides}
    if warm:
        for measure in sides.values():
            measure()
    for _ in range(rounds):
        for side, measure in sides.items():
            found[side].append(measure())
    return found


def percentile(values: Sequence[float], part: float) -> float:
    """The value that ``part`` (0 to 1) of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def _spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))
