"""One fetch, bounded in every way."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import aiohttp
import hypothesis.strategies as st
import pytest
from hypothesis import given
from multidict import CIMultiDict

from licet.authn.fetching import (
    MAX_BODY_BYTES,
    FetchError,
    _dated_at,
    _in_words,
    _proxy,
    check_url,
    fetch,
    freshness,
    is_loopback,
    shown,
)
from licet.authn.key_fetching import KeyFetching
from licet.errors import ConfigurationError
from tests.authn.web import Page, Web, web

LIMITS = KeyFetching(min_fresh_seconds=10, max_fresh_seconds=1000, default_fresh_seconds=100)


@pytest.fixture
def site() -> Iterator[Web]:
    with web() as served:
        yield served


async def refused(url: str, **limits: Any) -> str:
    with pytest.raises(FetchError) as error:
        await fetch(url, limits=KeyFetching(**{"timeout_seconds": 5.0, **limits}))
    return str(error.value)


async def test_a_document_comes_with_its_freshness_and_its_name(site: Web) -> None:
    headers = [("cache-control", "public, max-age=50"), ("etag", '"v1"')]
    site.pages["/keys"] = Page(body=b"[1]", headers=headers)
    fetched = await fetch(f"{site.url}/keys", limits=LIMITS)
    assert (fetched.body, fetched.fresh_seconds, fetched.etag) == (b"[1]", 50.0, '"v1"')
    ((_, sent),) = site.requests
    assert sent["accept-encoding"] == "identity"
    assert "if-none-match" not in sent


async def test_a_document_comes_with_its_date_and_its_age(site: Web) -> None:
    site.pages["/keys"] = Page(headers=[("age", "50")])
    asked_at = time.time()
    fetched = await fetch(f"{site.url}/keys", limits=LIMITS)
    assert fetched.age_seconds == 50.0
    assert fetched.dated_at is not None
    # A date is a whole second.
    assert asked_at - 1 <= fetched.dated_at <= time.time()
    site.pages["/keys"] = Page()
    assert (await fetch(f"{site.url}/keys", limits=LIMITS)).age_seconds == 0.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sun, 01 Mar 2026 12:00:00 GMT", datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()),
        ("", None),
        ("yesterday", None),
        ("Sun, 01 Mar 999999 12:00:00 GMT", None),
    ],
)
def test_what_is_no_date_says_nothing(text: str, expected: float | None) -> None:
    assert _dated_at(text) == expected


async def test_what_is_known_is_not_sent_again(site: Web) -> None:
    site.pages["/keys"] = Page(status=304, body=b"")
    fetched = await fetch(f"{site.url}/keys", limits=LIMITS, etag='"v1"')
    assert (fetched.body, fetched.etag) == (None, '"v1"')
    assert site.requests[0][1]["if-none-match"] == '"v1"'
    # Nobody asked for that.
    assert "status is 304" in await refused(f"{site.url}/keys")


@pytest.mark.parametrize("status", [201, 204, 400, 404, 500, 503])
async def test_every_other_status_is_a_failure(site: Web, status: int) -> None:
    site.pages["/keys?secret=1"] = Page(status=status, body=b"")
    assert f"status is {status}" in await refused(f"{site.url}/keys?secret=1")
    assert "secret" not in await refused(f"{site.url}/keys?secret=1")


@pytest.mark.parametrize("chunked", [True, False])
async def test_what_is_too_large_is_not_read_to_its_end(site: Web, *, chunked: bool) -> None:
    site.pages["/keys"] = Page(body=b" " * MAX_BODY_BYTES, chunked=chunked)
    fetched = await fetch(f"{site.url}/keys", limits=LIMITS)
    assert fetched.body is not None
    assert len(fetched.body) == MAX_BODY_BYTES
    site.pages["/keys"] = Page(body=b" " * (MAX_BODY_BYTES + 1), chunked=chunked)
    assert "larger than" in await refused(f"{site.url}/keys")


async def test_what_is_compressed_is_not_unpacked(site: Web) -> None:
    site.pages["/keys"] = Page(headers=[("content-encoding", "gzip")])
    assert "compressed" in await refused(f"{site.url}/keys")
    site.pages["/keys"] = Page(headers=[("content-encoding", "Identity")])
    assert (await fetch(f"{site.url}/keys", limits=LIMITS)).body == b"{}"


class TestRedirects:
    async def test_to_the_same_place_they_are_followed(self, site: Web) -> None:
        site.pages["/a"] = Page(status=302, headers=[("location", "/b")])
        site.pages["/b"] = Page(status=308, headers=[("location", f"{site.url}/c")])
        site.pages["/c"] = Page(body=b"[]")
        assert (await fetch(f"{site.url}/a", limits=LIMITS)).body == b"[]"

    @pytest.mark.parametrize(
        "location",
        [
            "http://127.0.0.2:{port}/x",
            "http://localhost:{port}/x",
            "http://127.0.0.1:1/x",
            "https://127.0.0.1:{port}/x",
            "http://user:password@127.0.0.1:{port}/x",
            "//evil.test/x",
            "",
        ],
    )
    async def test_to_anywhere_else_they_are_not(self, site: Web, location: str) -> None:
        site.pages["/x"] = Page()
        where = location.format(port=site.port)
        site.pages["/a"] = Page(status=301, headers=[("location", where)])
        assert "not followed" in await refused(f"{site.url}/a")
        assert site.count("/x") == 0

    async def test_the_standard_port_is_the_same_place(self) -> None:
        from licet.authn.fetching import _next

        assert _next("https://sso.test/a", "https://sso.test:443/b") == "https://sso.test:443/b"

    async def test_there_is_an_end(self, site: Web) -> None:
        site.pages["/a"] = Page(status=302, headers=[("location", "/a")])
        assert "more than 3 redirects" in await refused(f"{site.url}/a")
        assert site.count("/a") == 4


async def test_the_time_is_that_of_the_whole_question(site: Web) -> None:
    held = threading.Event()
    site.pages["/a"] = Page(status=302, headers=[("location", "/b")])
    site.pages["/b"] = Page(held=held)
    assert "no answer within 0.2 seconds" in await refused(f"{site.url}/a", timeout_seconds=0.2)


async def test_nobody_there_is_said_in_words() -> None:
    assert "cannot be connected to" in await refused("http://127.0.0.1:1/keys")


def test_errors_are_said_in_words_without_their_text() -> None:
    key = aiohttp.client_reqrep.ConnectionKey("h", 443, True, True, None, None, None)
    certificate = aiohttp.ClientConnectorCertificateError(key, ssl.SSLCertVerificationError())
    assert _in_words(certificate) == "its certificate is not trusted"
    assert _in_words(aiohttp.ClientConnectorDNSError(key, OSError())) == "its host has no address"
    assert _in_words(ValueError("https://host/?secret")) == "ValueError"


class TestAddresses:
    @pytest.mark.parametrize(
        "url",
        [
            "https://sso.example/jwks",
            "https://sso.example:8443/jwks?tenant=a",
            "http://127.0.0.1:8080/jwks",
            "http://127.9.9.9/jwks",
            "http://[::1]/jwks",
            "http://localhost/jwks",
        ],
    )
    def test_where_keys_may_come_from(self, url: str) -> None:
        check_url(url, "jwks_url")

    @pytest.mark.parametrize(
        ("url", "said"),
        [
            ("http://sso.example/jwks?secret=1", "not https"),
            ("http://localhost.evil.test/", "not https"),
            ("http://keys.localhost/", "not https"),
            ("http://128.0.0.1/", "not https"),
            ("https://user:secret@sso.example/", "password"),
            ("https://secret@sso.example/", "password"),
            ("ftp://sso.example/?secret", "not of the form"),
            ("sso.example/jwks?secret", "not of the form"),
            ("https:///jwks", "not of the form"),
            ("https://[broken", "no address"),
            ("https://host:port/", "no address"),
        ],
    )
    def test_where_they_may_not(self, url: str, said: str) -> None:
        with pytest.raises(ConfigurationError, match=said) as error:
            check_url(url, "jwks_url")
        assert str(error.value).startswith("jwks_url")
        assert "secret" not in str(error.value)

    def test_messages_show_them_without_their_query(self) -> None:
        assert shown("https://a.test/b?c=d#e") == "https://a.test/b"

    def test_names_are_not_this_machine(self) -> None:
        assert not is_loopback("http://x.localhost/")


def test_a_proxy_of_the_environment_is_for_other_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("https_proxy", "http://proxy.test:3128")
    monkeypatch.setenv("no_proxy", "inside.test")
    assert _proxy("https://sso.test/jwks") == "http://proxy.test:3128"
    assert _proxy("https://inside.test/jwks") is None
    assert _proxy("http://127.0.0.1/jwks") is None
    monkeypatch.delenv("https_proxy")
    assert _proxy("https://sso.test/jwks") is None


DATE = ("date", "Wed, 25 Nov 2026 00:00:00 GMT")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], 100),
        ([("cache-control", "max-age=50")], 50),
        ([("cache-control", 'private, MAX-AGE="50"')], 50),
        ([("cache-control", "max-age=5")], 10),
        ([("cache-control", "max-age=5000")], 1000),
        ([("cache-control", "max-age=123456789012345678901234567890")], 1000),
        ([("cache-control", "max-age=-5")], 100),
        ([("cache-control", "max-age=soon")], 100),
        ([("cache-control", "max-age=٣٠٠")], 100),
        ([("cache-control", "s-maxage=50")], 100),
        ([("cache-control", "max-age=50, no-store")], 10),
        ([("cache-control", "max-age=500"), ("cache-control", "no-cache")], 10),
        ([("cache-control", 'private="a, no-store", max-age=50')], 50),
        ([("cache-control", 'private="a, max-age=50"')], 100),
        ([("cache-control", '"max-age=50"')], 100),
        ([("cache-control", 'x="max-age=50')], 100),
        ([("cache-control", " , max-age = 50 ,,")], 50),
        ([("cache-control", "max-age=500, " + "x" * 1024)], 10),
        ([("cache-control", "max-age=50"), ("age", "20")], 30),
        ([("cache-control", "max-age=50"), ("age", "old")], 50),
        ([("expires", "Wed, 25 Nov 2026 00:03:20 GMT"), DATE], 200),
        ([("expires", "Wed, 25 Nov 2026 00:03:20 GMT"), DATE, ("age", "50")], 150),
        ([("expires", "Wed, 25 Nov 2026 00:03:20 GMT")], 10),
        ([("expires", "0"), DATE], 10),
        ([("expires", "Thu, 01 Jan 99999999999999999999 00:00:00 GMT"), DATE], 10),
        ([("expires", "Wed, 25 Nov 2026 00:03:20 GMT"), ("date", "1 Jan 99999999999 0:0")], 10),
        ([("expires", "Wed, 25 Nov 2026 00:03:20 GMT"), DATE, ("cache-control", "max-age=50")], 50),
    ],
)
def test_how_long_an_answer_is_fresh(headers: list[tuple[str, str]], seconds: float) -> None:
    assert freshness(CIMultiDict(headers), LIMITS) == seconds


HOSTILE = ["a" * 8000 + " b", "a" * 4000 + '="' + "b" * 4000, '"' * 8000, "," * 8000, "=" * 8000]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
async def test_no_header_takes_long_to_read_and_of_failures_none_is_read(
    site: Web, text: str
) -> None:
    headers = [("cache-control", text)] * 8
    began = time.process_time()
    assert freshness(CIMultiDict(headers), LIMITS) == 10
    site.pages["/gone"] = Page(status=404, headers=[*headers, ("connection", "close")])
    assert "status is 404" in await refused(f"{site.url}/gone")
    # Seconds or minutes, if its pieces were tried in every way.
    assert time.process_time() - began < 1


names = st.sampled_from(["cache-control", "age", "expires", "date"])
texts = st.one_of(
    st.text(max_size=40),
    st.from_regex(r"(max-age=\d{0,30}|no-store|expires|, |\"|=){0,4}", fullmatch=True),
)


@given(st.lists(st.tuples(names, texts), max_size=6))
def test_whatever_the_headers_say_it_is_within_the_limits(headers: list[tuple[str, str]]) -> None:
    assert 10 <= freshness(CIMultiDict(headers), LIMITS) <= 1000
