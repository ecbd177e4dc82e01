"""The sessions of one user among all of them, for whoever sees all."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Bring a database of the revision before to this one."""
    op.create_index("licet_sessions_of_user", "licet_sessions", ["user_id", "created_at_us"])
