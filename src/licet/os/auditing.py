"""Auditing: from a judgement to an event, and from there to the recorders."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Mapping, Sequence

from starlette.types import Scope

from licet.audit.config import KEY_VARIABLE, AuditConfig, AuditMode
from licet.audit.db_sink import DbSink
from licet.audit.event import AuditEvent, EventKind, storable_text
from licet.audit.policy import Keep
from licet.audit.recorder import AuditUnavailableError, Recorder
from licet.audit.signing import load_signer
from licet.audit.sink import AuditSink
from licet.db.base import Db
from licet.os.caller import ANYBODY, from_scope
from licet.os.denial import Denial
from licet.os.judgement import Judgement
from licet.os.middleware.authentication import ARRIVED_KEY
from licet.os.middleware.request_id import REQUEST_ID_KEY
from licet.os.work_events import credential_of
from licet.secret_variables import find_secret

logger = logging.getLogger(__name__)


class Auditing:
    """Records what is decided.

    Args:
        recorders: one for each sink; none: nothing is recorded.
        keep: which decisions.
    """

    def __init__(self, recorders: Sequence[Recorder] = (), *, keep: Keep = Keep.ALL) -> None:
        self._recorders = tuple(recorders)
        self._keep = keep

    @property
    def sinks(self) -> Sequence[AuditSink]:
        """What keeps what is recorded; none: nothing does."""
        return [recorder.sink for recorder in self._recorders]

    async def start(self) -> None:
        """Get the sinks ready.

        Raises:
            Exception: one of them cannot keep anything.
        """
        for recorder in self._recorders:
            await recorder.start()

    async def close(self) -> None:
        """Write what waits, to each sink that can keep it."""
        closing = [recorder.close() for recorder in self._recorders]
        for failure in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(failure, BaseException):
                logger.error("an audit sink did not close", exc_info=failure)

    async def record(self, scope: Scope, judgement: Judgement) -> Denial | None:
        """Record a judgement. A refusal, where its record cannot be taken; else None.

        What is public was not decided, and where authorization is off nothing is.
        """
        if not self._recorders or judgement.is_unasked:
            return None
        answer = judgement.answer
        status = answer.status if isinstance(answer, Denial) else None
        if not self._keep.keeps(allowed=status is None, method=scope.get("method", "WEBSOCKET")):
            return None
        return await self._take(_event(scope, judgement, status))

    async def record_denial(self, scope: Scope, denial: Denial, *, rule: str) -> Denial | None:
        """Record a refusal that fell before anybody was asked who they are."""
        judgement = Judgement(answer=denial, settled_by=rule, reason=denial.reason or denial.detail)
        return await self.record(scope, judgement)

    async def record_ungranted(
        self, scope: Scope, *, status: int, rule: str, reason: str
    ) -> Denial | None:
        """Record that somebody who was let in asked for more than is theirs to give."""
        if not self._recorders:
            return None
        judgement = Judgement(
            answer=Denial(status, reason),
            settled_by=rule,
            reason=reason,
            principal=from_scope(scope).principal,
        )
        return await self._take(_event(scope, judgement, status, kind=EventKind.GRANT.value))

    async def record_public(
        self, scope: Scope, *, rule: str, status: int | None, reason: str
    ) -> Denial | None:
        """Record what a public route decides by itself. ``status`` None: it was accepted."""
        if not self._recorders or not self._keep.keeps(
            allowed=status is None, method=scope["method"]
        ):
            return None
        judgement = Judgement(answer=ANYBODY, settled_by=rule, reason=reason)
        return await self._take(_event(scope, judgement, status))

    async def record_work(self, events: Sequence[AuditEvent]) -> Denial | None:
        """Record what was decided about work that goes on, or begins, without a request.

        A refusal, where it cannot be taken; else None.
        """
        for event in events:
            allowed = event.decision == "allow"
            if self._recorders and self._keep.keeps(allowed=allowed, method=event.method):
                refusal = await self._take(event)
                if refusal is not None:
                    return refusal
        return None

    async def _take(self, event: AuditEvent) -> Denial | None:
        try:
            for recorder in self._recorders:
                await recorder.record(event)
        except AuditUnavailableError as error:
            logger.error("request %s is refused: %s", event.request_id, error)  # noqa: TRY400
            return Denial.unrecorded()
        return None


def build_auditing(
    config: AuditConfig,
    *,
    db: Db,
    os_id: str,
    environ: Mapping[str, str] = os.environ,
) -> Auditing:
    """What a configuration asks for.

    Raises:
        ConfigurationError: the key is none, or its file cannot be read.
    """
    sinks: list[AuditSink] = list(config.sinks)
    if config.database:
        key = config.key if config.key is not None else _key_of(environ)
        sinks.insert(
            0,
            DbSink(
                db.audit(),
                os_id=os_id,
                signer=load_signer(key) if key else None,
                anchors=config.anchors,
                anchor_seconds=config.anchor_seconds,
            ),
        )
    if not sinks:
        logger.warning("AUDIT IS OFF: what is decided is not recorded")
    recorders = [
        Recorder(
            sink,
            blocking=config.mode is AuditMode.BLOCKING,
            batch_seconds=config.batch_seconds,
            max_waiting=config.max_waiting,
            timeout_seconds=config.timeout_seconds,
        )
        for sink in sinks
    ]
    return Auditing(recorders, keep=Keep(config.keep))


def _key_of(environ: Mapping[str, str]) -> str | None:
    secret = find_secret(KEY_VARIABLE, environ)
    return None if secret is None else secret.value


def _event(
    scope: Scope,
    judgement: Judgement,
    status: int | None,
    *,
    kind: str = EventKind.REQUEST.value,
) -> AuditEvent:
    principal, guarded, wanted = judgement.principal, judgement.guarded, judgement.permission
    resource_id = None
    if wanted is not None and wanted.id_param is not None and guarded is not None:
        resource_id = storable_text(str(guarded.path_params.get(wanted.id_param, "")))
    client = scope.get("client")
    arrived_ns = scope.get(ARRIVED_KEY)
    return AuditEvent(
        time_us=time.time_ns() // 1000,
        request_id=scope.get(REQUEST_ID_KEY, ""),
        kind=kind,
        decision="allow" if status is None else "deny",
        status=status,
        reason=storable_text(judgement.reason),
        rule=storable_text(judgement.settled_by),
        issuer_alias=None if principal is None else principal.issuer_alias,
        subject=None if principal is None else principal.subject,
        credential=credential_of(principal),
        token_id=None if principal is None else principal.token_id,
        action=None if wanted is None else wanted.scope,
        resource=None if wanted is None else wanted.resource,
        resource_id=resource_id,
        method=storable_text(scope.get("method", "WEBSOCKET")),
        # A route class with a matching of its own has no template that is known.
        route=storable_text((guarded and guarded.template) or scope["path"]),
        client=None if client is None else str(client[0]),
        latency_us=0 if arrived_ns is None else (time.perf_counter_ns() - arrived_ns) // 1000,
    )
