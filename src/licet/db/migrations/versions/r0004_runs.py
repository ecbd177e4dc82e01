"""Who works on runs: executors, the queue of durable runs, and requests that are done once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_UNENDED = "status IN ('PENDING', 'RUNNING', 'PAUSED')"


def upgrade() -> None:
    """Bring a database of revision 0003 to this one."""
    for column in (
        sa.Column("executor_id", sa.Text),
        sa.Column("durable", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sa.Column("cancel_asked_at_us", sa.BigInteger),
    ):
        op.add_column("licet_runs", column)
    _create_index(
        "licet_runs_unended", ["status", "executor_id", "created_at_us", "run_id"], _UNENDED
    )
    _create_index(
        "licet_runs_queued",
        ["owner", "session_id", "status", "created_at_us", "run_id"],
        f"durable = 1 AND {_UNENDED}",
    )
    _create_jobs()
    _create_once()
    op.create_table(
        "licet_executors",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("started_at_us", sa.BigInteger, nullable=False),
        sa.Column("beats", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.Text),
        sa.Column("settled", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO licet_changes (topic, number) VALUES ('work', 0)")


def _create_index(name: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, "licet_runs", columns, sqlite_where=where, postgresql_where=where)


def _create_jobs() -> None:
    op.create_table(
        "licet_jobs",
        sa.Column("run_id", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("principal_key", sa.Text, nullable=False),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("snapshot", sa.Text),
        sa.Column("created_at_us", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["licet_runs.run_id"], name="licet_jobs_run", ondelete="CASCADE"
        ),
    )


def _create_once() -> None:
    op.create_table(
        "licet_once",
        sa.Column("owner", sa.Text, primary_key=True),
        sa.Column("route", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("session_owner", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("created_at_us", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["licet_runs.run_id"], name="licet_once_run", ondelete="CASCADE"
        ),
    )
    op.create_index("licet_once_of_run", "licet_once", ["run_id"])
