"""Audit: what was decided, when, about whom and why; kept so that nobody can change it unseen."""

from licet.audit.anchors import Anchor, AnchorFile, AnchorLog, AnchorSink
from licet.audit.config import AuditConfig, AuditMode
from licet.audit.event import AuditEvent
from licet.audit.file_sink import FileSink
from licet.audit.log_sink import LogSink
from licet.audit.policy import Keep
from licet.audit.recorder import AuditUnavailableError
from licet.audit.sink import AuditSink

__all__ = [
    "Anchor",
    "AnchorFile",
    "AnchorLog",
    "AnchorSink",
    "AuditConfig",
    "AuditEvent",
    "AuditMode",
    "AuditSink",
    "AuditUnavailableError",
    "FileSink",
    "Keep",
    "LogSink",
]
