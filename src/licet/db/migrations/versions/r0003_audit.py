"""The audit trail: records, who wrote them, and what was written together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Bring a database of revision 0002 to this one."""
    _create_records()
    op.create_table(
        "licet_audit_writers",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("os_id", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text),
        sa.Column("registered_at_us", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("signature", sa.Text),
    )
    op.create_index("licet_audit_writers_number", "licet_audit_writers", ["number"], unique=True)
    op.create_table(
        "licet_audit_batches",
        sa.Column("writer_id", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("first_seq", sa.BigInteger, nullable=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("created_at_us", sa.BigInteger, nullable=False),
        sa.Column("signature", sa.Text),
    )


def _create_records() -> None:
    op.create_table(
        "licet_audit",
        sa.Column("writer_id", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("time_us", sa.BigInteger, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("decision", sa.Text, nullable=False),
        sa.Column("status", sa.BigInteger),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("issuer_alias", sa.Text),
        sa.Column("subject", sa.Text),
        sa.Column("credential", sa.Text, nullable=False),
        sa.Column("token_id", sa.Text),
        sa.Column("action", sa.Text),
        sa.Column("resource", sa.Text),
        sa.Column("resource_id", sa.Text),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("client", sa.Text),
        sa.Column("latency_us", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
    )
    for name, columns in (
        ("licet_audit_time", ["time_us", "writer_id", "seq"]),
        ("licet_audit_subject", ["issuer_alias", "subject", "time_us"]),
    ):
        op.create_index(name, "licet_audit", columns)
