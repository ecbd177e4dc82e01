"""A real OpenID provider, found by discovery: rotation under load, and a provider that is away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from licet.agent import Agent
from licet.db.in_memory import InMemoryDb
from licet.os import AgentOS, AuthorizationConfig, KeyFetching
from licet.testing import ScriptedModel, TokenFactory
from tests.support.live import LiveServer, serve
from tests.support.oidc import CLIENT_ID, Load, OidcProvider, new_key, oidc_provider

OS_ID = "oidc-os"
QUICK = KeyFetching(
    min_fresh_seconds=0.5,
    max_fresh_seconds=1.0,
    default_fresh_seconds=1.0,
    unknown_key_seconds=0.5,
    timeout_seconds=2.0,
)


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with oidc_provider() as running:
        yield running


@contextmanager
def trusting(provider: OidcProvider, **settings: Any) -> Iterator[LiveServer]:
    config = {"issuer": provider.url, "discovery": True, "key_fetching": QUICK, **settings}
    agent_os = AgentOS(
        id=OS_ID,
        agents=[Agent(id="alpha", model=ScriptedModel(["hi"]))],
        db=InMemoryDb(),
        authorization=True,
        authorization_config=AuthorizationConfig(**config),
    )
    with serve(agent_os.get_app()) as live:
        yield live


def ask(live: LiveServer, token: str) -> httpx.Response:
    return httpx.get(f"{live.url}/agents", headers={"Authorization": f"Bearer {token}"})


def until(found: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not found():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


def test_access_tokens_get_in_and_id_tokens_do_not(provider: OidcProvider) -> None:
    (key,) = provider.published
    with trusting(provider) as live:
        assert ask(live, provider.token(key, audience=OS_ID)).status_code == 200
        refused = ask(live, provider.id_token())
        assert refused.status_code == 401
        assert "another audience" in refused.json()["detail"]
    # Also where the audience of ID tokens is one of ours.
    with trusting(provider, audience=[OS_ID, CLIENT_ID]) as live:
        refused = ask(live, provider.id_token())
        assert refused.status_code == 401
        assert "no access token" in refused.json()["detail"]


def test_rotation_with_an_overlap_loses_no_request(provider: OidcProvider) -> None:
    old = provider.published[0]
    with trusting(provider) as live:
        with Load(f"{live.url}/agents", provider.token(old, audience=OS_ID)) as load:
            for number in range(3):
                load.goes_on(answers=20)
                new = new_key(f"key-{number}")
                provider.published = [old, new]
                fetches = provider.fetches
                # An overlap: a key is published for as long as key sets are fresh, then used.
                until(lambda seen=fetches: provider.fetches > seen, "a refresh")  # type: ignore[misc]  # bound now
                load.goes_on(answers=5)
                load.token = provider.token(new, audience=OS_ID)
                load.goes_on(answers=20)
                provider.published = [new]
                late = provider.token(old, audience=OS_ID, jti="late")
                until(lambda late=late: ask(live, late).status_code == 401, "the old key to go")  # type: ignore[misc]  # bound now
                old = new
            load.goes_on(answers=20)
        assert load.wrong == []
        assert load.answers > 100


def test_a_new_key_that_is_used_at_once_is_asked_for(provider: OidcProvider) -> None:
    with trusting(provider, key_fetching=KeyFetching(unknown_key_seconds=0.1)) as live:
        assert ask(live, provider.token(provider.published[0], audience=OS_ID)).status_code == 200
        new = new_key("at once")
        provider.published = [new]
        assert ask(live, provider.token(new, audience=OS_ID)).status_code == 200


def test_tokens_that_were_verified_end_with_their_key(provider: OidcProvider) -> None:
    (key,) = provider.published
    remembered = provider.token(key, audience=OS_ID)
    with trusting(provider) as live:
        assert ask(live, remembered).status_code == 200
        provider.published = [new_key("only")]
        until(lambda: ask(live, remembered).status_code == 401, "the key to go")


def test_a_provider_that_is_away_is_not_noticed(
    provider: OidcProvider, caplog: pytest.LogCaptureFixture
) -> None:
    (key,) = provider.published
    with (
        trusting(provider) as live,
        Load(f"{live.url}/agents", provider.token(key, audience=OS_ID)) as load,
    ):
        load.goes_on(answers=5)
        provider.stop()
        until(lambda: "the last good keys stay in force" in caplog.text, "the failure")
        load.token = provider.token(key, audience=OS_ID, jti="made meanwhile")
        load.goes_on(answers=50)
        unknown = ask(live, provider.token(new_key("unknown"), audience=OS_ID))
        assert unknown.status_code == 401
        provider.start()
        until(lambda: "can be read again" in caplog.text, "the provider")
        load.goes_on(answers=5)
    assert load.wrong == []


def test_a_server_that_starts_before_its_provider_waits_for_it(provider: OidcProvider) -> None:
    (key,) = provider.published
    provider.stop()
    with trusting(provider) as live:
        token = provider.token(key, audience=OS_ID)
        answer = ask(live, token)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        assert httpx.get(f"{live.url}/health").status_code == 200
        provider.start()
        until(lambda: ask(live, token).status_code == 200, "the keys")


def test_a_storm_of_unknown_keys_asks_once_in_an_interval(provider: OidcProvider) -> None:
    calm = KeyFetching(unknown_key_seconds=2.0)
    (key,) = provider.published
    stranger = new_key("stranger")
    good = provider.token(key, audience=OS_ID)
    with trusting(provider, key_fetching=calm) as live, ThreadPoolExecutor(8) as pool:
        assert ask(live, good).status_code == 200
        before, began = provider.fetches, time.monotonic()
        names = [stranger.key_id, *(f"made-up-{number}" for number in range(300))]
        tokens = [signed_as(stranger, provider, name) for name in names]
        found = list(pool.map(lambda token: ask(live, token).status_code, tokens))
        seconds = time.monotonic() - began
        assert set(found) == {401}
        assert ask(live, good).status_code == 200
        assert 1 <= provider.fetches - before <= 1 + seconds / calm.unknown_key_seconds


def signed_as(key: TokenFactory, provider: OidcProvider, name: str | None) -> str:
    claims = key.claims("olga", scopes=["agents:read"], iss=provider.url, aud=OS_ID)
    return key.sign(claims, headers={"kid": name})
