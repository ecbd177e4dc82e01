"""Where the engine of durable runs keeps its steps: beside the rows, in tables of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from sqlalchemy import Engine


@dataclass(frozen=True, slots=True, eq=False)
class StepsDatabase:
    """A database for the engine.

    Attributes:
        engine: its connections; whoever asked for it disposes of it.
        schema: the schema of its tables; "" where there are none.
        tells: it can say when something changes, so nobody has to look.
    """

    engine: Engine
    schema: str
    tells: bool


@runtime_checkable
class Lasting(Protocol):
    """A ``Db`` that outlives the process: durable runs can be kept in it."""

    @property
    def id(self) -> str:
        """What clients call it."""

    async def steps_database(self) -> StepsDatabase:
        """Connections for the engine, to a place that exists.

        Raises:
            StorageError: it cannot be reached.
        """
