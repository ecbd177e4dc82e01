"""DbSink: events in a database, as the signed chain of one registered writer."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace

from licet.audit.anchors import Anchor, AnchorLog, AnchorSink
from licet.audit.chain import (
    GENESIS,
    batch_message,
    chained,
    registration_hash,
    registration_message,
)
from licet.audit.event import AuditEvent
from licet.audit.signing import Signer
from licet.db.audit_base import AuditStore
from licet.db.audit_records import AuditBatch, AuditRecord, AuditWriter
from licet.errors import ConflictError, StorageError

logger = logging.getLogger(__name__)

# One of those who try at once gets the number each time: enough for as many processes.
_ATTEMPTS = 500


class DbSink:
    """Writes a chain. Each start registers a writer of its own.

    Args:
        store: where records are.
        os_id: which server writes.
        signer: signs heads; None: nobody does, and whoever can write the table could write another
            chain.
        anchors: where heads are kept, too.
        anchor_seconds: how often, while there is something new.
        now_us: gives epoch microseconds.
    """

    def __init__(
        self,
        store: AuditStore,
        *,
        os_id: str,
        signer: Signer | None,
        anchors: Sequence[AnchorSink] = (AnchorLog(),),
        anchor_seconds: float = 60.0,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._store = store
        self._os_id = os_id
        self._signer = signer
        self._anchors = tuple(anchors)
        self._anchor_seconds = anchor_seconds
        self._now_us = now_us
        self._writer: AuditWriter | None = None
        self._head = GENESIS
        self._seq = 0
        self._batch_number = 0
        # How far each of the anchors' places knows of.
        self._anchored = [-1] * len(self._anchors)
        # What was given to the database and not confirmed: it is given again as it is.
        self._pending: tuple[AuditBatch, list[AuditRecord]] | None = None
        self._anchoring: asyncio.Task[None] | None = None

    @property
    def is_signed(self) -> bool:
        """Whether somebody who writes the table without the key is found out."""
        return self._signer is not None

    @property
    def anchors(self) -> Sequence[AnchorSink]:
        """Where heads are kept, too."""
        return self._anchors

    async def start(self) -> None:
        """Register, and keep an anchor of that.

        Raises:
            StorageError: the database cannot be written.
        """
        if self._signer is None:
            logger.warning(
                "audit records are not signed: whoever can write the database can change them "
                "unseen. Set LICET_AUDIT_KEY to an Ed25519 private key, or to a secret"
            )
        await self._begin()
        self._anchor_on()

    async def write(self, events: Sequence[AuditEvent]) -> None:
        """Chain events and commit them, all in one transaction.

        Raises:
            StorageError: it is not known that they are committed.
        """
        writer = self._writer or await self._begin()
        self._anchor_on()
        batch, records = self._pending or self._made(writer, events)
        self._pending = (batch, records)
        try:
            await self._store.append(batch, records)
        except ConflictError:
            # Nobody else writes under this id: somebody put rows there, or the database was set
            # back. They stay for whoever verifies; the records go into a chain of their own.
            logger.exception("the audit trail was changed; its records go on under a new writer")
            await self._anchor()
            self._forget()
            raise
        self._pending = None
        self._head, self._seq, self._batch_number = batch.hash, batch.last_seq, batch.number

    async def close(self) -> None:
        """Keep a last anchor. The next start registers anew."""
        anchoring, self._anchoring = self._anchoring, None
        if anchoring is not None and not anchoring.done():
            anchoring.cancel()
            await asyncio.gather(anchoring, return_exceptions=True)
        await self._anchor()
        self._forget()

    def _forget(self) -> None:
        self._writer, self._pending = None, None
        self._head, self._seq, self._batch_number = GENESIS, 0, 0
        self._anchored = [-1] * len(self._anchors)

    async def _begin(self) -> AuditWriter:
        """Also for an app that is served without its lifespan, whose sinks nobody starts."""
        writer = await self._register()
        await self._anchor()
        return writer

    def _anchor_on(self) -> None:
        # Also on one event loop after another.
        if self._anchoring is None or self._anchoring.done():
            self._anchoring = asyncio.get_running_loop().create_task(self._keep_anchoring())

    async def _register(self) -> AuditWriter:
        for _ in range(_ATTEMPTS):
            last = await self._store.last_writer()
            writer = self._registration(last)
            if await self._store.register_writer(writer):
                self._writer = writer
                return writer
            # Another process took the number in between.
        raise StorageError("no number could be got for this process's audit records; try again")

    def _registration(self, last: AuditWriter | None) -> AuditWriter:
        signer = self._signer
        writer = AuditWriter(
            id=str(uuid.uuid4()),
            number=1 if last is None else last.number + 1,
            os_id=self._os_id,
            key_id=None if signer is None else signer.key_id,
            registered_at_us=self._now_us(),
            hash="",
            signature=None,
        )
        digest = registration_hash(GENESIS if last is None else last.hash, writer)
        signature = None
        if signer is not None:
            signature = signer.sign(registration_message(writer.id, writer.number, digest))
        return replace(writer, hash=digest, signature=signature)

    def _made(
        self, writer: AuditWriter, events: Sequence[AuditEvent]
    ) -> tuple[AuditBatch, list[AuditRecord]]:
        records = chained(self._head, events, writer_id=writer.id, first_seq=self._seq + 1)
        batch = AuditBatch(
            writer_id=writer.id,
            number=self._batch_number + 1,
            first_seq=self._seq + 1,
            last_seq=self._seq + len(records),
            hash=records[-1].hash,
            created_at_us=self._now_us(),
            signature=None,
        )
        if self._signer is not None:
            batch = replace(batch, signature=self._signer.sign(batch_message(batch)))
        return batch, records

    async def _keep_anchoring(self) -> None:
        while True:
            await asyncio.sleep(self._anchor_seconds)
            await self._anchor()

    async def _anchor(self) -> None:
        """Tell every place that does not know of the last record yet."""
        writer, seq, anchored = self._writer, self._seq, self._anchored
        if writer is None or all(known == seq for known in anchored):
            return
        anchor = Anchor(
            writer_id=writer.id,
            writer_number=writer.number,
            seq=seq,
            hash=self._head if seq else writer.hash,
            time_us=self._now_us(),
        )
        if self._signer is not None:
            anchor = replace(anchor, key_id=self._signer.key_id)
            anchor = replace(anchor, signature=self._signer.sign(anchor.message()))
        for place, sink in enumerate(self._anchors):
            if anchored[place] == seq:
                continue
            try:
                await sink.keep(anchor)
            except Exception:
                # What is kept is kept: the trail goes on, and a later anchor covers this one.
                logger.exception("an anchor of the audit trail was not kept")
            else:
                anchored[place] = seq
