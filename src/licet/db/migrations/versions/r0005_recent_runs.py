"""The newest runs of all sessions, without reading the others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Bring a database of revision 0004 to this one."""
    where = sa.text("created_at_us >= 0")
    op.create_index(
        "licet_runs_created",
        "licet_runs",
        ["created_at_us", "run_id"],
        sqlite_where=where,
        postgresql_where=where,
    )
