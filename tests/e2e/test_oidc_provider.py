"""A real OpenID provider, found by discovery: rotation under load, and a provider that is away."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from licet.agent import Agent
from licet.db.in_memory import InMemoryDb
from licet.os import AgentOS, AuthorizationConfig, KeyFetching, Settings
from licet.testing import ScriptedModel, TokenFactory
from tests.support.live import LiveServer, serve
from tests.support.oidc import CLIENT_ID, Load, OidcProvider, Question, new_key, oidc_provider

OS_ID = "oidc-os"
QUICK = KeyFetching(
    min_fresh_seconds=0.5,
    max_fresh_seconds=1.0,
    default_fresh_seconds=1.0,
    unknown_key_seconds=0.5,
    timeout_seconds=2.0,
)
# All of the load comes from one address, and most of it is bad: what is asked here is what keys do.
UNLIMITED = Settings(max_failed_authentications=10**9)
CALM = KeyFetching(unknown_key_seconds=2.0)
# What is asked for again by itself after a failure, after longer and longer pauses, within minutes.
RETRIES = 8
AWAY = ("cannot be reached", "answers errors")


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
        settings=UNLIMITED,
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


def test_rotation_under_load_gives_no_wrong_answer(provider: OidcProvider) -> None:
    old, stranger = provider.published[0], new_key("stranger")
    unknown = unknown_keys(provider, stranger)
    with trusting(provider) as live, Load(f"{live.url}/agents", unknown) as load:
        for number in range(3):
            new = new_key(f"key-{number}")
            of_old, of_new = questions_of(provider, old), questions_of(provider, new)
            as_old, as_new = tampered(stranger, provider, old), tampered(stranger, provider, new)
            load.asks(unknown, as_old, *of_old)
            load.goes_on(each=5)
            # An overlap: a key is published for as long as key sets are fresh, then used.
            provider.published = [old, new]
            until_all(live, [question.token() for question in of_new], 200)
            load.asks(unknown, as_old, *of_old, as_new, *of_new)
            load.goes_on(each=10)
            # One that is removed may count until the next refresh, and never again.
            going = [answered(question, EITHER) for question in of_old]
            load.asks(unknown, *going, as_new, *of_new)
            provider.published = [new]
            until_all(live, [question.token() for question in of_old], 401)
            gone = [answered(question, NO_KEY) for question in of_old]
            load.asks(unknown, *gone, as_new, *of_new)
            load.goes_on(each=10)
            old = new
        assert load.wrong == []
        assert load.answers > 300


NO_KEY = {401: "the signature does not match any key"}
EITHER = {200: "", **NO_KEY}
# Key sets are asked for anew within a second; the rest is what a busy machine may take.
REFRESHED_SECONDS = 3.0


def weather_the_storm(provider: OidcProvider, away: str, *, seconds: float) -> int:
    """Tokens of the known key and of unknown ones, none of them twice, while the provider is away.

    Each is answered rightly, and the provider is asked at most once in an interval. Answers how
    many there were.
    """
    (key,) = provider.published
    good, bad = new_tokens(provider, key), unknown_keys(provider, new_key("stranger"))
    with (
        trusting(provider, key_fetching=CALM) as live,
        Load(f"{live.url}/agents", good, bad, bad, bad) as load,
    ):
        load.goes_on(each=10)
        if away == "cannot be reached":
            provider.stop()
        provider.failing = True
        fetches, discoveries = provider.fetches, provider.discoveries
        before, began = load.answers, time.monotonic()
        while (lasted := time.monotonic() - began) < seconds:
            load.goes_on(each=5)
        during = load.answers - before
        most = 1 + lasted / CALM.unknown_key_seconds + RETRIES
        asked = (provider.fetches - fetches, provider.discoveries - discoveries)
        assert max(asked) <= most
        assert min(asked) >= 1 or away == "cannot be reached"
        provider.failing = False
        if away == "cannot be reached":
            provider.start()
        load.goes_on(each=10)
    assert load.wrong == []
    return during


def questions_of(provider: OidcProvider, key: TokenFactory) -> list[Question]:
    """Good tokens of a key: one that is remembered, and a new one each time."""
    remembered = provider.token(key, audience=OS_ID)
    return [Question(lambda: remembered), new_tokens(provider, key)]


def new_tokens(provider: OidcProvider, key: TokenFactory) -> Question:
    """Good tokens of a key, no two of them the same: none is remembered."""
    numbers = itertools.count()
    return Question(lambda: provider.token(key, audience=OS_ID, jti=f"new-{next(numbers)}"))


def unknown_keys(provider: OidcProvider, stranger: TokenFactory) -> Question:
    """Tokens that each name another key that nobody knows."""
    numbers = itertools.count()
    return Question(lambda: signed_as(stranger, provider, f"made-up-{next(numbers)}"), NO_KEY)


def tampered(stranger: TokenFactory, provider: OidcProvider, key: TokenFactory) -> Question:
    """Tokens in the name of a key that did not make them."""
    reason = "the signature does not match the key that the token names"
    return Question(lambda: signed_as(stranger, provider, key.key_id), {401: reason})


def answered(question: Question, answers: dict[int, str]) -> Question:
    """The same tokens, whose right answers are others by now."""
    return Question(question.token, answers)


def until_all(live: LiveServer, tokens: Sequence[str], status: int) -> None:
    """Wait until all have this answer, which the next refresh brings."""
    began = time.monotonic()
    until(lambda: all(ask(live, token).status_code == status for token in tokens), "a refresh")
    assert time.monotonic() - began < REFRESHED_SECONDS


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
        # Nobody brings an unknown key: it is the refresh alone that takes this one away.
        only = new_key("only")
        provider.published = [only]
        until_all(live, [remembered], 401)
        until_all(live, [provider.token(only, audience=OS_ID)], 200)


def test_a_provider_that_is_away_is_not_noticed(
    provider: OidcProvider, caplog: pytest.LogCaptureFixture
) -> None:
    (key,) = provider.published
    with (
        trusting(provider) as live,
        Load(f"{live.url}/agents", *questions_of(provider, key)) as load,
    ):
        load.goes_on(each=5)
        provider.stop()
        until(lambda: "the last good keys stay in force" in caplog.text, "the failure")
        load.goes_on(each=25)
        unknown = ask(live, provider.token(new_key("unknown"), audience=OS_ID))
        assert unknown.status_code == 401
        provider.start()
        until(lambda: "can be read again" in caplog.text, "the provider")
        load.goes_on(each=5)
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
    (key,) = provider.published
    stranger = new_key("stranger")
    good = provider.token(key, audience=OS_ID)
    with trusting(provider, key_fetching=CALM) as live, ThreadPoolExecutor(8) as pool:
        assert ask(live, good).status_code == 200
        before, discoveries, began = provider.fetches, provider.discoveries, time.monotonic()
        names = [stranger.key_id, *(f"made-up-{number}" for number in range(1000))]
        assert storm(live, pool, [signed_as(stranger, provider, name) for name in names]) == {401}
        seconds = time.monotonic() - began
        assert ask(live, good).status_code == 200
        assert 1 <= provider.fetches - before <= 1 + seconds / CALM.unknown_key_seconds
        # Where the keys are is known for longer.
        assert provider.discoveries == discoveries


@pytest.mark.parametrize("away", AWAY)
def test_a_storm_while_the_provider_is_away_asks_no_more_often(
    provider: OidcProvider, away: str
) -> None:
    weather_the_storm(provider, away, seconds=5.0)


def storm(live: LiveServer, pool: ThreadPoolExecutor, tokens: Sequence[str]) -> set[int]:
    """The statuses that there are when all of these come at once."""
    with httpx.Client() as client:

        def status_of(token: str) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return client.get(f"{live.url}/agents", headers=headers).status_code

        return set(pool.map(status_of, tokens))


def signed_as(key: TokenFactory, provider: OidcProvider, name: str | None) -> str:
    claims = key.claims("olga", scopes=["agents:read"], iss=provider.url, aud=OS_ID)
    return key.sign(claims, headers={"kid": name})
