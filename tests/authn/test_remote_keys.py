"""Keys that are fetched: kept current, kept while the provider is away, asked for sparingly."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from licet.authn.discovery import FixedLocation
from licet.authn.key_fetching import KeyFetching
from licet.authn.remote_keys import RemoteKeys
from licet.testing import TokenFactory
from tests.authn.web import Page, Web, web

ONE, TWO = (TokenFactory("ES256", fresh_key=True, key_id=name).jwk for name in ("one", "two"))
QUICK = KeyFetching(
    min_fresh_seconds=0.05,
    max_fresh_seconds=0.1,
    default_fresh_seconds=0.05,
    unknown_key_seconds=0.2,
    timeout_seconds=5,
)
SLOW = KeyFetching(unknown_key_seconds=1000, timeout_seconds=5)


@pytest.fixture
def site() -> Iterator[Web]:
    with web() as served:
        served.pages["/jwks"] = keys(ONE)
        yield served


@pytest.fixture
async def made(site: Web) -> AsyncIterator[Callable[..., RemoteKeys]]:
    sources: list[RemoteKeys] = []

    def make(limits: KeyFetching = QUICK, **given: Any) -> RemoteKeys:
        where = FixedLocation(f"{site.url}/jwks")
        sources.append(RemoteKeys(where, allowed=["ES256"], limits=limits, **given))
        return sources[-1]

    yield make
    for source in sources:
        await source.close()


def keys(*jwks: dict[str, Any], **page: Any) -> Page:
    return Page(body=json.dumps({"keys": jwks}).encode(), **page)


def names(source: RemoteKeys) -> list[str]:
    return [key.key_id for key in source.current().keys]


async def until(found: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + 20
    while not found():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        await asyncio.sleep(0.005)


Make = Callable[..., RemoteKeys]


async def test_keys_come_with_the_start_and_go_after_the_next_refresh(
    site: Web, made: Make
) -> None:
    source = made()
    assert source.current().incomplete
    await source.start()
    assert names(source) == ["one"]
    site.pages["/jwks"] = keys(ONE, TWO)
    await until(lambda: names(source) == ["one", "two"], "the new key")
    site.pages["/jwks"] = keys(TWO)
    await until(lambda: names(source) == ["two"], "the old key to go")


async def test_the_set_is_the_same_object_as_long_as_its_keys_are_the_same(
    site: Web, made: Make
) -> None:
    site.pages["/jwks"] = keys(ONE, TWO)
    source = made()
    await source.start()
    before, asked = source.current(), site.count("/jwks")
    site.pages["/jwks"] = keys(TWO, ONE)
    await until(lambda: site.count("/jwks") >= asked + 3, "refreshes")
    assert source.current() is before


async def test_what_has_a_name_is_asked_for_by_it(site: Web, made: Make) -> None:
    site.pages["/jwks"] = keys(ONE, headers=[("etag", '"v1"')])
    source = made()
    await source.start()
    site.pages["/jwks"] = Page(status=304, body=b"")
    asked = site.count("/jwks")
    await until(lambda: site.count("/jwks") >= asked + 2, "refreshes")
    assert site.requests[-1][1]["if-none-match"] == '"v1"'
    assert names(source) == ["one"]


async def test_an_emptied_set_is_taken_at_its_word(site: Web, made: Make) -> None:
    source = made()
    await source.start()
    site.pages["/jwks"] = keys()
    await until(lambda: not source.current().keys, "the keys to go")
    assert not source.current().incomplete


async def test_a_set_of_which_no_key_can_be_used_takes_the_others_back_too(
    site: Web, made: Make, caplog: pytest.LogCaptureFixture
) -> None:
    source = made()
    await source.start()
    # A provider that changes its algorithm, and takes the old key away.
    site.pages["/jwks"] = keys(TokenFactory("RS256", key_id="new").jwk)
    await until(lambda: not source.current().keys, "the key to go")
    assert not source.current().incomplete
    asked = site.count("/jwks")
    await until(lambda: site.count("/jwks") >= asked + 2, "refreshes")
    (error,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "no token is taken: no key that can be used: keys[0]: it serves RS256" in error.message
    site.pages["/jwks"] = keys(TWO)
    await until(lambda: names(source) == ["two"], "the new key")


@pytest.mark.parametrize(
    "bad",
    [Page(status=500), Page(body=b"<html>"), Page(body=b'{"keys": {}}'), Page(status=404)],
    ids=["error", "no JSON", "no key set", "gone"],
)
async def test_a_provider_that_fails_leaves_the_last_good_keys(
    site: Web, made: Make, bad: Page, caplog: pytest.LogCaptureFixture
) -> None:
    source = made(jitter=lambda: 0.0)
    await source.start()
    before = source.current()
    site.pages["/jwks"] = bad
    await until(lambda: "the last good keys stay in force" in caplog.text, "the failure")
    asked = site.count("/jwks")
    await until(lambda: site.count("/jwks") > asked, "another try")
    assert source.current() is before
    assert caplog.text.count("cannot be read") == 1
    site.pages["/jwks"] = keys(TWO)
    await until(lambda: "can be read again" in caplog.text, "the recovery")
    assert names(source) == ["two"]


async def test_a_server_starts_without_its_provider(
    site: Web, made: Make, caplog: pytest.LogCaptureFixture
) -> None:
    good, site.pages["/jwks"] = site.pages["/jwks"], Page(status=503)
    source = made(jitter=lambda: 0.0)
    await source.start()
    assert source.current().incomplete
    assert "there are none yet" in caplog.text
    site.pages["/jwks"] = good
    await until(lambda: names(source) == ["one"], "the keys")


async def test_a_provider_that_hangs_holds_up_no_start(site: Web, made: Make) -> None:
    site.pages["/jwks"] = keys(ONE, held=threading.Event())
    source = made(KeyFetching(timeout_seconds=0.1))
    began = time.monotonic()
    await source.start()
    assert time.monotonic() - began < 5
    assert source.current().incomplete


async def test_keys_are_not_good_for_ever(site: Web, made: Make) -> None:
    now = [100.0]
    source = made(KeyFetching(max_stale_seconds=50), monotonic=lambda: now[0])
    await source.start()
    now[0] += 50
    assert names(source) == ["one"]
    now[0] += 0.1
    assert source.current().incomplete
    assert source.current() is source.current()


async def test_they_are_asked_for_before_they_are_too_old_however_fresh(made: Make) -> None:
    now = [100.0]
    limits = KeyFetching(default_fresh_seconds=3000, max_stale_seconds=100)
    source = made(limits, monotonic=lambda: now[0], jitter=lambda: 0.0)
    await source.start()
    assert source._pause_seconds() == pytest.approx(80)
    now[0] += 200
    assert source._pause_seconds() == 0


async def test_pauses_after_failures_double_up_to_a_minute(made: Make) -> None:
    source = made(jitter=lambda: 1.0)
    found = []
    for _ in range(9):
        source._failed("away")
        found.append(source._pause_seconds())
    assert found == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    for _ in range(2000):
        source._failed("away")
    assert source._pause_seconds() == 60


class TestUnknownKeys:
    async def test_a_storm_is_one_question(self, site: Web, made: Make) -> None:
        source = made(SLOW)
        await source.start()
        asked = site.count("/jwks")
        site.pages["/jwks"] = keys(ONE, TWO)
        assert await asyncio.gather(*(source.refetch() for _ in range(1000))) == [True] * 1000
        assert site.count("/jwks") == asked + 1
        assert await source.refetch() is False
        assert site.count("/jwks") == asked + 1

    async def test_there_is_one_in_an_interval(self, site: Web, made: Make) -> None:
        now = [100.0]
        limits = KeyFetching(unknown_key_seconds=10)
        source = made(limits, monotonic=lambda: now[0])
        await source.start()
        asked = site.count("/jwks")
        for seconds in range(35):
            now[0] = 100.0 + seconds
            assert await source.refetch() is False
        assert site.count("/jwks") == asked + 4

    async def test_whoever_leaves_does_not_stop_it_for_the_others(
        self, site: Web, made: Make
    ) -> None:
        source = made(SLOW)
        await source.start()
        held = threading.Event()
        site.pages["/jwks"] = keys(ONE, TWO, held=held)
        waiting = [asyncio.create_task(source.refetch()) for _ in range(3)]
        await until(lambda: site.count("/jwks") == 2, "the question")
        waiting[0].cancel()
        held.set()
        assert await asyncio.gather(*waiting[1:]) == [True, True]
        assert waiting[0].cancelled()

    async def test_the_first_begins_to_keep_them_current(self, site: Web, made: Make) -> None:
        source = made()
        assert await source.refetch() is True
        site.pages["/jwks"] = keys(TWO)
        await until(lambda: names(source) == ["two"], "a refresh")


async def test_whatever_goes_wrong_it_goes_on_asking(
    site: Web, made: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source = made(jitter=lambda: 0.0)
    await source.start()
    with monkeypatch.context() as patched:
        patched.setattr("licet.authn.remote_keys.parse_key_set", None)
        await until(lambda: "TypeError" in caplog.text, "the surprise")
    site.pages["/jwks"] = keys(TWO)
    await until(lambda: names(source) == ["two"], "the recovery")


async def test_what_is_closed_leaves_nothing_and_can_be_started_again(
    site: Web, made: Make
) -> None:
    site.pages["/jwks"] = keys(ONE, held=threading.Event())
    source = made(KeyFetching(timeout_seconds=0.05))
    await source.start()
    await source.close()
    await source.close()
    assert [t for t in asyncio.all_tasks() if t is not asyncio.current_task()] == []
    site.pages["/jwks"] = keys(ONE)
    await source.start()
    assert names(source) == ["one"]


def test_another_event_loop_keeps_them_current_anew(site: Web) -> None:
    source = RemoteKeys(FixedLocation(f"{site.url}/jwks"), allowed=["ES256"], limits=QUICK)
    asyncio.run(source.start())
    site.pages["/jwks"] = keys(TWO)

    async def follow() -> None:
        await source.refetch()
        await until(lambda: names(source) == ["two"], "a refresh")
        await source.close()

    asyncio.run(follow())


def test_also_where_each_token_names_a_key_that_is_known(site: Web) -> None:
    source = RemoteKeys(FixedLocation(f"{site.url}/jwks"), allowed=["ES256"], limits=QUICK)
    asyncio.run(source.start())
    site.pages["/jwks"] = keys(TWO)

    async def follow() -> None:
        await until(lambda: names(source) == ["two"], "a refresh")
        await source.close()

    assert names(source) == ["one"]
    asyncio.run(follow())
    site.pages["/jwks"] = keys(ONE)

    async def look() -> None:
        # What was closed stays closed.
        assert names(source) == ["two"]
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(look())


def test_a_question_that_another_event_loop_has_left_behind_is_no_hindrance(site: Web) -> None:
    limits = KeyFetching(timeout_seconds=20, unknown_key_seconds=0.001)
    source = RemoteKeys(FixedLocation(f"{site.url}/jwks"), allowed=["ES256"], limits=limits)
    held = threading.Event()
    site.pages["/jwks"] = keys(ONE, held=held)
    loop = asyncio.new_event_loop()
    left = loop.create_task(source.start())
    loop.run_until_complete(until(lambda: site.count("/jwks") == 1, "the question"))
    site.pages["/jwks"] = keys(TWO)

    async def ask() -> None:
        assert await source.refetch()
        assert names(source) == ["two"]
        await source.close()

    asyncio.run(ask())
    held.set()
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.wait((left,)))
    loop.close()


async def test_skipped_keys_and_changes_are_said(
    site: Web, made: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    site.pages["/jwks"] = keys(ONE, {"kty": "unknown"})
    source = made(SLOW)
    await source.start()
    assert "keys that came: one; that went: none" in caplog.text
    assert "skipped keys[1]: of an unknown type" in caplog.text
