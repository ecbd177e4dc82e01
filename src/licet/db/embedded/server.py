"""EmbeddedPostgres: a PostgreSQL server for the processes of this machine, without Docker."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from licet.db.embedded import control, locks, roles
from licet.db.embedded.install import install_for
from licet.db.embedded.passwords import Passwords
from licet.db.embedded.place import Place, digest, make_place, place_of
from licet.errors import StorageError

if TYPE_CHECKING:
    import psycopg

_DEFAULT_PORT = 5432


class EmbeddedPostgres:
    """A server in a folder. All processes that start it with the same folder share one.

    The first starts it; when the last has stopped it, ended or been killed, it goes down. It
    listens on a Unix socket in a 0700 folder, and on ``127.0.0.1`` only if a port is given. Every
    connection needs a password (SCRAM-SHA-256); they are generated, and kept in a 0600 file.

    As root it runs as ``nobody``: ``licet.db.embedded.place`` says where its data is then.

    Args:
        folder: all that the server has is in here. It is made if it does not exist.
        port: the TCP port of 127.0.0.1 to listen on, too.
        settings: further settings (``postgresql.conf``) for a server that this process starts.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = Path(folder).resolve()
        self._port = port
        self._settings = dict(settings or {})
        self._lock = threading.Lock()
        self._place: Place | None = None
        self._use: int | None = None

    def __repr__(self) -> str:
        return f"EmbeddedPostgres({str(self._folder)!r}, port={self._port!r})"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def home(self) -> Path | None:
        """Where everything is that the server has; None until it was started once."""
        return None if self._place is None else self._place.home

    @property
    def is_made(self) -> bool:
        """Whether it has data: it was started once, by whomever."""
        return place_of(self._folder).is_made

    @property
    def digest(self) -> str:
        """Twelve characters for the folder's absolute path."""
        return digest(self._folder)

    def start(self) -> None:
        """Start the server, or join those that use it. Doing it twice does nothing more.

        Raises:
            MissingExtraError: the wheel with the binaries is not installed.
            StorageError: it did not start (the message has what it said), or it runs already
                without the port.
        """
        with self._lock:
            if self._use is not None:
                return
            place = make_place(self._folder)
            with locks.exclusively(place.starting):
                # Waits for a guard that is taking the server down.
                use = locks.share(place.users)
                try:
                    self._ensure_running(place)
                except BaseException:
                    os.close(use)
                    raise
            self._place, self._use = place, use

    def stop(self) -> None:
        """Leave the server. The last user waits until it is down; the others leave it running."""
        with self._lock:
            if self._use is None or self._place is None:
                return
            os.close(self._use)
            self._use = None
            control.wait_until_down(self._place)

    def parameters(self, role: str, *, database: str | None = None) -> dict[str, str]:
        """What libpq needs to connect as ``role`` over the Unix socket. Holds the password.

        Raises:
            StorageError: the server is not started, or has no such role.
        """
        place = self._started()
        password = Passwords(place.passwords).get(role)
        if password is None:
            raise StorageError(f"the embedded PostgreSQL in {self._folder} has no role {role!r}")
        return {
            "host": str(place.sockets),
            "port": str(control.listening(place).port),
            "user": role,
            "password": password,
            "dbname": database or role,
        }

    def url(self, role: str, *, database: str | None = None) -> str:
        """The URL of a database for ``role``: over TCP if there is a port, else over the socket.

        Raises:
            StorageError: the server is not started, or has no such role.
        """
        known = self.parameters(role, database=database)
        user, password, name, host = (
            quote(known[part], safe="") for part in ("user", "password", "dbname", "host")
        )
        if self._port is not None:
            return f"postgresql+psycopg://{user}:{password}@127.0.0.1:{self._port}/{name}"
        port = known["port"]
        return f"postgresql+psycopg://{user}:{password}@/{name}?host={host}&port={port}"

    def create_role_and_database(self, name: str, password: str | None = None) -> None:
        """A role that is no superuser, and a database of that name which it owns.

        What exists already stays. Without a password one is generated, the first time.

        Raises:
            StorageError: the server is not started, or refused.
        """
        place = self._started()
        with locks.exclusively(place.starting), self._superuser() as connection:
            passwords = Passwords(place.passwords)
            roles.create_role_and_database(connection, passwords, name, password)

    def create_role_within(self, name: str, *, member: str) -> None:
        """A role that cannot log in, and that ``member`` can become. What exists already stays.

        Raises:
            StorageError: the server is not started, or refused.
        """
        place = self._started()
        with locks.exclusively(place.starting), self._superuser() as connection:
            roles.create_role_within(connection, name, member)

    def _ensure_running(self, place: Place) -> None:
        install = install_for(place)
        if not place.is_made:
            control.initialise(install, place)
        if not control.is_running(install, place):
            settings = {
                "unix_socket_directories": str(place.sockets),
                "unix_socket_permissions": "0700",
                "listen_addresses": "" if self._port is None else "127.0.0.1",
                "port": str(self._port or _DEFAULT_PORT),
            }
            control.launch(install, place, {**settings, **self._settings})
        elif self._port is not None and control.listening(place) != (self._port, True):
            raise StorageError(
                f"the embedded PostgreSQL in {self._folder} is running already, and does not "
                f"listen on port {self._port}: stop the programs that use it first"
            )

    @contextmanager
    def _superuser(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        import psycopg

        known: dict[str, Any] = {**self.parameters(control.SUPERUSER)}
        try:
            with psycopg.connect(**known, autocommit=True) as connection:
                yield connection
        except psycopg.Error as error:
            raise StorageError(f"embedded PostgreSQL: {error}") from error

    def _started(self) -> Place:
        if self._place is None or self._use is None:
            raise StorageError(f"the embedded PostgreSQL in {self._folder} is not started")
        return self._place
