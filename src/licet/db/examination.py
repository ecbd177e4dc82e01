"""What is seen of a database from outside: nothing is opened, made or migrated."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """A PostgreSQL server as whoever connects finds it.

    Attributes:
        login: who connects.
        is_superuser: nothing in the database binds them.
        missing_rights: what they need and may not do, each in words.
        row_security_refusal: why row-level security would not hold; None: it would, or is not asked
            for.
        skew_seconds: how far the server's clock is from ours, the question's own time taken out.
        max_connections: how many connections they may have, if nobody else had any.
    """

    login: str
    is_superuser: bool
    missing_rights: tuple[str, ...]
    row_security_refusal: str | None
    skew_seconds: float
    max_connections: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseState:
    """A database as it is.

    Attributes:
        revision: of its tables; None: it has none yet.
        server: the PostgreSQL server; None: it is a file.
    """

    revision: str | None
    server: ServerState | None = None


def distance(value: float, least: float, most: float) -> float:
    """How far a value is from a range; 0.0: it is inside."""
    return max(least - value, value - most, 0.0)
