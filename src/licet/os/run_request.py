"""What a client asks of an agent, as the request that the agent is run with."""

from __future__ import annotations

from typing import Any, Literal

from licet.agent.output import RunInput
from licet.agent.run_request import RunRequest, new_id
from licet.authn.frozen import thawed
from licet.authn.principal import Principal
from licet.os.caller import Caller
from licet.os.run_form import RunForm


def run_request(form: RunForm, caller: Caller) -> RunRequest:
    """What a client asked, under the caller's own name.

    The session is the one that the request names, else the token's, else a new one; whose it is
    never depends on whether somebody else has one of the same id. What the token says stands above
    what the client says.
    """
    principal = caller.principal
    claimed = principal.session_id if principal is not None else None
    return RunRequest(
        input=RunInput(form.message, form.images, form.files),
        run_id=new_id(),
        session_id=form.session_id or claimed or new_id(),
        owner=caller.new_owner(form.user_id),
        user_id=caller.user_id(form.user_id),
        principal=principal,
        session_state={**(form.session_state or {}), **_claimed(principal, "session_state")},
        dependencies={**(form.dependencies or {}), **_claimed(principal, "dependencies")},
        metadata=form.metadata,
        output_schema=form.output_schema,
    )


def _claimed(
    principal: Principal | None, part: Literal["session_state", "dependencies"]
) -> dict[str, Any]:
    return {} if principal is None else dict(thawed(getattr(principal, part)))
