"""TrustedKeys: whether one of the keys that are known to have signed has signed this."""

from __future__ import annotations

from collections.abc import Sequence

from licet.audit.anchors import Anchor
from licet.audit.findings import Report
from licet.audit.signing import Verifier
from licet.db.audit_records import AuditWriter


class TrustedKeys:
    """The keys that an auditor holds. Where there is one, all has to be signed by one of them.

    If it were not so, whoever can write the database would sign with a key of their own, or not.

    Args:
        verifiers: the keys. None at all: nothing is said about signatures.
        unsigned_until: the number of the last writer that had no key yet.
        report: where it is noted what is not signed.
    """

    def __init__(
        self, verifiers: Sequence[Verifier], *, unsigned_until: int, report: Report
    ) -> None:
        self._verifiers = tuple(verifiers)
        self._unsigned_until = unsigned_until
        self._report = report

    def signs(self, key_id: object, message: bytes, signature: object) -> bool:
        """Whether a key of that id has signed a message."""
        return isinstance(signature, str) and any(
            verifier.key_id == key_id and verifier.verifies(message, signature)
            for verifier in self._verifiers
        )

    def check_registration(self, writer: AuditWriter, message: bytes) -> bool:
        """Note what is wrong with a registration's key. Whether its signatures can be looked at."""
        report = self._report
        if writer.key_id is None:
            report.unsigned += 1
            if writer.signature is not None:
                report.add("changed_writer", "a signature was put where no key was", writer.id)
            if self._verifiers and writer.number > self._unsigned_until:
                report.add("unsigned_writer", "the writer signed nothing", writer.id)
            return False
        if not self._knows(writer.key_id):
            report.unverified += 1
            if self._verifiers:
                text = f"the writer signed with a key that was not given, {writer.key_id}"
                report.add("unknown_key", text, writer.id)
            return False
        if not self.signs(writer.key_id, message, writer.signature):
            report.add("bad_signature", "the registration is not signed by its key", writer.id)
        return True

    def check_anchor(self, anchor: Anchor) -> bool:
        """Whether an anchor can be taken; what is wrong with one that cannot is noted."""
        if not self._verifiers:
            return True
        if anchor.key_id is None:
            problem = "" if anchor.writer_number <= self._unsigned_until else "is not signed"
        elif not self._knows(anchor.key_id):
            problem = f"was signed with a key that was not given, {anchor.key_id}"
        elif self.signs(anchor.key_id, anchor.message(), anchor.signature):
            problem = ""
        else:
            problem = "is not signed by its key"
        if problem:
            text = f"the anchor at {anchor.seq} {problem}"
            self._report.add("bad_anchor", text, anchor.writer_id, anchor.seq, anchor.seq)
        return not problem

    def _knows(self, key_id: object) -> bool:
        return any(verifier.key_id == key_id for verifier in self._verifiers)
