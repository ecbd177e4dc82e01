"""Keep: which decisions the audit trail keeps."""

from __future__ import annotations

from enum import StrEnum

_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))


class Keep(StrEnum):
    """Which decisions are kept."""

    ALL = "all"
    """Every one."""
    MUTATIONS = "mutations"
    """Every denial, and what was let in to change something; a WebSocket may."""
    DENIALS = "denials"
    """Denials only."""

    def keeps(self, *, allowed: bool, method: str) -> bool:
        """Whether a decision about a request of that method is kept."""
        if not allowed or self is Keep.ALL:
            return True
        return self is Keep.MUTATIONS and method not in _SAFE_METHODS
