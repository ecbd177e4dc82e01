"""Who reaches the server, and what everybody is shown who does."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from licet.authn.fetching import is_loopback
from licet.doctor.deployment import Deployment
from licet.doctor.finding import Finding, Kind, Level

AUTHORIZATION_OFF = Kind("authorization_off", Level.PROBLEM)
DOCS_PUBLIC = Kind("docs_public", Level.WARNING)
CORS_INSECURE = Kind("cors_insecure", Level.WARNING)
CORS_USELESS = Kind("cors_useless", Level.WARNING)

_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
)
_USUAL_PORTS = {"http": "80", "https": "443"}


class ExposureCheck:
    """Looks at the address that is listened on, the pages for everybody, and CORS."""

    about = "who reaches it"
    kinds = (AUTHORIZATION_OFF, DOCS_PUBLIC, CORS_INSECURE, CORS_USELESS)

    async def look(self, deployment: Deployment) -> Sequence[Finding]:
        """What is open that need not be."""
        agent_os = deployment.agent_os
        found = [
            finding
            for origin in agent_os.cors_allowed_origins
            for finding in _of_origin(origin, is_exposed=deployment.is_exposed)
        ]
        if deployment.is_exposed and agent_os.policy is None:
            found.append(_authorization_off(deployment.host))
        elif deployment.is_exposed and agent_os.settings.docs:
            found.append(_docs_public())
        return found


def _authorization_off(host: str) -> Finding:
    return Finding(
        kind=AUTHORIZATION_OFF,
        where=f"host {host!r}",
        what="others than this machine reach the server, and authorization is off: it refuses all "
        "of them",
        remedy="set AgentOS(authorization=True) and say whose tokens are taken; or listen on "
        "127.0.0.1",
    )


def _docs_public() -> Finding:
    return Finding(
        kind=DOCS_PUBLIC,
        where="/docs, /redoc, /openapi.json",
        what="everybody who reaches the server is shown each of its routes",
        remedy="set Settings(docs=False), or accept it",
    )


def _of_origin(origin: str, *, is_exposed: bool) -> Iterator[Finding]:
    where = f"cors_allowed_origins: {origin!r}"
    if origin == "null":
        yield Finding(
            kind=CORS_INSECURE,
            where=where,
            what="a page of anybody is of that origin as soon as it puts itself into a sandbox",
            remedy="take it out",
        )
    elif not _is_origin(origin):
        yield Finding(
            kind=CORS_USELESS,
            where=where,
            what="no browser sends that: an origin is a scheme and a host, in small letters, and a "
            "port where it is not the usual one",
            remedy="write it as browsers do, such as 'https://app.example.com'",
        )
    elif is_exposed and origin.startswith("http://") and not is_loopback(origin):
        yield Finding(
            kind=CORS_INSECURE,
            where=where,
            what="whoever stands between a browser and that page can write what it does with the "
            "user's token",
            remedy="serve the page over https, and name that origin",
        )


def _is_origin(text: str) -> bool:
    """Whether a browser would write an origin so (RFC 6454 §6.2)."""
    match = _ORIGIN.fullmatch(text)
    return match is not None and match["port"] != _USUAL_PORTS.get(match["scheme"], "")
