"""The tables, as the newest migration leaves them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKeyConstraint, Index, MetaData, Table, Text

metadata = MetaData()

sessions = Table(
    "licet_sessions",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("session_id", Text, primary_key=True),
    Column("session_type", Text, nullable=False),
    Column("component_id", Text),
    Column("user_id", Text),
    Column("session_name", Text),
    Column("first_input", Text),
    Column("session_state", Text, nullable=False),
    Column("metadata", Text),
    Column("summary", Text),
    Column("created_at_us", BigInteger, nullable=False),
    Column("updated_at_us", BigInteger, nullable=False),
    # Lists are always of one owner, and sorted by one of these.
    Index("licet_sessions_created", "owner", "created_at_us"),
    Index("licet_sessions_updated", "owner", "updated_at_us"),
)

runs = Table(
    "licet_runs",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("component_id", Text, nullable=False),
    Column("user_id", Text),
    Column("parent_run_id", Text),
    Column("status", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("total_tokens", BigInteger, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("updated_at_us", BigInteger, nullable=False),
    # The key makes a run without its session impossible, also when another process deletes it.
    ForeignKeyConstraint(
        ["owner", "session_id"],
        ["licet_sessions.owner", "licet_sessions.session_id"],
        name="licet_runs_session",
        ondelete="CASCADE",
    ),
    Index("licet_runs_of_session", "owner", "session_id", "created_at_us"),
)
