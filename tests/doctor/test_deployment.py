from __future__ import annotations

import pytest

from licet.db.in_memory import InMemoryDb
from licet.doctor.deployment import Deployment
from licet.errors import ConfigurationError
from licet.os import AgentOS, Settings
from licet.os.middleware import JWTMiddleware
from tests.doctor.deployments import deployed


@pytest.mark.parametrize(
    ("host", "is_exposed"),
    [
        ("127.0.0.1", False),
        ("127.8.0.1", False),
        ("::1", False),
        ("localhost", False),
        ("0.0.0.0", True),  # noqa: S104 - nobody listens there
        ("::", True),
        ("10.0.0.7", True),
        ("agents.example.com", True),
        ("", True),
    ],
)
def test_what_is_no_loopback_address_is_exposed(host: str, *, is_exposed: bool) -> None:
    assert deployed(db=InMemoryDb(), host=host).is_exposed is is_exposed


def test_who_trusts_a_proxy_is_exposed_through_it() -> None:
    settings = Settings(docs=False, trusted_proxies=["127.0.0.1"])
    assert deployed(db=InMemoryDb(), host="127.0.0.1", settings=settings).is_exposed


def test_processes_are_those_of_all_machines() -> None:
    assert deployed(db=InMemoryDb(), workers=4, replicas=3).processes == 12


def test_an_app_whose_settings_are_not_known_yet_is_refused() -> None:
    agent_os = AgentOS(db=InMemoryDb())
    agent_os.get_app().add_middleware(JWTMiddleware, verification_keys=["whatever it is"])
    with pytest.raises(ConfigurationError, match="guarded by JWTMiddleware"):
        Deployment(agent_os=agent_os)
