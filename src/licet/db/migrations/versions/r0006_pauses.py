"""Runs that wait for people: what somebody other than their owner has to decide."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Bring a database of revision 0005 to this one."""
    op.create_table(
        "licet_approvals",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("component_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("tool_call_id", sa.Text, nullable=False),
        sa.Column("tool_name", sa.Text, nullable=False),
        sa.Column("arguments", sa.Text, nullable=False),
        sa.Column("requested_by", sa.Text, nullable=False),
        sa.Column("continues", sa.BigInteger, nullable=False),
        sa.Column("created_at_us", sa.BigInteger, nullable=False),
        sa.Column("expires_at_us", sa.BigInteger),
        sa.Column("approved", sa.BigInteger),
        sa.Column("resolved_by", sa.Text),
        sa.Column("resolver", sa.Text),
        sa.Column("resolved_at_us", sa.BigInteger),
        sa.Column("resolution_data", sa.Text),
        sa.ForeignKeyConstraint(
            ["run_id"], ["licet_runs.run_id"], name="licet_approvals_run", ondelete="CASCADE"
        ),
    )
    op.create_index("licet_approvals_of_run", "licet_approvals", ["run_id"])
    op.create_index("licet_approvals_created", "licet_approvals", ["created_at_us", "id"])
