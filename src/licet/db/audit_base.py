"""The AuditStore protocol: decisions that were made, as a database keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from licet.db.audit_records import AuditBatch, AuditQuery, AuditRecord, AuditWriter


class AuditStore(Protocol):
    """What was decided, in chains that can be verified. It is added to and never changed.

    No access is carried: who may call these methods is decided before, by scope. Hashes and
    signatures are kept as they are given. Every method may raise ``StorageError``.
    """

    async def last_writer(self) -> AuditWriter | None:
        """The registration with the highest number. None: nobody has registered."""

    async def register_writer(self, writer: AuditWriter) -> bool:
        """Store a registration. False: its number is taken, and nothing was written.

        Of two that register one number at once, in two processes, exactly one gets True. Who got
        no answer looks at ``last_writer``: it may be the own registration.

        Raises:
            ConflictError: a writer of that id is registered under another number.
        """

    async def append(self, batch: AuditBatch, records: Sequence[AuditRecord]) -> None:
        """Store a batch with all of its records, in one transaction.

        When this returns, they are committed. The same batch once more, after an answer that got
        lost, writes nothing.

        Raises:
            ConflictError: the writer has another batch of that number, or other records of these
                numbers; nothing was written.
            InvalidInputError: the records are not those from the batch's first to its last.
        """

    async def find(self, query: AuditQuery) -> Sequence[AuditRecord]:
        """The first records of a query, in its order: by time, then writer, then ``seq``.

        Time is what the writers' clocks said. Who goes on after a record does not see what another
        writer commits later with an earlier time; ``records_of`` misses nothing.
        """

    async def writers(self, *, after_number: int, limit: int) -> Sequence[AuditWriter]:
        """The first registrations with a higher number, in their order."""

    async def records_of(
        self, writer_id: str, *, after_seq: int, limit: int
    ) -> Sequence[AuditRecord]:
        """A writer's first records with a higher ``seq``, in their order."""

    async def batches_of(
        self, writer_id: str, *, after_number: int, limit: int
    ) -> Sequence[AuditBatch]:
        """A writer's first batches with a higher number, in their order."""
