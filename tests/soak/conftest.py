"""What the long tests share with the others: a real PostgreSQL."""

from __future__ import annotations

from tests.support.postgres import postgres_server

__all__ = ["postgres_server"]
