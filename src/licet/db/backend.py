"""What is different between SQL databases: everything else is written once, in ``sql_store``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from licet.db.writer import WriteConnection

if TYPE_CHECKING:
    from sqlalchemy import Engine


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

    def migrating(self) -> Engine:
        """An engine whose transactions shut out every other that migrates."""

    def connect(self) -> WriteConnection:
        """A connection for the writer's thread."""

    def reading(self, connections: int) -> Engine:
        """An engine with at most that many connections, for reads outside of any transaction."""

    def listen(self, heard: Callable[[str | None], None]) -> Listener | None:
        """Call ``heard`` with each topic that changes, and with None when some may have changed.

        ``heard`` is called in a thread of the listener's. None: this database tells nobody.
        """
