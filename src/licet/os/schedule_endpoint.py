"""What can be scheduled: a run of an agent of this server, and nothing else."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from licet.errors import LicetError
from licet.os.values import identifier

METHOD = "POST"
_RUNS = re.compile(r"/agents/([^/?#]+)/runs/?")


class NotSchedulableError(LicetError):
    """A schedule is to call something else than the runs of an agent."""

    code = "not_schedulable"


def agent_of(method: str, endpoint: str) -> str:
    """The id of the agent whose runs an endpoint begins.

    Raises:
        InvalidInputError: the id is none.
        NotSchedulableError: it is another endpoint.
    """
    if not endpoint.startswith("/"):
        raise NotSchedulableError("Invalid endpoint: it must start with '/'")
    found = _RUNS.fullmatch(endpoint)
    if found is None or method.upper() != METHOD:
        raise NotSchedulableError(
            "Invalid endpoint: only 'POST /agents/{agent_id}/runs' of this server can be scheduled"
        )
    return identifier(unquote(found[1]), "endpoint")


def endpoint_of(agent_id: str) -> str:
    """The endpoint that begins runs of an agent."""
    return f"/agents/{quote(agent_id, safe='')}/runs"
