"""The PostgreSQL driver, imported when it is first needed, and what its errors say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from licet.errors import MissingExtraError

if TYPE_CHECKING:
    import psycopg


def load_psycopg() -> Any:
    """The driver.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import psycopg
    except ImportError as error:
        raise MissingExtraError("PostgresDb", package="psycopg", extra="postgres") from error
    return psycopg


def error_text(error: psycopg.Error) -> str:
    """What went wrong, without the detail lines: those quote values of rows."""
    primary = error.diag.message_primary or str(error).strip() or type(error).__name__
    return f"{primary} ({error.sqlstate})" if error.sqlstate else primary
