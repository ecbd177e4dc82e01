"""How records look on the wire. Times of sessions and stored runs are ISO 8601 there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from starlette.responses import Response

from licet.agent.agent import Agent
from licet.agent.output import RunOutput, plain
from licet.authn.principal import SERVICE_PREFIX
from licet.db.records import RunRecord, SessionRecord
from licet.db.run_states import ENDED
from licet.db.trust_records import RevocationRecord, ServiceAccountRecord
from licet.tools.function import Function
from licet.tools.requirement import Wait

PREVIEW_CHARS = 280

_JSON_TYPE = (b"content-type", b"application/json")
_encoder = msgspec.json.Encoder(enc_hook=plain)


class JSON(Response):
    """A response of JSON, encoded once."""

    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200) -> None:
        body = content if isinstance(content, bytes) else _encoder.encode(content)
        super().__init__(body, status_code=status_code)

    def init_headers(self, _headers: Mapping[str, str] | None = None) -> None:
        """The two that every answer of JSON has; what else there may be is not asked."""
        self.raw_headers = [(b"content-length", b"%d" % len(self.body)), _JSON_TYPE]


def iso(epoch_us: int) -> str:
    """Epoch microseconds as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(epoch_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def without_nulls(view: Mapping[str, Any]) -> dict[str, Any]:
    """A view as most routes show it: nulls omitted."""
    return {key: value for key, value in view.items() if value is not None}


def agent_view(agent: Agent, *, db_id: str) -> dict[str, Any]:
    """An agent as ``GET /agents`` shows it."""
    tools = [
        without_nulls(
            {
                "name": function.name,
                "description": function.description,
                "parameters": dict(function.parameters),
                **_waits(function),
            }
        )
        for function in agent.functions.values()
    ]
    said = {
        "description": agent.description,
        "instructions": agent.instructions,
        "system_message": agent.system_message,
        "markdown": agent.markdown or None,
    }
    return without_nulls(
        {
            "id": agent.id,
            "name": agent.name,
            "db_id": db_id,
            "description": agent.description,
            "model": {
                "name": agent.model.name,
                "model": agent.model.id,
                "provider": agent.model.provider,
            },
            "tools": {"tools": tools} if tools else None,
            "sessions": {"add_history_to_context": agent.add_history_to_context},
            "system_message": without_nulls(said) or None,
            "metadata": dict(agent.metadata) or None,
        }
    )


def _waits(function: Function) -> dict[str, Any]:
    """What calls of a tool wait for."""
    wait = None if function.requirement is None else function.requirement.wait
    return {
        "requires_confirmation": wait in {Wait.CONFIRMATION, Wait.APPROVAL} or None,
        "requires_user_input": wait is Wait.USER_INPUT or None,
        "external_execution": wait is Wait.EXTERNAL_EXECUTION or None,
        "approval_type": "required" if wait is Wait.APPROVAL else None,
    }


def session_name(session: SessionRecord) -> str:
    """The name that was given, else the first message."""
    return session.session_name or session.first_input or ""


def session_view(session: SessionRecord) -> dict[str, Any]:
    """A session as lists show it."""
    return without_nulls(
        {
            "session_id": session.session_id,
            "session_name": session_name(session),
            "session_state": session.session_state,
            "created_at": iso(session.created_at_us),
            "updated_at": iso(session.updated_at_us),
            "session_type": session.session_type,
            "user_id": session.user_id,
            f"{session.session_type}_id": session.component_id,
            "session_summary": session.summary,
            "metadata": session.metadata,
        }
    )


def session_detail(
    session: SessionRecord,
    runs: Sequence[RunRecord],
    *,
    agent: Agent | None,
    total_tokens: int,
) -> dict[str, Any]:
    """A session with its conversation."""
    view = session_view(session)
    view["total_tokens"] = total_tokens
    view["chat_history"] = list(_conversation(runs))
    if session.session_type == "agent":
        view["agent_session_id"] = session.session_id
        if agent is not None:
            view["agent_data"] = {
                "name": agent.name,
                "agent_id": agent.id,
                "model": {"id": agent.model.id, "provider": agent.model.provider},
            }
    return view


def _conversation(runs: Iterable[RunRecord]) -> Iterable[Any]:
    for run in runs:
        yield from RunOutput.from_json(run.body).messages


def run_view(record: RunRecord) -> dict[str, Any]:
    """A stored run as session routes show it (RunSchema): missing strings "", missing lists []."""
    run = RunOutput.from_json(record.body)
    media = {"images": run.input.images, "files": run.input.files}
    asked_in = {} if run.request_id is None else {"request_id": run.request_id}
    return {
        "run_id": record.run_id,
        "parent_run_id": record.parent_run_id or "",
        "agent_id": record.component_id,
        "user_id": record.user_id or "",
        **asked_in,
        "status": record.status,
        "run_input": run.input.input_content,
        "content": run.content if run.content is not None else "",
        "run_response_format": "text" if run.content_type == "str" else "json",
        "reasoning_content": run.reasoning_content or "",
        "metrics": run.metrics,
        "metadata": run.metadata,
        "messages": run.messages,
        "tools": run.tools,
        "events": [],
        "created_at": iso(record.created_at_us),
        "session_state": run.session_state,
        "images": [],
        "videos": [],
        "audio": [],
        "files": [],
        "input_media": media if any(media.values()) else None,
    }


def run_body(record: RunRecord) -> bytes:
    """A stored run as the route of its agent shows it: its body, which is what it was stored as.

    Where only the row's own status was changed, as when a run is taken out of the queue, that is
    the newer one.
    """
    if not record.durable or record.status in ENDED:
        return record.body
    run = RunOutput.from_json(record.body)
    if run.status is record.status:
        return record.body
    return msgspec.structs.replace(run, status=record.status).to_json()


def run_preview(record: RunRecord) -> dict[str, Any]:
    """A stored run in a line."""
    run = RunOutput.from_json(record.body)
    content = run.content if isinstance(run.content, str) else _encoder.encode(run.content).decode()
    return {
        "run_id": record.run_id,
        "parent_run_id": record.parent_run_id,
        "agent_id": record.component_id,
        "user_id": record.user_id,
        "status": record.status,
        "run_input": run.input.input_content[:PREVIEW_CHARS],
        "content_preview": "" if run.content is None else content[:PREVIEW_CHARS],
        "created_at": iso(record.created_at_us),
    }


def service_account_view(account: ServiceAccountRecord) -> dict[str, Any]:
    """A service account, never its token. Times are epoch seconds."""
    return without_nulls(
        {
            "id": account.id,
            "name": account.name,
            "principal": f"{SERVICE_PREFIX}{account.name}",
            "token_prefix": account.token_prefix,
            "scopes": [_scope_view(scope) for scope in account.scopes],
            "created_at": _epoch(account.created_at_us),
            "expires_at": _epoch(account.expires_at_us),
            "last_used_at": _epoch(account.last_used_at_us),
            "revoked_at": _epoch(account.revoked_at_us),
            "old_token_expires_at": _epoch(account.old_expires_at_us),
            "created_by": account.creator_subject,
            "created_by_issuer": account.creator_alias,
            "rotated_by": account.rotator_subject,
            "rotated_by_issuer": account.rotator_alias,
        }
    )


def _scope_view(scope: str) -> dict[str, Any]:
    parts = scope.split(":")
    return {
        "id": None,
        "raw": scope,
        "namespace": parts[0],
        "sub_namespace": ":".join(parts[1:-1]) or None,
        "permission": parts[-1],
        "value": "allow",
    }


def revocation_view(revocation: RevocationRecord) -> dict[str, Any]:
    """A revocation. Times are epoch seconds."""
    return without_nulls(
        {
            "id": revocation.id,
            "kind": revocation.kind,
            "issuer": revocation.issuer_alias,
            "value": revocation.value,
            "subject": revocation.subject,
            "issued_before": _epoch(revocation.issued_before_us),
            "expires_at": _epoch(revocation.expires_at_us),
            "reason": revocation.reason,
            "created_by": revocation.created_by,
            "created_at": _epoch(revocation.created_at_us),
        }
    )


def _epoch(epoch_us: int | None) -> int | None:
    return None if epoch_us is None else epoch_us // 1_000_000


def page(
    data: Sequence[Mapping[str, Any]], *, number: int, limit: int, total: int, milliseconds: float
) -> dict[str, Any]:
    """The envelope of paged lists. ``number`` counts from 1."""
    return {
        "data": data,
        "meta": {
            "page": number,
            "limit": limit,
            "total_pages": -(-total // limit),
            "total_count": total,
            "search_time_ms": round(milliseconds, 2),
        },
    }
