"""Whether what is decided is recorded, and would be believed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from licet.audit.anchors import AnchorFile
from licet.audit.config import KEY_VARIABLE
from licet.audit.db_sink import DbSink
from licet.audit.file_sink import FileSink, why_unwritable
from licet.doctor.deployment import Deployment
from licet.doctor.finding import Finding, Kind, Level

AUDIT_OFF = Kind("audit_off", Level.WARNING)
AUDIT_UNSIGNED = Kind("audit_unsigned", Level.WARNING)
AUDIT_UNWRITABLE = Kind("audit_unwritable", Level.PROBLEM)


class AuditCheck:
    """Looks at where decisions are recorded, and writes nothing there."""

    about = "the audit trail"
    kinds = (AUDIT_OFF, AUDIT_UNSIGNED, AUDIT_UNWRITABLE)

    async def look(self, deployment: Deployment) -> Sequence[Finding]:
        """A trail that is not kept, or that anybody could write. None is kept without a policy."""
        if deployment.agent_os.policy is None:
            return ()
        sinks = deployment.agent_os.auditing.sinks
        if not sinks:
            return [_off()]
        signed = [sink.is_signed for sink in sinks if isinstance(sink, DbSink)]
        unsigned = [] if all(signed) else [_unsigned()]
        return [*unsigned, *(f for path in _files(sinks) for f in _of_file(path))]


def _files(sinks: Sequence[object]) -> Iterator[Path]:
    for sink in sinks:
        if isinstance(sink, FileSink):
            yield sink.path
        if isinstance(sink, DbSink):
            yield from (place.path for place in sink.anchors if isinstance(place, AnchorFile))


def _of_file(path: Path) -> Iterator[Finding]:
    wrong = why_unwritable(path)
    if wrong is not None:
        yield Finding(
            kind=AUDIT_UNWRITABLE,
            where=f"file {str(path)!r}",
            what=f"{wrong}: what is to be recorded there cannot be",
            remedy="make the folder, and let the server's user write there",
        )


def _off() -> Finding:
    return Finding(
        kind=AUDIT_OFF,
        where="AgentOS(audit=...)",
        what="nothing that is decided is recorded",
        remedy="leave database=False out, or name sinks",
    )


def _unsigned() -> Finding:
    return Finding(
        kind=AUDIT_UNSIGNED,
        where="AgentOS(audit=...)",
        what="the chain in the database is not signed: whoever can write its tables can change "
        "records unseen",
        remedy=f"set {KEY_VARIABLE}, here and where the server runs, to the private key that "
        "'licet keys generate --algorithm EdDSA --out audit' makes",
    )
