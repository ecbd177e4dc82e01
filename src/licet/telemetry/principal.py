"""Who asks, as spans tell it: the issuer's alias and the subject, and nothing of any token."""

from __future__ import annotations

from licet.authn.principal import Principal
from licet.telemetry.names import ISSUER, SUBJECT


def principal_attributes(principal: Principal | None) -> dict[str, str]:
    """The attributes of a principal; none of nobody."""
    if principal is None:
        return {}
    return {ISSUER: principal.issuer_alias, SUBJECT: principal.subject}
