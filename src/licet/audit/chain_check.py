"""ChainCheck: whether one writer's records and batches stand as they were written.

Batches are read before the records that they cover, so that what a server writes meanwhile is
not taken for something inserted: a batch is there with all of its records, or not at all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from licet.audit.anchors import Anchor
from licet.audit.chain import GENESIS, batch_message, is_plain, record_hash
from licet.audit.findings import Report
from licet.audit.trusted_keys import TrustedKeys
from licet.db.audit_base import AuditStore
from licet.db.audit_records import AuditBatch, AuditRecord, AuditWriter

PAGE = 2000
BEFORE_ALL = -(2**63)
_UNCOVERED = "batches are missing that cover these records"

Heads = tuple[str, ...]
"""What may stand for the hash of the last one: as it is stored, and as it has to be.

Where these differ it was noted, and the next one is no worse for it. None: nobody can say.
"""


def next_heads(stored: object, wanted: Sequence[str]) -> Heads:
    """The heads after one whose hash is ``stored`` and has to be one of those that are wanted."""
    if not wanted or stored in wanted:
        return (str(stored),)
    return (str(stored), wanted[-1])


class ChainCheck:
    """Looks at one chain.

    Args:
        store: where it is.
        writer: whose it is.
        keys: None: its signatures cannot be looked at.
        anchors: by ``seq``, those of this writer.
        report: where it is noted what does not stand.
    """

    def __init__(
        self,
        store: AuditStore,
        writer: AuditWriter,
        *,
        keys: TrustedKeys | None,
        anchors: Mapping[int, Sequence[Anchor]],
        report: Report,
    ) -> None:
        self._store = store
        self._writer = writer
        self._keys = keys
        self._anchors = anchors
        self._report = report
        self._seq = 0
        self._heads: Heads = (GENESIS,)
        self._batch_number = 0
        self._is_sure = True
        self._read_seq: int | None = BEFORE_ALL
        self._read_batch: int | None = BEFORE_ALL
        self._buffer: deque[AuditRecord] = deque()
        self._uncovered: list[tuple[int, int]] = []

    async def run(self) -> None:
        """Look at all of it."""
        while True:
            batches = await self._batches()
            if not batches:
                if not await self._has_record():
                    break
                # They may have been written meanwhile; if so, their batch is there by now.
                batches = await self._batches()
            if not batches:
                self._take_uncovered()
            for batch in batches:
                if _is_numbered(batch):
                    await self._check_batch(batch)
                else:
                    self._find("changed_batch", "a batch has numbers that none is given")
        for place in self._uncovered:
            text = "no batch covers these records: they were inserted, or their batches removed"
            self._find("inserted_records", text, *place)
        last = max(self._anchors, default=0)
        if last > self._seq:
            text = f"the chain ends at {self._seq}, and was anchored at {last}"
            self._find("cut_off", text, self._seq + 1, last)

    # Batches

    async def _check_batch(self, batch: AuditBatch) -> None:
        known = self._check_signature(batch)
        if batch.number == self._batch_number + 1:
            if self._is_sure and batch.first_seq != self._seq + 1:
                known = known and self._note_changed(batch, "it does not follow the one before")
        elif batch.first_seq > self._seq + 1:
            self._find("missing_batches", _UNCOVERED, self._seq + 1, batch.first_seq - 1)
        else:
            known = known and self._note_changed(batch, "its number is not the next")
        self._batch_number = batch.number
        await self._check_records(batch, until=batch.last_seq)
        if batch.hash not in self._heads and await self._has_record():
            ahead = [record.seq for record in self._buffer if record.hash == batch.hash]
            await self._check_records(batch, until=min(ahead, default=self._seq))
        self._is_sure = self._check_end(batch, known=known)

    def _check_end(self, batch: AuditBatch, *, known: bool) -> bool:
        """Whether a batch says where it ends. ``known``: so far nothing is wrong with it."""
        is_reached = batch.hash in self._heads
        if is_reached and batch.last_seq == self._seq:
            return known
        if not known:
            return False
        if is_reached or batch.last_seq <= self._seq:
            return self._note_changed(batch, "it does not end with the record that is there")
        self._find("missing_records", "records are missing", self._seq + 1, batch.last_seq)
        self._seq, self._heads = batch.last_seq, next_heads(batch.hash, ())
        return True

    def _check_signature(self, batch: AuditBatch) -> bool:
        if self._writer.key_id is None and batch.signature is not None:
            return self._note_changed(batch, "a signature was put where no key was")
        message = batch_message(batch)
        if self._keys is None or self._keys.signs(self._writer.key_id, message, batch.signature):
            return True
        return self._note_changed(batch, "not signed by the writer's key", code="bad_signature")

    def _note_changed(self, batch: AuditBatch, text: str, *, code: str = "changed_batch") -> bool:
        self._find(code, text, batch.first_seq, batch.last_seq)
        return False

    # Records

    async def _check_records(self, batch: AuditBatch, *, until: int) -> None:
        """Those of a batch: they end with the one that has its hash, whatever its numbers say."""
        while (record := await self._next_record(until=until)) is not None:
            self._check_record(record)
            if batch.hash in self._heads:
                return

    def _check_record(self, record: AuditRecord) -> None:
        self._report.records += 1
        if record.seq != self._seq + 1:
            text = "records are missing, and the one that follows cannot be proven without them"
            self._find("missing_records", text, self._seq + 1, record.seq - 1)
            self._heads = ()
        wanted = [record_hash(head, record) for head in self._heads]
        self._seq, self._heads = record.seq, next_heads(record.hash, wanted)
        if not is_plain(record) or (wanted and record.hash not in wanted):
            text = "the record was changed, or the one before it was together with its hash"
            self._find("changed_record", text, record.seq, record.seq)
        elif any(anchor.hash not in self._heads for anchor in self._anchors.get(record.seq, ())):
            text = "the record, or one before it, is not the one that was anchored"
            self._find("changed_record", text, record.seq, record.seq)

    def _take_uncovered(self) -> None:
        """Records behind the last batch: inserted, unless an anchor says that they were there."""
        for record in self._buffer:
            self._report.records += 1
            if any(anchor.hash == record.hash for anchor in self._anchors.get(record.seq, ())):
                self._find("missing_batches", _UNCOVERED, self._seq + 1, record.seq)
                self._seq = record.seq
                self._uncovered.clear()
            elif self._uncovered and self._uncovered[-1][1] == record.seq - 1:
                self._uncovered[-1] = (self._uncovered[-1][0], record.seq)
            else:
                self._uncovered.append((record.seq, record.seq))
        self._buffer.clear()

    # Reading

    async def _batches(self) -> Sequence[AuditBatch]:
        if self._read_batch is None:
            return ()
        found = await self._store.batches_of(
            self._writer.id, after_number=self._read_batch, limit=PAGE
        )
        if found:
            self._read_batch = read_to(found[-1].number)
        return found

    async def _next_record(self, *, until: int) -> AuditRecord | None:
        """The record that follows, if its ``seq`` is not beyond that."""
        if await self._has_record() and self._buffer[0].seq <= until:
            return self._buffer.popleft()
        return None

    async def _has_record(self) -> bool:
        while not self._buffer:
            if self._read_seq is None:
                return False
            page = await self._store.records_of(
                self._writer.id, after_seq=self._read_seq, limit=PAGE
            )
            if not page:
                return False
            self._read_seq = read_to(page[-1].seq)
            for record in page:
                if type(record.seq) is int and record.seq > 0:
                    self._buffer.append(record)
                else:
                    self._find("inserted_records", f"a record has the number {record.seq!r}")
        return True

    def _find(
        self, code: str, text: str, first_seq: int | None = None, last_seq: int | None = None
    ) -> None:
        self._report.add(code, text, self._writer.id, first_seq, last_seq)


def _is_numbered(batch: AuditBatch) -> bool:
    """Whether the numbers are such as a writer gives. SQLite keeps a text in any column."""
    numbers = (batch.number, batch.first_seq, batch.last_seq)
    return all(type(number) is int and number > 0 for number in numbers)


def read_to(number: object) -> int | None:
    """How far was read. None: to the end; what is no whole number comes behind all that are."""
    return number if type(number) is int else None
