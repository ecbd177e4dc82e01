"""Sessions and runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Bring an empty database to this revision."""
    op.create_table(
        "licet_sessions",
        sa.Column("owner", sa.Text, primary_key=True),
        sa.Column("session_id", sa.Text, primary_key=True),
        sa.Column("session_type", sa.Text, nullable=False),
        sa.Column("component_id", sa.Text),
        sa.Column("user_id", sa.Text),
        sa.Column("session_name", sa.Text),
        sa.Column("first_input", sa.Text),
        sa.Column("session_state", sa.Text, nullable=False),
        sa.Column("metadata", sa.Text),
        sa.Column("summary", sa.Text),
        sa.Column("created_at_us", sa.BigInteger, nullable=False),
        sa.Column("updated_at_us", sa.BigInteger, nullable=False),
    )
    for name, column in (
        ("licet_sessions_created", "created_at_us"),
        ("licet_sessions_updated", "updated_at_us"),
    ):
        op.create_index(name, "licet_sessions", ["owner", column])
    _prefer_primary_key("licet_sessions", ["owner", "session_id"])
    op.create_table(
        "licet_runs",
        sa.Column("run_id", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("component_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("parent_run_id", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("total_tokens", sa.BigInteger, nullable=False),
        sa.Column("created_at_us", sa.BigInteger, nullable=False),
        sa.Column("updated_at_us", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["owner", "session_id"],
            ["licet_sessions.owner", "licet_sessions.session_id"],
            name="licet_runs_session",
            ondelete="CASCADE",
        ),
    )
    op.create_index("licet_runs_of_session", "licet_runs", ["owner", "session_id", "created_at_us"])
    _prefer_primary_key("licet_runs", ["run_id"])


def _prefer_primary_key(table: str, columns: list[str]) -> None:
    """Make the primary key the youngest index of its table.

    PostgreSQL's planner takes the youngest of indexes that look equally good, and in a new table
    all do: it would look up a session by going through all that its owner has, and keep that plan
    until the table is analyzed for the first time.
    """
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint(f"{table}_pkey", table)
        op.create_primary_key(f"{table}_pkey", table, columns)
