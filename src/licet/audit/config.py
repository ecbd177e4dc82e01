"""AuditConfig: what is kept of decisions, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from licet.audit.anchors import AnchorLog, AnchorSink
from licet.audit.policy import Keep
from licet.audit.signing import load_signer
from licet.audit.sink import AuditSink
from licet.errors import ConfigurationError

KEY_VARIABLE = "LICET_AUDIT_KEY"


class AuditMode(StrEnum):
    """When a request goes on."""

    BATCHED = "batched"
    """As soon as its record is in memory; it is written a moment later."""
    BLOCKING = "blocking"
    """As soon as its record is written; 503 where it cannot be."""


@dataclass(frozen=True, kw_only=True)
class AuditConfig:
    """How decisions are recorded.

    Args:
        keep: ``all``, ``mutations`` (with all denials) or ``denials``.
        mode: ``batched`` or ``blocking``.
        database: keep records in the server's database, as a signed chain.
        sinks: where they are kept besides.
        key: signs the chain: an Ed25519 private key (PEM) or a secret of at least 32 bytes; the
            environment's ``LICET_AUDIT_KEY``, or the file that ``LICET_AUDIT_KEY_FILE`` names, when
            absent.
        anchors: where heads of the chain are kept, too.
        anchor_seconds: how often.
        batch_seconds: how long records are gathered.
        max_waiting: how many records may wait in memory; more requests get 503.
        timeout_seconds: how long a request waits for its record in the blocking mode.

    Raises:
        ConfigurationError: a value cannot be used.
    """

    keep: Keep | str = Keep.ALL
    mode: AuditMode | str = AuditMode.BATCHED
    database: bool = True
    sinks: Sequence[AuditSink] = ()
    key: str | bytes | None = field(default=None, repr=False)
    anchors: Sequence[AnchorSink] = (AnchorLog(),)
    anchor_seconds: float = 60.0
    batch_seconds: float = 0.2
    max_waiting: int = 20_000
    timeout_seconds: float = 2.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "keep", _one_of(Keep, "keep", self.keep))
        object.__setattr__(self, "mode", _one_of(AuditMode, "mode", self.mode))
        for name in ("sinks", "anchors"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for sink in self.sinks:
            if not isinstance(sink, AuditSink):
                raise ConfigurationError(f"audit: {type(sink).__name__} is no audit sink")
        for anchors in self.anchors:
            if not isinstance(anchors, AnchorSink):
                raise ConfigurationError(f"audit: {type(anchors).__name__} keeps no anchors")
        for name in ("anchor_seconds", "batch_seconds", "max_waiting", "timeout_seconds"):
            # Written so that NaN, which is on neither side, is refused too.
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"audit: {name} is above 0")
        if self.key is not None:
            load_signer(self.key)


def _one_of(kind: type[StrEnum], name: str, value: str) -> StrEnum:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(repr(member.value) for member in kind)
        raise ConfigurationError(f"audit: {name} is one of {known}, not {value!r}") from None
