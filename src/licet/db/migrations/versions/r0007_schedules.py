"""Schedules: runs that begin at times, and what came of each firing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Bring a database of the revision before to this one."""
    op.create_table(
        "licet_schedules",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("agent_id", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("cron_expr", sa.Text, nullable=False),
        sa.Column("timezone", sa.Text, nullable=False),
        sa.Column("timeout_seconds", sa.BigInteger, nullable=False),
        sa.Column("max_retries", sa.BigInteger, nullable=False),
        sa.Column("retry_delay_seconds", sa.BigInteger, nullable=False),
        sa.Column("enabled", sa.BigInteger, nullable=False),
        sa.Column("disabled_reason", sa.Text),
        sa.Column("snapshot", sa.Text),
        sa.Column("created_at_us", sa.BigInteger, nullable=False),
        sa.Column("updated_at_us", sa.BigInteger, nullable=False),
    )
    op.create_index("licet_schedules_name", "licet_schedules", ["owner", "name"], unique=True)
    _create_schedule_runs()
    op.execute("INSERT INTO licet_changes (topic, number) VALUES ('schedules', 0)")


def _create_schedule_runs() -> None:
    op.create_table(
        "licet_schedule_runs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("schedule_id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("agent_id", sa.Text, nullable=False),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("run_id", sa.Text),
        sa.Column("session_id", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("status_code", sa.BigInteger),
        sa.Column("error", sa.Text),
        sa.Column("triggered_at_us", sa.BigInteger, nullable=False),
        sa.Column("completed_at_us", sa.BigInteger),
        sa.Column("created_at_us", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["schedule_id"],
            ["licet_schedules.id"],
            name="licet_schedule_runs_schedule",
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "licet_schedule_runs_of_schedule", "licet_schedule_runs", ["schedule_id", "triggered_at_us"]
    )
