"""Hearing of changes from a PostgreSQL server, in a thread of its own.

Source: PostgreSQL documentation, chapter "libpq", section "Asynchronous Notification".
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import psycopg

from licet.db.postgres_driver import error_text
from licet.errors import StorageError

logger = logging.getLogger(__name__)

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0


class PostgresListener:
    """A ``licet.db.backend.Listener``. It connects anew, ever more slowly, when it has to.

    Args:
        connect: gives an autocommitting connection, which is the listener's from then on.
        heard: is told of each topic that changed, and None after each connecting: what changed
            before that may not have been heard of.
        name: what log records and the thread call the database.
    """

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[tuple[Any, ...]]],
        heard: Callable[[str | None], None],
        *,
        name: str,
    ) -> None:
        self._connect = connect
        self._heard = heard
        self._name = name
        # The end of one is seen at the other: the thread waits for it and for the server at once.
        self._ender, self._end = socket.socketpair()
        self._ended = False
        self._listening_since: float | None = None
        self._thread = threading.Thread(target=self._work, name=f"licet-listen-{name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and give its connection back. Twice does nothing more."""
        self._ender.close()
        # The garbage collector may call this from any thread, this one included.
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _work(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        with self._end, selectors.DefaultSelector() as selector:
            selector.register(self._end, selectors.EVENT_READ)
            while not self._ended:
                self._listening_since = None
                try:
                    self._listen(selector)
                except (StorageError, psycopg.Error) as error:
                    # One that breaks at once, again and again, is no reason to hurry.
                    if self._has_listened_long():
                        pause = _FIRST_PAUSE_SECONDS
                    if pause == _FIRST_PAUSE_SECONDS:
                        self._warn(error)
                    self._wait(selector, timeout_seconds=pause)
                    pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _listen(self, selector: selectors.BaseSelector) -> None:
        """Listen until the connection breaks, which raises, or the listener ends."""
        with closing(self._connect()) as connection:
            connection.execute("LISTEN licet_changes")
            self._listening_since = time.monotonic()
            self._heard(None)
            pgconn = connection.pgconn
            server = pgconn.socket
            selector.register(server, selectors.EVENT_READ)
            try:
                while not self._ended:
                    self._wait(selector, timeout_seconds=None)
                    pgconn.consume_input()
                    while (notified := pgconn.notifies()) is not None:
                        self._heard(notified.extra.decode())
            finally:
                selector.unregister(server)

    def _wait(self, selector: selectors.BaseSelector, *, timeout_seconds: float | None) -> None:
        ready = selector.select(timeout_seconds)
        self._ended = self._ended or any(key.fileobj is self._end for key, _ in ready)

    def _has_listened_long(self) -> bool:
        since = self._listening_since
        return since is not None and time.monotonic() - since > _LONGEST_PAUSE_SECONDS

    def _warn(self, error: StorageError | psycopg.Error) -> None:
        # Once for each time that it is down: nothing is lost, only seen a little later.
        text = error_text(error) if isinstance(error, psycopg.Error) else str(error)
        logger.warning(
            "database %r: changes are looked for until they can be listened to again: %s",
            self._name,
            text.partition("\n")[0],
        )
