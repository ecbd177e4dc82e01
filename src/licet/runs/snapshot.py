"""What a durable run takes along: what was asked, and the authority under which.

Any process can go on with it, so it is JSON. The authority is a snapshot of the principal: who it
was, by which token (its id, never the token itself), and what that permitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from licet.agent.output import RunInput
from licet.agent.output_schema import OutputSchema
from licet.agent.run_request import RunRequest
from licet.authn.frozen import frozen, thawed
from licet.authn.principal import Principal, PrincipalKind
from licet.db.work_records import JobRecord
from licet.errors import InvalidInputError, StorageError

T = TypeVar("T")


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A principal as a run carries it. ``taken_at`` and the token's times are epoch seconds."""

    issuer_alias: str
    issuer: str | None
    subject: str
    scopes: tuple[str, ...]
    token_id: str
    key_id: str | None
    issued_at: float | None
    expires_at: float | None
    session_id: str | None
    sid: str | None
    kind: PrincipalKind
    claims: dict[str, Any]
    dependencies: dict[str, Any]
    session_state: dict[str, Any]
    actors: tuple[str, ...]
    taken_at: float

    @classmethod
    def of(cls, principal: Principal, *, taken_at: float) -> Snapshot:
        """The principal as it is now."""
        return cls(
            issuer_alias=principal.issuer_alias,
            issuer=principal.issuer,
            subject=principal.subject,
            scopes=principal.scopes,
            token_id=principal.token_id,
            key_id=principal.key_id,
            issued_at=principal.issued_at,
            expires_at=principal.expires_at,
            session_id=principal.session_id,
            sid=principal.sid,
            kind=principal.kind,
            claims=dict(thawed(principal.claims)),
            dependencies=dict(thawed(principal.dependencies)),
            session_state=dict(thawed(principal.session_state)),
            actors=principal.actors,
            taken_at=taken_at,
        )

    def principal(self) -> Principal:
        """The principal as it was."""
        return Principal(
            issuer_alias=self.issuer_alias,
            issuer=self.issuer,
            subject=self.subject,
            scopes=self.scopes,
            token_id=self.token_id,
            key_id=self.key_id,
            issued_at=self.issued_at,
            expires_at=self.expires_at,
            session_id=self.session_id,
            sid=self.sid,
            kind=self.kind,
            claims=frozen(self.claims),
            dependencies=frozen(self.dependencies),
            session_state=frozen(self.session_state),
            actors=self.actors,
        )

    def to_json(self) -> bytes:
        """As it is stored."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, stored: bytes) -> Snapshot:
        """What ``to_json`` wrote.

        Raises:
            StorageError: it is something else.
        """
        return _decoded(stored, cls, "a snapshot")


class StoredRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A ``RunRequest`` without its principal. What was stored earlier has no ``trace_context``."""

    input: RunInput
    run_id: str
    session_id: str
    owner: str
    user_id: str | None
    request_id: str | None
    session_state: dict[str, Any] | None
    dependencies: dict[str, Any] | None
    metadata: dict[str, Any] | None
    output_schema: dict[str, Any] | None
    trace_context: dict[str, str] | None = None

    @classmethod
    def of(
        cls, request: RunRequest, *, trace_context: Mapping[str, str] | None = None
    ) -> StoredRequest:
        """What was asked. Only a client's schema can be kept: one of JSON, as theirs are."""
        schema = request.output_schema
        return cls(
            input=request.input,
            run_id=request.run_id,
            session_id=request.session_id,
            owner=request.owner,
            user_id=request.user_id,
            request_id=request.request_id,
            session_state=_dict(request.session_state),
            dependencies=_dict(request.dependencies),
            metadata=_dict(request.metadata),
            output_schema=None if schema is None else dict(schema.format.schema),
            trace_context=_dict(trace_context),
        )

    def request(self, principal: Principal | None) -> RunRequest:
        """What was asked, under an authority."""
        schema = self.output_schema
        return RunRequest(
            input=self.input,
            run_id=self.run_id,
            session_id=self.session_id,
            owner=self.owner,
            user_id=self.user_id,
            request_id=self.request_id,
            principal=principal,
            session_state=self.session_state,
            dependencies=self.dependencies,
            metadata=self.metadata,
            output_schema=None if schema is None else OutputSchema.of(schema),
            trace_context=self.trace_context,
        )

    def to_json(self) -> bytes:
        """As it is stored.

        Raises:
            InvalidInputError: there is something in it that JSON cannot hold.
        """
        try:
            return msgspec.json.encode(self)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidInputError("what a durable run was asked", "JSON values only") from error

    @classmethod
    def from_json(cls, stored: bytes) -> StoredRequest:
        """What ``to_json`` wrote.

        Raises:
            StorageError: it is something else.
        """
        return _decoded(stored, cls, "a request")


def job_of(
    request: RunRequest,
    *,
    now: float,
    snapshot: Snapshot | None = None,
    trace_context: Mapping[str, str] | None = None,
) -> JobRecord:
    """What a run needs to be worked on, or gone on with, by any process.

    Args:
        request: the run.
        now: epoch seconds.
        snapshot: that of the request's principal, if it was taken earlier.
        trace_context: where whoever goes on with it finds its trace.

    Raises:
        InvalidInputError: there is something in it that JSON cannot hold.
    """
    principal = request.principal
    if snapshot is None and principal is not None:
        snapshot = Snapshot.of(principal, taken_at=now)
    return JobRecord(
        run_id=request.run_id,
        principal_key="" if principal is None else principal.owner,
        request=StoredRequest.of(request, trace_context=trace_context).to_json(),
        snapshot=None if snapshot is None else snapshot.to_json(),
        created_at_us=int(now * 1_000_000),
    )


def principal_of(job: JobRecord) -> tuple[Snapshot | None, Principal | None]:
    """The authority under which a run was started, as it was.

    Raises:
        StorageError: what is stored of it cannot be read.
    """
    if job.snapshot is None:
        return None, None
    snapshot = Snapshot.from_json(job.snapshot)
    return snapshot, snapshot.principal()


def _dict(value: Any) -> dict[str, Any] | None:
    return None if value is None else dict(value)


def _decoded(stored: bytes, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(stored, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise StorageError(f"what is stored as {what} of a run cannot be read: {error}") from error
