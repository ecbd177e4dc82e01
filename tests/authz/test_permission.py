from __future__ import annotations

import pytest

from licet.authz.permission import Permission
from licet.errors import ConfigurationError


def test_a_permission_is_known_to_clients_as_a_scope() -> None:
    assert Permission("agents", "run", id_param="agent_id").scope == "agents:run"


def test_a_permission_can_be_written_as_a_scope() -> None:
    assert Permission.parse("agents:run") == Permission("agents", "run")
    assert Permission.parse("agents:run", id_param="agent_id") == Permission(
        "agents", "run", id_param="agent_id"
    )
    assert Permission.parse("agents:read", listing=True).listing


@pytest.mark.parametrize(
    "text", ["", "agents", "agents:", ":run", "agents:a:run", "agents:*:run", "*:run", "agents:*"]
)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="not of the form 'resource:action'"):
        Permission.parse(text)
