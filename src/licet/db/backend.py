"""What is different between SQL databases: everything else is written once, in ``sql_store``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from licet.db.writer import WriteConnection

if TYPE_CHECKING:
    from sqlalchemy import Engine


class Backend(Protocol):
    """One SQL database. All methods block, and may raise ``StorageError``.

    Constructing one touches neither disk nor network.
    """

    @property
    def id(self) -> str:
        """Stable over restarts, without any secret."""

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
