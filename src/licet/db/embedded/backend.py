"""The embedded server as a ``Backend``."""

from __future__ import annotations

from collections.abc import Callable

from licet.db.embedded.server import EmbeddedPostgres
from licet.db.examination import DatabaseState
from licet.db.postgres_backend import PostgresBackend
from licet.db.postgres_driver import load_psycopg
from licet.db.postgres_url import PostgresAddress

_ROLE = "licet"


class EmbeddedBackend(PostgresBackend):
    """The embedded server: started by whoever opens first, stopped by whoever closes last."""

    def __init__(
        self, server: EmbeddedPostgres, *, id: str | None = None, row_role: str | None = None
    ) -> None:
        super().__init__(
            PostgresAddress({}), id=id or f"postgres-{server.digest}", row_role=row_role
        )
        self._server = server

    def prepare(self) -> None:
        """Start the server, or join those that use it; make Licet's role and database."""
        load_psycopg(extra="pgserver")
        self._server.start()
        try:
            self._server.create_role_and_database(_ROLE)
            if self._row_role is not None:
                self._server.create_role_within(self._row_role, member=_ROLE)
        except BaseException:
            self._server.stop()
            raise

    def release(self) -> None:
        """Leave the server; the last one stops it."""
        self._server.stop()

    def examine(self, *, now: Callable[[], float]) -> DatabaseState | None:
        """A server that was made before is joined, or started for as long as this takes."""
        if not self._server.is_made:
            return None
        self.prepare()
        try:
            return super().examine(now=now)
        finally:
            self.release()

    def _parameters(self) -> dict[str, str]:
        return self._server.parameters(_ROLE)
