"""The PostgreSQL driver, imported when it is first needed, and what its errors say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from licet.errors import MissingExtraError

if TYPE_CHECKING:
    import psycopg


def load_psycopg(*, extra: str = "postgres") -> Any:
    """The driver; ``extra`` is what to install where it is missing.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import psycopg
    except ImportError as error:
        raise MissingExtraError("PostgresDb", package="psycopg", extra=extra) from error
    return psycopg


def error_text(error: psycopg.Error) -> str:
    """What went wrong, without the detail lines: those quote values of rows."""
    primary = error.diag.message_primary or str(error).strip() or type(error).__name__
    return f"{primary} ({error.sqlstate})" if error.sqlstate else primary
