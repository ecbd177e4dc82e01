"""Audit trails, and hands that change what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from licet.audit.anchors import Anchor
from licet.audit.db_sink import DbSink
from licet.audit.findings import Report
from licet.audit.signing import Signer, load_signer, load_verifier
from licet.audit.verifying import verify
from licet.db.base import Db
from licet.db.sql_db import SqlDb
from licet.db.writes import Answer, Statement, Write
from licet.testing import TokenFactory
from tests.audit.events import KeptAnchors, event

PAIR = TokenFactory("EdDSA")
SECRET = "correct horse battery staple, and more"
ED25519, HMAC = load_signer(PAIR.private_key), load_signer(SECRET)
PUBLIC = load_verifier(PAIR.public_key)
MALLORY = load_signer(TokenFactory("EdDSA", fresh_key=True).private_key)

BATCHES = (2, 3, 1)
"""How many records each batch of a writer has; the batches' records are 1-2, 3-5 and 6."""


@dataclass
class Trail:
    """What one or more writers wrote, and the anchors that were kept of it."""

    db: Db
    signer: Signer | None = ED25519
    writers: list[str] = field(default_factory=list)
    anchors: list[Anchor] = field(default_factory=list)

    async def write(self, *batches: int, signer: Signer | None = None) -> str:
        """Let a new writer write that many records in each batch; its id. Anchored after each."""
        kept, made = KeptAnchors(), 0
        sink = DbSink(self.db.audit(), os_id="os", signer=signer or self.signer, anchors=[kept])
        await sink.start()
        for size in batches:
            await sink.write([event(made + n) for n in range(1, size + 1)])
            await sink._anchor()
            made += size
        await sink.close()
        self.anchors += kept.anchors
        self.writers.append(kept.anchors[0].writer_id)
        return self.writers[-1]

    def anchors_at(self, *seqs: int) -> list[Anchor]:
        """The anchors of these places."""
        return [anchor for anchor in self.anchors if anchor.seq in seqs]

    async def verified(
        self, *, anchors: Sequence[Anchor] = (), keys: Sequence[Any] | None = None, **given: Any
    ) -> Report:
        """Verify with the key that signed, and with what anchors are given."""
        if keys is None:
            keys = [] if self.signer is None else [self.signer]
        return await verify(self.db.audit(), verifiers=keys, anchors=anchors, **given)

    async def found(self, **given: Any) -> list[tuple[Any, ...]]:
        """What is found, each as (code, place of the writer, first, last)."""
        report = await self.verified(**given)
        return [
            (
                finding.code,
                None if finding.writer_id is None else self._place(finding.writer_id),
                finding.first_seq,
                finding.last_seq,
            )
            for finding in report.findings
        ]

    def _place(self, writer_id: str) -> int | str:
        return self.writers.index(writer_id) if writer_id in self.writers else writer_id

    async def do(self, sql: str, *parameters: Any) -> Answer:
        """Run SQL by which somebody tampers, whatever the application would allow."""
        assert isinstance(self.db, SqlDb)
        statement = Statement(sql, parameters)
        answer = await self.db.write(Write(("", ""), (statement,), lambda answers: answers[0]))
        assert answer.touched > 0 or answer.rows, "nothing was tampered with"
        return answer


async def trail(db: Db, *, writers: int = 1, signer: Signer | None = ED25519) -> Trail:
    """A trail of some writers, each with ``BATCHES``."""
    made = Trail(db, signer)
    for _ in range(writers):
        await made.write(*BATCHES)
    return made
