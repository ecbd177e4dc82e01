"""Verifying: does the audit trail stand as it was written?

Found and named are: a changed record, removed ones, inserted ones, a chain that was cut off up to
its last anchor, a writer that is missing, and signatures that are not of the key.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence

from licet.audit.anchors import Anchor
from licet.audit.chain import GENESIS, is_plain, registration_hash, registration_message
from licet.audit.chain_check import BEFORE_ALL, PAGE, ChainCheck, Heads, next_heads, read_to
from licet.audit.findings import Finding, Report
from licet.audit.signing import Verifier
from licet.audit.trusted_keys import TrustedKeys
from licet.db.audit_base import AuditStore
from licet.db.audit_records import AuditCursor, AuditQuery, AuditRecord, AuditWriter

__all__ = ["Finding", "Report", "verify"]


async def verify(
    store: AuditStore,
    *,
    verifiers: Sequence[Verifier] = (),
    anchors: Iterable[Anchor] = (),
    unsigned_until: int = 0,
) -> Report:
    """Look at every record, also while servers write more.

    Args:
        store: where records are.
        verifiers: the keys that may have signed. Where there is one, who signed with none of them
            is found, too.
        anchors: heads that were kept elsewhere.
        unsigned_until: the number of the last writer that may have signed nothing, because there
            was no key yet.

    Raises:
        StorageError: the records cannot be read.
    """
    report = Report()
    keys = TrustedKeys(verifiers, unsigned_until=unsigned_until, report=report)
    verification = _Verification(store, keys, report)
    for anchor in anchors:
        verification.take(anchor)
    await verification.run()
    return report


class _Verification:
    def __init__(self, store: AuditStore, keys: TrustedKeys, report: Report) -> None:
        self._store = store
        self._keys = keys
        self._report = report
        self._anchors: dict[str, dict[int, list[Anchor]]] = {}
        self._known: set[str] = set()
        self._number = 0
        self._heads: Heads = (GENESIS,)
        self._gaps: list[tuple[int, int]] = []
        self._read_number: int | None = BEFORE_ALL

    def take(self, anchor: Anchor) -> None:
        """Hold the trail against an anchor."""
        self._report.anchors += 1
        if self._keys.check_anchor(anchor):
            of_writer = self._anchors.setdefault(anchor.writer_id, {})
            of_writer.setdefault(anchor.seq, []).append(anchor)

    async def run(self) -> None:
        """Look at the registrations, each with its chain; then for what belongs to none."""
        async for writer in self._writers():
            self._report.writers += 1
            if [type(writer.id), type(writer.number)] != [str, int]:
                self._add("inserted_writer", "a registration has an id or a number that is none")
                continue
            self._known.add(writer.id)
            self._check_registration(writer)
            await self._check_chain(writer)
        self._check_missing()
        await self._check_unregistered()

    # Registrations

    def _check_registration(self, writer: AuditWriter) -> None:
        if writer.number < 1:
            self._add("inserted_writer", f"no writer is given the number {writer.number}", writer)
            return
        if writer.number != self._number + 1:
            self._gaps.append((self._number + 1, writer.number - 1))
            self._heads = ()
        wanted = [registration_hash(head, writer) for head in self._heads]
        if not is_plain(writer) or (wanted and writer.hash not in wanted):
            text = "the registration was changed, or the one before it was together with its hash"
            self._add("changed_writer", text, writer)
        self._number, self._heads = writer.number, next_heads(writer.hash, wanted)
        anchors = self._anchors.get(writer.id, {})
        if any(anchor.hash not in self._heads for anchor in anchors.get(0, ())):
            self._add("changed_writer", "the registration is not the one that was anchored", writer)
        numbers = {a.writer_number for of_seq in anchors.values() for a in of_seq}
        for number in sorted(numbers - {writer.number}):
            self._add("changed_writer", f"the writer was anchored with the number {number}", writer)

    async def _check_chain(self, writer: AuditWriter) -> None:
        message = registration_message(writer.id, writer.number, writer.hash)
        is_known = self._keys.check_registration(writer, message)
        check = ChainCheck(
            self._store,
            writer,
            keys=self._keys if is_known else None,
            anchors=self._anchors.pop(writer.id, {}),
            report=self._report,
        )
        await check.run()

    def _check_missing(self) -> None:
        """Whose numbers are missing, and whose anchors are all that is left of them."""
        anchored: dict[int, list[str]] = {}
        for writer_id, of_writer in self._anchors.items():
            seq = max(of_writer)
            number = of_writer[seq][-1].writer_number
            anchored.setdefault(number, []).append(writer_id)
            other = "; another one has its number" if self._has(number) else ""
            text = f"the writer of number {number} is missing, with at least {seq} records{other}"
            self._report.add("missing_writer", text, writer_id)
        if anchored and max(anchored) > self._number:
            self._gaps.append((self._number + 1, max(anchored)))
        for first, last in self._gaps:
            begin = first
            for number in (*sorted(n for n in anchored if first <= n <= last), last + 1):
                if begin < number:
                    which = f"{begin}" if begin == number - 1 else f"{begin} to {number - 1}"
                    text = f"the writers of these numbers are missing, with their records: {which}"
                    self._add("missing_writer", text)
                begin = number + 1

    def _has(self, number: int) -> bool:
        return number <= self._number and not any(a <= number <= b for a, b in self._gaps)

    async def _writers(self) -> AsyncIterator[AuditWriter]:
        while self._read_number is not None:
            page = await self._store.writers(after_number=self._read_number, limit=PAGE)
            if not page:
                return
            for writer in page:
                yield writer
            self._read_number = read_to(page[-1].number)

    # Records of nobody

    async def _check_unregistered(self) -> None:
        """Records under the names of writers that never registered, or whose registration is gone.

        They belong to no chain; so all records are read once more, by time.
        """
        strangers: dict[str, tuple[int, int]] = {}
        async for record in self._all_records():
            if record.writer_id not in self._known:
                first, last = strangers.get(record.writer_id, (record.seq, record.seq))
                strangers[record.writer_id] = min(first, record.seq), max(last, record.seq)
        # Whoever has registered since the registrations were read is no stranger.
        if strangers:
            self._known.update([writer.id async for writer in self._writers()])
        for writer_id, (first, last) in strangers.items():
            if writer_id not in self._known:
                text = "no writer of that id is registered: inserted, or the registration removed"
                self._report.add("inserted_records", text, writer_id, first, last)

    async def _all_records(self) -> AsyncIterator[AuditRecord]:
        after: AuditCursor | None = None
        while page := await self._store.find(
            AuditQuery(oldest_first=True, after=after, limit=PAGE)
        ):
            for record in page:
                after = record.cursor
                if [type(value) for value in after] != [int, str, int]:
                    text = "a record has a time or a number that is none; those behind are not seen"
                    self._add("changed_record", text)
                    return
                yield record

    def _add(self, code: str, text: str, writer: AuditWriter | None = None) -> None:
        self._report.add(code, text, None if writer is None else writer.id)
