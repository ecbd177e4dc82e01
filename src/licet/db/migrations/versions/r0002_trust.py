"""Revocations, service accounts, and the numbers by which changes are followed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

# Sent when the transaction commits: whoever hears it can read the number that it tells of.
_FUNCTION = """
CREATE FUNCTION licet_tell_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('licet_changes', NEW.topic);
    RETURN NULL;
END
$$
"""
# A row that was only locked, by an update to the same number, tells nobody.
_TRIGGER = """
CREATE TRIGGER licet_changes_told AFTER UPDATE ON licet_changes FOR EACH ROW
WHEN (OLD.number IS DISTINCT FROM NEW.number) EXECUTE FUNCTION licet_tell_change()
"""


def upgrade() -> None:
    """Bring a database of revision 0001 to this one."""
    op.create_table(
        "licet_changes",
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
    )
    op.execute("INSERT INTO licet_changes (topic, number) VALUES ('trust', 0)")
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_FUNCTION)
        op.execute(_TRIGGER)
    _create_revocations()
    _create_service_accounts()


def _create_revocations() -> None:
    op.create_table(
        "licet_revocations",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("issuer_alias", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("subject", sa.Text),
        sa.Column("issued_before_us", sa.BigInteger, nullable=False),
        sa.Column("expires_at_us", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("created_by", sa.Text),
        sa.Column("created_at_us", sa.BigInteger, nullable=False),
        sa.Column("deleted_at_us", sa.BigInteger),
        sa.Column("change_number", sa.BigInteger, nullable=False),
    )
    op.create_index(
        "licet_revocations_key",
        "licet_revocations",
        ["kind", "issuer_alias", "value"],
        unique=True,
    )
    op.create_index("licet_revocations_changed", "licet_revocations", ["change_number"])


def _create_service_accounts() -> None:
    op.create_table(
        "licet_service_accounts",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("token_digest", sa.Text),
        sa.Column("token_prefix", sa.Text, nullable=False),
        sa.Column("rotator_alias", sa.Text),
        sa.Column("rotator_subject", sa.Text),
        sa.Column("rotator_issued_at_us", sa.BigInteger, nullable=False),
        sa.Column("old_token_digest", sa.Text),
        sa.Column("old_expires_at_us", sa.BigInteger),
        sa.Column("old_rotator_alias", sa.Text),
        sa.Column("old_rotator_subject", sa.Text),
        sa.Column("old_rotator_issued_at_us", sa.BigInteger, nullable=False),
        sa.Column("creator_alias", sa.Text),
        sa.Column("creator_subject", sa.Text),
        sa.Column("creator_issued_at_us", sa.BigInteger, nullable=False),
        sa.Column("created_at_us", sa.BigInteger, nullable=False),
        sa.Column("expires_at_us", sa.BigInteger),
        sa.Column("last_used_at_us", sa.BigInteger),
        sa.Column("revoked_at_us", sa.BigInteger),
        sa.Column("change_number", sa.BigInteger, nullable=False),
    )
    for name, column in (
        ("licet_service_accounts_token", "token_digest"),
        ("licet_service_accounts_old_token", "old_token_digest"),
        ("licet_service_accounts_changed", "change_number"),
    ):
        op.create_index(name, "licet_service_accounts", [column])
