"""What is different between SQL databases: everything else is written once, in ``sql_store``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar

from licet.db.base import Access
from licet.db.examination import DatabaseState
from licet.db.steps_database import StepsDatabase
from licet.db.writer import WriteConnection
from licet.db.writes import Write

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.engine import Connection

T = TypeVar("T")


class Listener(Protocol):
    """A thread that listens for changes."""

    def close(self) -> None:
        """End the thread and give its connection back. Twice does nothing more."""


class Backend(Protocol):
    """One SQL database. All methods block, and may raise ``StorageError``.

    Constructing one touches neither disk nor network.
    """

    @property
    def id(self) -> str:
        """Stable over restarts, without any secret."""

    @property
    def poll_seconds(self) -> float:
        """How often somebody who waits for a change looks whether there is one."""

    def prepare(self) -> None:
        """Make what a connection needs: a folder, a file, a server. Twice does nothing more."""

    def release(self) -> None:
        """Give back what ``prepare`` made, where it does not outlive the process."""

    def revision(self) -> str | None:
        """The revision of the tables; None when there are none."""

    def examine(self, *, now: Callable[[], float]) -> DatabaseState | None:
        """What is seen of it as it is; None: there is nothing yet, and whoever opens it makes it.

        Needs no ``prepare``, and changes nothing. ``now`` gives epoch seconds.
        """

    def migrating(self) -> Engine:
        """An engine whose transactions shut out every other that migrates."""

    def guard(self) -> None:
        """Let the database itself guard its rows, where that is asked for. After each migration.

        Raises:
            ConfigurationError: it would not hold.
        """

    def connect(self) -> WriteConnection:
        """A connection for the writer's thread."""

    def guarded_write(self, write: Write[T], access: Access | None) -> Write[T]:
        """A write as it is sent: a database that guards its rows is told which it may reach.

        None is on nobody's behalf: it reaches no session and no run.
        """

    def guarded_read(
        self, query: Callable[[Connection], T], access: Access | None
    ) -> Callable[[Connection], T]:
        """The same for a query on a connection of ``reading``."""

    def json_rows(self, columns: Mapping[str, str]) -> str:
        """SQL for the rows that a parameter holds: a JSON text, an array of arrays of values.

        It stands in FROM, in parentheses and without a name. ``columns`` are the names of the
        values of a row, in their order, with SQL types. One value to send makes any number of rows.
        """

    def passing_locked(self, table: str) -> str:
        """SQL at the end of a SELECT that locks the rows of a table, named as it is there.

        Rows that another process has locked are passed over. "": writers never meet.
        """

    def reading(self, connections: int) -> Engine:
        """An engine with at most that many connections, for reads outside of any transaction.

        Where the database guards its rows, each read is a transaction of its own.
        """

    def steps(self) -> StepsDatabase:
        """Connections for the engine of durable runs, to a place that exists."""

    def listen(self, heard: Callable[[str | None], None]) -> Listener | None:
        """Call ``heard`` with each topic that changes, and with None when some may have changed.

        ``heard`` is called in a thread of the listener's. None: this database tells nobody.
        """
