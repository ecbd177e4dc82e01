"""Where an issuer says that its keys are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from licet.authn.discovery import DiscoveredLocation, FixedLocation
from licet.authn.fetching import FetchError
from licet.authn.key_fetching import KeyFetching
from licet.errors import ConfigurationError
from tests.authn.web import Page, Web, web

LIMITS = KeyFetching(min_fresh_seconds=5, max_fresh_seconds=50, default_fresh_seconds=20)
PATH = "/.well-known/openid-configuration"


@pytest.fixture
def site() -> Iterator[Web]:
    with web() as served:
        yield served


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def document(site: Web, **changes: Any) -> Page:
    said = {"issuer": site.url, "jwks_uri": f"{site.url}/jwks", **changes}
    return Page(body=json.dumps({n: v for n, v in said.items() if v is not None}).encode())


def location(site: Web, clock: Clock, **given: Any) -> DiscoveredLocation:
    settings = {"issuer": site.url, "address": None, **given}
    return DiscoveredLocation(settings.pop("issuer"), limits=LIMITS, monotonic=clock, **settings)


async def test_a_fixed_address_is_what_it_is() -> None:
    fixed = FixedLocation("https://sso.test/jwks")
    assert await fixed.url() == "https://sso.test/jwks"
    fixed.forget()
    assert await fixed.url() == "https://sso.test/jwks"
    with pytest.raises(ConfigurationError, match="jwks_url"):
        FixedLocation("http://sso.test/jwks")


async def test_the_document_is_asked_for_when_it_is_no_longer_fresh(site: Web) -> None:
    clock = Clock()
    found = location(site, clock)
    site.pages[PATH] = document(site)
    for seconds, asked in ((0, 1), (19, 1), (20, 2), (39, 2)):
        clock.seconds = seconds
        assert await found.url() == f"{site.url}/jwks"
        assert site.count(PATH) == asked
    found.forget()
    await found.url()
    assert site.count(PATH) == 3


async def test_a_final_slash_of_the_issuer_is_not_doubled(site: Web) -> None:
    site.pages[PATH] = document(site, issuer=f"{site.url}/")
    assert await location(site, Clock(), issuer=f"{site.url}/").url() == f"{site.url}/jwks"


async def test_the_document_may_be_elsewhere(site: Web) -> None:
    site.pages["/elsewhere"] = document(site, issuer="https://sso.test")
    given = {"issuer": "https://sso.test", "address": f"{site.url}/elsewhere"}
    assert await location(site, Clock(), **given).url() == f"{site.url}/jwks"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"issuer": "https://evil.test"}, "another issuer"),
        ({"issuer": None}, "another issuer"),
        ({"jwks_uri": None}, "names no jwks_uri"),
        ({"jwks_uri": 7}, "names no jwks_uri"),
        ({"jwks_uri": "http://evil.test/jwks"}, "not https"),
        ({"jwks_uri": "file:///etc/passwd"}, "not of the form"),
    ],
)
async def test_a_document_that_is_not_believed(
    site: Web, changes: dict[str, Any], said: str
) -> None:
    site.pages[PATH] = document(site, **changes)
    with pytest.raises(FetchError, match=said):
        await location(site, Clock()).url()


async def test_a_document_that_is_none(site: Web) -> None:
    site.pages[PATH] = Page(body=b"<html>")
    with pytest.raises(FetchError, match="not JSON"):
        await location(site, Clock()).url()


def test_a_provider_elsewhere_does_not_point_at_this_machine() -> None:
    far = DiscoveredLocation("https://sso.test", address=None, limits=LIMITS)
    said = {"issuer": "https://sso.test", "jwks_uri": "http://127.0.0.1/jwks"}
    with pytest.raises(FetchError, match="on this machine"):
        far._keys_url(json.dumps(said).encode())


async def test_keys_are_looked_for_where_they_were_while_the_document_is_away(
    site: Web, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    found = location(site, clock)
    with pytest.raises(FetchError, match="404"):
        await found.url()
    site.pages[PATH] = document(site)
    assert await found.url() == f"{site.url}/jwks"
    site.pages[PATH] = Page(status=500)
    clock.seconds = 100
    assert await found.url() == f"{site.url}/jwks"
    assert "looked for where it was" in caplog.text
    asked = site.count(PATH)
    clock.seconds = 104
    await found.url()
    assert site.count(PATH) == asked
    clock.seconds = 105
    await found.url()
    assert site.count(PATH) == asked + 1


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"issuer": "http://sso.test", "address": None}, "issuer"),
        ({"issuer": "https://sso.test", "address": "http://sso.test/doc"}, "discovery"),
    ],
)
def test_an_address_that_must_not_be_asked_refuses_to_start(
    given: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"^{named}"):
        DiscoveredLocation(given["issuer"], address=given["address"], limits=LIMITS)
