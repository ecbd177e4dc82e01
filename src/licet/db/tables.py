"""The tables, as the newest migration leaves them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Index,
    MetaData,
    Table,
    Text,
    text,
)

from licet.db.work_codec import EVER_SQL, UNENDED_SQL

metadata = MetaData()


def _where(condition: str) -> dict[str, Any]:
    # For whoever reads this: the revisions have made the indexes. Said as each dialect wants to be
    # told, it would import PostgreSQL's where there is none.
    return {"info": {"where": condition}}


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
    # Lists are of one owner, and sorted by one of these;
    Index("licet_sessions_created", "owner", "created_at_us"),
    Index("licet_sessions_updated", "owner", "updated_at_us"),
    # or an administrator's, who sees all and asks for one user. What a session's runs change is not
    # in it.
    Index("licet_sessions_of_user", "user_id", "created_at_us"),
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
    Column("executor_id", Text),
    Column("durable", BigInteger, nullable=False, server_default=text("0")),
    # What is no part of a record: when somebody asked for the run to be stopped.
    Column("cancel_asked_at_us", BigInteger),
    # The key makes a run without its session impossible, also when another process deletes it.
    ForeignKeyConstraint(
        ["owner", "session_id"],
        ["licet_sessions.owner", "licet_sessions.session_id"],
        name="licet_runs_session",
        ondelete="CASCADE",
    ),
    Index("licet_runs_of_session", "owner", "session_id", "created_at_us"),
    # The newest of all: bodies are large, and lie before what a list would be sorted by.
    Index("licet_runs_created", "created_at_us", "run_id", **_where(EVER_SQL)),
    # The queue, which is PENDING and of no executor; and what each executor is at work on. Neither
    # grows with the runs that have ended.
    Index(
        "licet_runs_unended",
        "status",
        "executor_id",
        "created_at_us",
        "run_id",
        **_where(UNENDED_SQL),
    ),
    # Whether a run is the next of its session.
    Index(
        "licet_runs_queued",
        "owner",
        "session_id",
        "status",
        "created_at_us",
        "run_id",
        **_where(f"durable = 1 AND {UNENDED_SQL}"),
    ),
)

# What a durable run needs to be worked on by any process; its owner, so that it can be guarded.
jobs = Table(
    "licet_jobs",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("principal_key", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("snapshot", Text),
    Column("created_at_us", BigInteger, nullable=False),
    ForeignKeyConstraint(
        ["run_id"], ["licet_runs.run_id"], name="licet_jobs_run", ondelete="CASCADE"
    ),
)

# What runs wait for that others than their owners decide.
approvals = Table(
    "licet_approvals",
    metadata,
    Column("id", Text, primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("component_id", Text, nullable=False),
    Column("user_id", Text),
    Column("tool_call_id", Text, nullable=False),
    Column("tool_name", Text, nullable=False),
    Column("arguments", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("continues", BigInteger, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("expires_at_us", BigInteger),
    Column("approved", BigInteger),
    Column("resolved_by", Text),
    Column("resolver", Text),
    Column("resolved_at_us", BigInteger),
    Column("resolution_data", Text),
    ForeignKeyConstraint(
        ["run_id"], ["licet_runs.run_id"], name="licet_approvals_run", ondelete="CASCADE"
    ),
    # Whether a run waits for one; and who deletes a run looks here for its approvals.
    Index("licet_approvals_of_run", "run_id"),
    Index("licet_approvals_created", "created_at_us", "id"),
)

# Requests that are to be done once: whose each was, and in whose session the run is.
once = Table(
    "licet_once",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("route", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("session_owner", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    ForeignKeyConstraint(
        ["run_id"], ["licet_runs.run_id"], name="licet_once_run", ondelete="CASCADE"
    ),
    # Who deletes a run looks here for its request.
    Index("licet_once_of_run", "run_id"),
)

# What is to be run and when; ``snapshot`` is the authority under which.
schedules = Table(
    "licet_schedules",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("user_id", Text),
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("agent_id", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("cron_expr", Text, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("timeout_seconds", BigInteger, nullable=False),
    Column("max_retries", BigInteger, nullable=False),
    Column("retry_delay_seconds", BigInteger, nullable=False),
    Column("enabled", BigInteger, nullable=False),
    Column("disabled_reason", Text),
    Column("snapshot", Text),
    Column("created_at_us", BigInteger, nullable=False),
    Column("updated_at_us", BigInteger, nullable=False),
    Index("licet_schedules_name", "owner", "name", unique=True),
)

# What came of each firing. The runs themselves are sessions' and outlive this.
schedule_runs = Table(
    "licet_schedule_runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("schedule_id", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("agent_id", Text, nullable=False),
    Column("attempt", BigInteger, nullable=False),
    Column("run_id", Text),
    Column("session_id", Text),
    Column("status", Text, nullable=False),
    Column("status_code", BigInteger),
    Column("error", Text),
    Column("triggered_at_us", BigInteger, nullable=False),
    Column("completed_at_us", BigInteger),
    Column("created_at_us", BigInteger, nullable=False),
    ForeignKeyConstraint(
        ["schedule_id"],
        ["licet_schedules.id"],
        name="licet_schedule_runs_schedule",
        ondelete="CASCADE",
    ),
    Index("licet_schedule_runs_of_schedule", "schedule_id", "triggered_at_us"),
)

executors = Table(
    "licet_executors",
    metadata,
    Column("id", Text, primary_key=True),
    Column("started_at_us", BigInteger, nullable=False),
    Column("beats", BigInteger, nullable=False),
    Column("ended", Text),
    Column("settled", BigInteger, nullable=False),
)

# One row a topic. What changes something of a topic raises its number in the same transaction.
changes = Table(
    "licet_changes",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
)

revocations = Table(
    "licet_revocations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("issuer_alias", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("subject", Text),
    Column("issued_before_us", BigInteger, nullable=False),
    Column("expires_at_us", BigInteger, nullable=False),
    Column("reason", Text),
    Column("created_by", Text),
    Column("created_at_us", BigInteger, nullable=False),
    Column("deleted_at_us", BigInteger),
    Column("change_number", BigInteger, nullable=False),
    Index("licet_revocations_key", "kind", "issuer_alias", "value", unique=True),
    Index("licet_revocations_changed", "change_number"),
)

service_accounts = Table(
    "licet_service_accounts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("token_digest", Text),
    Column("token_prefix", Text, nullable=False),
    Column("rotator_alias", Text),
    Column("rotator_subject", Text),
    Column("rotator_issued_at_us", BigInteger, nullable=False),
    Column("old_token_digest", Text),
    Column("old_expires_at_us", BigInteger),
    Column("old_rotator_alias", Text),
    Column("old_rotator_subject", Text),
    Column("old_rotator_issued_at_us", BigInteger, nullable=False),
    Column("creator_alias", Text),
    Column("creator_subject", Text),
    Column("creator_issued_at_us", BigInteger, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("expires_at_us", BigInteger),
    Column("last_used_at_us", BigInteger),
    Column("revoked_at_us", BigInteger),
    Column("change_number", BigInteger, nullable=False),
    Index("licet_service_accounts_token", "token_digest"),
    Index("licet_service_accounts_old_token", "old_token_digest"),
    Index("licet_service_accounts_changed", "change_number"),
)

audit = Table(
    "licet_audit",
    metadata,
    Column("writer_id", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("time_us", BigInteger, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("status", BigInteger),
    Column("reason", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("issuer_alias", Text),
    Column("subject", Text),
    Column("credential", Text, nullable=False),
    Column("token_id", Text),
    Column("action", Text),
    Column("resource", Text),
    Column("resource_id", Text),
    Column("method", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("client", Text),
    Column("latency_us", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
    # No more than these: each costs every request, and whoever searches can name a time.
    Index("licet_audit_time", "time_us", "writer_id", "seq"),
    Index("licet_audit_subject", "issuer_alias", "subject", "time_us"),
)

audit_writers = Table(
    "licet_audit_writers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("os_id", Text, nullable=False),
    Column("key_id", Text),
    Column("registered_at_us", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
    Column("signature", Text),
    Index("licet_audit_writers_number", "number", unique=True),
)

audit_batches = Table(
    "licet_audit_batches",
    metadata,
    Column("writer_id", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("first_seq", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("signature", Text),
)
