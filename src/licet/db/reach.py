"""Which rows a transaction may reach, as PostgreSQL's row-level security is told.

It stands in a setting of the transaction, which policies compare with the owner of each row
(``postgres_row_security``). What is not set reads as NULL or "", and reaches nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from licet.db.base import Access
from licet.db.codec import storable
from licet.db.writes import Statement, Write

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

T = TypeVar("T")

SETTING = "licet.reach"
EVERYTHING = "*"
OWNED_BY = "="
"""Stands before an owner: the owner of nobody's rows is "", which must not be what is not set."""

_NOTHING = ""
_OPTION = "licet_access"
_SET = f"SELECT set_config('{SETTING}', ?, true)"


def reach_of(access: Access | None) -> str:
    """What an access reaches, as the setting says it; without an access no row at all."""
    if access is None:
        return _NOTHING
    if access.sees_all:
        return EVERYTHING
    # No row has an owner that cannot be stored; libpq would cut it off at a NUL.
    return f"{OWNED_BY}{access.owner}" if storable(access.owner) else _NOTHING


def reaching_write(write: Write[T], access: Access | None) -> Write[T]:
    """A write that first says what it reaches, whatever was said before it in its transaction."""
    return Write(
        write.key,
        (Statement(_SET, (reach_of(access),)), *write.statements),
        lambda answers: write.conclude(answers[1:]),
    )


def reaching_read(
    query: Callable[[Connection], T], access: Access | None
) -> Callable[[Connection], T]:
    """A query in a transaction whose connection knows the access (``reach_of_connection``)."""

    def asked(connection: Connection) -> T:
        connection.execution_options(**{_OPTION: access})
        with connection.begin():
            return query(connection)

    return asked


def reach_of_connection(connection: Connection) -> str:
    """What a transaction reaches that begins on a connection; nothing where nobody has said."""
    return reach_of(connection.get_execution_options().get(_OPTION))
