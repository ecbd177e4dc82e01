"""The settings that the guide gives for auth servers take what these issue, and nothing else."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from licet.agent import Agent
from licet.db.in_memory import InMemoryDb
from licet.os import AgentOS, AuthorizationConfig
from licet.testing import ScriptedModel
from tests.docs.provider import (
    AUTH0,
    AUTH0_RFC9068,
    COGNITO,
    ENTRA,
    KEYCLOAK,
    Claims,
    Provider,
)
from tests.docs.snippets import steps
from tests.support.live import serve

GUIDE = Path(__file__).parents[2] / "docs" / "authorization.md"
SINGLE = {
    "auth0": ("auth0.py", AUTH0),
    "auth0-rfc9068": ("auth0.py", AUTH0_RFC9068),
    "keycloak": ("keycloak.py", KEYCLOAK),
    "entra": ("entra.py", ENTRA),
    "cognito": ("cognito.py", COGNITO),
}
REFUSED = [
    pytest.param(name, number, id=f"{name}-{number}")
    for name, (_, provider) in SINGLE.items()
    for number in range(len(provider.refused))
]


@dataclass(frozen=True)
class Served:
    """An AgentOS with the settings of the guide, and where its auth servers are."""

    url: str
    issuers: dict[str, str]

    def token(self, provider: Provider, claims: Claims, **changed: Any) -> str:
        """A token of that auth server."""
        return provider.token(self.issuers[provider.issuer], claims, **changed)

    def get(self, path: str, token: str) -> httpx.Response:
        """Ask with a token."""
        return httpx.get(f"{self.url}{path}", headers={"Authorization": f"Bearer {token}"})

    def post(self, path: str, token: str, body: Claims) -> httpx.Response:
        """Send something with a token."""
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.post(f"{self.url}{path}", headers=headers, json=body)


def config_of(file: str, addresses: dict[str, str], folder: Path) -> AuthorizationConfig:
    """The ``config`` of a snippet of the guide, with other addresses and no other change."""
    (text,) = [step.text for step in steps(GUIDE) if step.kind == "file" and step.what == file]
    for address, instead in addresses.items():
        assert address in text
        text = text.replace(address, instead)
    (folder / file).write_text(text)
    config = runpy.run_path(str(folder / file))["config"]
    assert isinstance(config, AuthorizationConfig)
    return config


def served(stack: ExitStack, file: str, providers: list[Provider], folder: Path) -> Served:
    urls = {p.issuer: stack.enter_context(serve(p.app())).url for p in providers}
    addresses = {provider.host: urls[provider.issuer] for provider in providers}
    agent_os = AgentOS(
        id="shop",
        agents=[Agent(id="support", model=ScriptedModel([]))],
        db=InMemoryDb(),
        authorization=True,
        authorization_config=config_of(file, addresses, folder),
    )
    return Served(stack.enter_context(serve(agent_os.get_app())).url, urls)


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Served]]:
    with ExitStack() as stack:
        yield {
            name: served(stack, file, [provider], tmp_path_factory.mktemp(name))
            for name, (file, provider) in SINGLE.items()
        }


@pytest.mark.parametrize("name", SINGLE)
def test_an_access_token_opens_what_was_assigned(shops: dict[str, Served], name: str) -> None:
    shop, provider = shops[name], SINGLE[name][1]
    token = shop.token(provider, provider.access)
    assert shop.get("/agents", token).status_code == 200
    made = shop.post("/sessions", token, {"session_id": "s", "agent_id": "support"})
    assert made.status_code == 201
    assert made.json()["user_id"] == provider.subject
    assert shop.get("/config", token).status_code == 403


@pytest.mark.parametrize("name", SINGLE)
def test_whom_nothing_was_assigned_is_known_and_may_nothing(
    shops: dict[str, Served], name: str
) -> None:
    shop, provider = shops[name], SINGLE[name][1]
    token = shop.token(provider, provider.access, **provider.without_rights)
    for answer in (shop.get("/agents", token), shop.post("/sessions", token, {})):
        assert answer.status_code == 403
        assert "insufficient_scope" in answer.headers["www-authenticate"]


@pytest.mark.parametrize(("name", "number"), REFUSED)
def test_id_tokens_and_tokens_for_others_open_nothing(
    shops: dict[str, Served], name: str, number: int
) -> None:
    shop, provider = shops[name], SINGLE[name][1]
    claims, reason = provider.refused[number]
    answer = shop.get("/agents", shop.token(provider, claims))
    assert answer.status_code == 401
    assert reason in answer.json()["detail"]


@pytest.mark.parametrize("name", SINGLE)
def test_the_issuer_is_taken_to_the_letter(shops: dict[str, Served], name: str) -> None:
    shop, provider = shops[name], SINGLE[name][1]
    issuer = shop.issuers[provider.issuer] + provider.path
    other = issuer.removesuffix("/") if issuer.endswith("/") else f"{issuer}/"
    answer = shop.get("/agents", shop.token(provider, provider.access, iss=other))
    assert answer.status_code == 401
    assert "(iss)" in answer.json()["detail"]


def test_of_two_issuers_each_has_its_own_rules_and_its_own_people(tmp_path: Path) -> None:
    with ExitStack() as stack:
        shop = served(stack, "two_issuers.py", [KEYCLOAK, AUTH0], tmp_path)
        staff = shop.token(KEYCLOAK, KEYCLOAK.access, sub="uma")
        partner = shop.token(
            AUTH0, AUTH0.access, sub="uma", permissions=["sessions:read", "sessions:write"]
        )
        body = {"session_id": "s", "agent_id": "support"}
        assert shop.post("/sessions", partner, body).status_code == 201
        assert shop.get("/sessions/s", partner).status_code == 200
        assert shop.get("/sessions/s", staff).status_code == 404
        mixed = shop.token(KEYCLOAK, AUTH0.access)
        assert "another audience" in shop.get("/agents", mixed).json()["detail"]
