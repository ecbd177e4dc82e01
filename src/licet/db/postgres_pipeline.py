"""Many statements sent at once: libpq's pipeline mode, without a cursor for each statement.

The driver's own pipeline costs about 50 µs of Python a statement, this one a fifth of that. It uses
the driver's documented low level (``psycopg.pq``) alone.
Source: PostgreSQL documentation, chapter "libpq", section "Pipeline Mode".
"""

from __future__ import annotations

import selectors
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import pq

from licet.db.postgres_driver import error_text
from licet.db.writer import UnavailableError
from licet.db.writes import Answer, ContentionError, Statement
from licet.errors import StorageError

# Serialization failure, deadlock, and the session deleted while a run was begun in it.
_CONTENTION = frozenset({"40001", "40P01", "23503"})
# Classes of states in which the server, not the statement, is at fault (documentation, appendix A).
_UNAVAILABLE = ("08", "53", "57", "58", "F0", "XX")
_READ_ONLY = "25006"

_INTEGER_TYPES = frozenset({20, 21, 23})
_FINE = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)
# What a write reads of its session is what others have committed, whatever the role's default is.
_BEGIN = b"BEGIN ISOLATION LEVEL READ COMMITTED"
_SYNCED = pq.ExecStatus.PIPELINE_SYNC


class PostgresPipeline:
    """A ``licet.db.writer.WriteConnection``.

    A group's statements travel together: one round trip for all of them, one for the commit.

    Args:
        connection: it is the pipeline's from now on. Of no other use while a transaction is open.
        role: what each transaction runs as; None: as the one who connected.
    """

    def __init__(
        self, connection: psycopg.Connection[tuple[Any, ...]], *, role: str | None = None
    ) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._begin = (_BEGIN,) if role is None else (_BEGIN, f"SET LOCAL ROLE {role}".encode())
        self._names: dict[str, bytes] = {}
        self._prepared = 0
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pgconn.socket, selectors.EVENT_READ)

    def execute(self, statements: Sequence[Statement]) -> Sequence[Answer]:
        """Run statements in one transaction, which stays open."""
        pgconn = self._pgconn
        idle = pgconn.transaction_status == pq.TransactionStatus.IDLE
        try:
            pgconn.enter_pipeline_mode()
            fresh, wanted = self._send(statements, begin=idle)
            results = self._receive()
            pgconn.exit_pipeline_mode()
        except psycopg.Error as error:
            raise UnavailableError(f"not stored: {error_text(error)}") from error
        for result in results:
            if result.status not in _FINE:
                raise _failure(result)
        self._names.update(fresh)
        return [_answer(result) for result, ask in zip(results, wanted, strict=True) if ask]

    def commit(self) -> None:
        """Commit the open transaction."""
        try:
            self._control(b"COMMIT")
        except psycopg.Error as error:
            text = f"it is not known whether this is stored: {error_text(error)}"
            raise UnavailableError(text, may_be_stored=True) from error

    def rollback(self) -> None:
        """Undo the open transaction, if there is one."""
        try:
            if self._pgconn.transaction_status != pq.TransactionStatus.IDLE:
                self._control(b"ROLLBACK")
        except psycopg.Error as error:
            raise StorageError(error_text(error)) from error

    def close(self) -> None:
        """Give the connection back."""
        self._selector.close()
        self._connection.close()

    def _control(self, command: bytes) -> None:
        # Past the driver: after a ROLLBACK of its own it forgets every prepared statement.
        result = self._pgconn.exec_(command)
        if result.status != pq.ExecStatus.COMMAND_OK:
            raise psycopg.OperationalError(self._pgconn.get_error_message())

    def _send(
        self, statements: Sequence[Statement], *, begin: bool
    ) -> tuple[dict[str, bytes], list[bool]]:
        """Hand everything to libpq. Answers what was prepared, and which results are wanted."""
        pgconn, known = self._pgconn, self._names
        fresh: dict[str, bytes] = {}
        wanted: list[bool] = []
        if begin:
            for command in self._begin:
                pgconn.send_query_params(command, None)
                wanted.append(False)
        for sql, parameters in statements:
            name = known.get(sql) or fresh.get(sql)
            if name is None:
                # A name is never used twice: what becomes of it after an error is not known.
                self._prepared += 1
                name = fresh[sql] = b"licet_%d" % self._prepared
                pgconn.send_prepare(name, _numbered(sql))
                wanted.append(False)
            pgconn.send_query_prepared(name, [_sent(value) for value in parameters])
            wanted.append(True)
        pgconn.pipeline_sync()
        return fresh, wanted

    def _receive(self) -> list[pq.abc.PGresult]:
        """The results up to the synchronisation point, an aborted statement's included."""
        pgconn = self._pgconn
        results: list[pq.abc.PGresult] = []
        while True:
            if pgconn.is_busy():
                self._wait()
                continue
            # None stands between the results of two statements.
            result = pgconn.get_result()
            if result is None:
                continue
            if result.status == _SYNCED:
                return results
            results.append(result)

    def _wait(self) -> None:
        """Wait until the server has sent something; send on what it has not taken yet."""
        pgconn, selector = self._pgconn, self._selector
        unsent = pgconn.flush() == 1
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if unsent else 0)
        selector.modify(pgconn.socket, events)
        if any(ready & selectors.EVENT_READ for _, ready in selector.select()):
            pgconn.consume_input()


def _numbered(sql: str) -> bytes:
    first, *rest = sql.split("?")
    return (first + "".join(f"${i}{part}" for i, part in enumerate(rest, 1))).encode()


def _sent(value: str | int | None) -> bytes | None:
    return None if value is None else str(value).encode()


def _answer(result: pq.abc.PGresult) -> Answer:
    integer = [result.ftype(column) in _INTEGER_TYPES for column in range(result.nfields)]
    rows = [
        tuple(
            None
            if (value := result.get_value(row, column)) is None
            else int(value)
            if is_integer
            else value.decode()
            for column, is_integer in enumerate(integer)
        )
        for row in range(result.ntuples)
    ]
    return Answer(rows, result.command_tuples or 0)


def _failure(result: pq.abc.PGresult) -> StorageError:
    state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
    primary = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode()
    text = f"not stored: {primary} ({state})"
    if state[:2] in _UNAVAILABLE or state == _READ_ONLY:
        return UnavailableError(text)
    return ContentionError(text) if state in _CONTENTION else StorageError(text)
