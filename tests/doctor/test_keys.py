from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from licet.db.in_memory import InMemoryDb
from licet.doctor.finding import Finding
from licet.doctor.keys import KeysCheck
from licet.os import KeyFetching, TrustedIssuer
from licet.testing import TokenFactory, key_set
from tests.authn.web import Page, Web, web
from tests.doctor.deployments import codes, deployed, found
from tests.support.oidc import OidcProvider, new_key, oidc_provider

OTHER = TokenFactory(fresh_key=True, key_id="other")


@pytest.fixture(scope="module")
def shared_provider() -> Iterator[OidcProvider]:
    with oidc_provider() as provider:
        yield provider


@pytest.fixture
def provider(shared_provider: OidcProvider) -> Iterator[OidcProvider]:
    """A provider that is as it should be, before and after."""
    published = list(shared_provider.published)
    yield shared_provider
    shared_provider.published = published
    shared_provider.failing = False
    shared_provider.ahead_seconds, shared_provider.age_seconds = 0.0, 0


@pytest.fixture
def site() -> Iterator[Web]:
    with web() as served:
        yield served


async def looked(**config: Any) -> list[Finding]:
    return list(await found(KeysCheck(), deployed(db=InMemoryDb(), config=config)))


async def at(site: Web, page: Page, **config: Any) -> list[Finding]:
    site.pages["/keys?secret=1"] = page
    return await looked(jwks_url=f"{site.url}/keys?secret=1", **config)


def page(*factories: TokenFactory, **headers: str) -> Page:
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Page(body=key_set(*factories).encode(), headers=named)


async def test_a_provider_that_publishes_its_key_is_right(provider: OidcProvider) -> None:
    assert await looked(issuer=provider.url, discovery=True) == []


async def test_a_provider_that_is_away_is_told_with_its_address(provider: OidcProvider) -> None:
    provider.failing = True
    (finding,) = await looked(issuer=provider.url, discovery=True)
    assert (finding.kind.code, finding.where) == ("keys_unreachable", "issuer 'default'")
    assert finding.what.startswith(provider.url)
    assert finding.what.endswith("status is 503")


async def test_an_address_is_shown_without_its_query(site: Web) -> None:
    (finding,) = await at(site, Page(status=404))
    assert finding.kind.code == "keys_unreachable"
    assert f"{site.url}/keys: " in finding.what
    assert "secret" not in finding.what


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Page(body=b"<html>"), "/keys"),
        (Page(body=b'{"keys": []}'), "the key set is empty"),
        (page(TokenFactory(algorithm="ES256")), "it serves ES256"),
    ],
)
async def test_a_set_without_a_key_that_can_be_used_is_told(
    site: Web, given: Page, said: str
) -> None:
    (finding,) = await at(site, given)
    assert finding.kind.code == "keys_unusable"
    assert said in finding.what


async def test_keys_for_others_in_a_set_are_no_fault(site: Web) -> None:
    assert await at(site, page(OTHER, TokenFactory(algorithm="ES256"))) == []


async def test_a_copy_that_is_too_old_is_told(site: Web) -> None:
    limits = KeyFetching(max_stale_seconds=3600)
    (finding,) = await at(site, page(OTHER, age="3601"), key_fetching=limits)
    assert finding.kind.code == "keys_stale"
    assert "3601 seconds old" in finding.what
    assert await at(site, page(OTHER, age="3600"), key_fetching=limits) == []


@pytest.mark.parametrize(("ahead_seconds", "said"), [(60, "ahead of ours"), (-60, "behind ours")])
async def test_a_clock_that_differs_by_more_than_the_leeway_is_told(
    provider: OidcProvider, ahead_seconds: float, said: str
) -> None:
    provider.ahead_seconds = ahead_seconds
    (finding,) = await looked(issuer=provider.url, discovery=True)
    assert finding.kind.code == "issuer_clock"
    assert said in finding.what
    assert await looked(issuer=provider.url, discovery=True, leeway_seconds=90) == []


@pytest.mark.parametrize(
    ("ahead_seconds", "expected"),
    [(-60, []), (0, []), (60, ["issuer_clock"]), (-120, ["issuer_clock"])],
    ids=["the issuer dated it", "who kept it dated it", "from the future", "long ago"],
)
async def test_the_date_of_a_kept_copy_is_of_either_moment(
    provider: OidcProvider, ahead_seconds: float, expected: list[str]
) -> None:
    provider.ahead_seconds, provider.age_seconds = ahead_seconds, 60
    findings = await looked(issuer=provider.url, discovery=True)
    assert [finding.kind.code for finding in findings] == expected


async def test_an_answer_without_a_date_says_nothing_of_clocks(site: Web) -> None:
    assert await at(site, Page(body=key_set(OTHER).encode(), dated=False)) == []


async def test_given_keys_that_are_published_no_longer_are_told(
    provider: OidcProvider, tmp_path: Path
) -> None:
    (own,) = provider.published
    right = {"issuer": provider.url, "verification_keys": [own.public_key]}
    assert await looked(**right) == []
    provider.published = [new_key("next")]
    (finding,) = await looked(**right)
    assert finding.kind.code == "keys_rolled"
    assert provider.url in finding.what
    file = tmp_path / "keys.json"
    file.write_text(key_set(own))
    (finding,) = await looked(issuer=provider.url, jwks_file=file)
    assert finding.kind.code == "keys_rolled"


async def test_the_clock_of_whoever_publishes_keys_counts_also_beside_given_ones(
    provider: OidcProvider,
) -> None:
    (own,) = provider.published
    provider.ahead_seconds = 60
    (finding,) = await looked(issuer=provider.url, verification_keys=[own.public_key])
    assert finding.kind.code == "issuer_clock"


@pytest.mark.parametrize("issuer", [None, "shop-login", "http://127.0.0.1:9"])
async def test_an_issuer_that_publishes_nothing_is_asked_for_nothing(issuer: str | None) -> None:
    assert await looked(issuer=issuer, verification_keys=[OTHER.public_key]) == []


async def test_a_shared_secret_is_published_nowhere(provider: OidcProvider) -> None:
    secret = TokenFactory(algorithm="HS256").public_key
    assert await looked(issuer=provider.url, verification_keys=[secret], algorithm="HS256") == []


async def test_every_issuer_is_asked(provider: OidcProvider) -> None:
    partner = TrustedIssuer(
        alias="partner", issuer="https://b.test", jwks_url="http://127.0.0.1:9/keys"
    )
    (finding,) = await looked(issuer=provider.url, discovery=True, issuers=[partner])
    assert finding.where == "issuer 'partner'"


async def test_without_authorization_nobody_is_asked() -> None:
    assert await codes(KeysCheck(), deployed(db=InMemoryDb(), authorization=False)) == []
