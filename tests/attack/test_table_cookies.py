"""Tokens in cookies: one, of the very name, and never sent by a page of another site."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from licet.os import TokenSource
from licet.testing import TokenFactory
from tests.attack.forge import claims, forged
from tests.attack.target import DENIALS, PARSER, Answer, Target, Watch, pieces_of, target
from tests.support.world import World

TOKENS = TokenFactory()
NEEDS_PROOF = "a token in a cookie needs an Origin or Sec-Fetch-Site header"
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


@pytest.fixture(scope="module")
def targets() -> Iterator[dict[TokenSource, Target]]:
    with (
        target(World(tokens=TOKENS)) as header,
        target(World(tokens=TOKENS), token_source=TokenSource.COOKIE) as cookie,
        target(World(tokens=TOKENS), token_source=TokenSource.BOTH) as both,
    ):
        yield {TokenSource.HEADER: header, TokenSource.COOKIE: cookie, TokenSource.BOTH: both}


@pytest.fixture
def by_header(targets: dict[TokenSource, Target]) -> Target:
    return targets[TokenSource.HEADER]


@pytest.fixture
def both(targets: dict[TokenSource, Target]) -> Target:
    return targets[TokenSource.BOTH]


@pytest.fixture(scope="module")
def token() -> bytes:
    return forged(TOKENS, claims())


@pytest.fixture
def watch(caplog: pytest.LogCaptureFixture) -> Watch:
    return Watch(caplog, pieces_of(TOKENS.public_key))


COOKIES: dict[str, Callable[[bytes], tuple[tuple[bytes, ...], str]]] = {
    "two of the name": lambda t: (
        (b"Cookie: access_token=" + t + b"; access_token=" + t,),
        "several cookies hold a token",
    ),
    "two, one is junk": lambda t: (
        (b"Cookie: access_token=junk; access_token=" + t,),
        "several cookies hold a token",
    ),
    "in two headers": lambda t: (
        (b"Cookie: access_token=" + t, b"Cookie: access_token=" + t),
        "several cookies hold a token",
    ),
    "quoted": lambda t: ((b'Cookie: access_token="' + t + b'"',), "base64url"),
    "percent-encoded": lambda t: (
        (b"Cookie: access_token=" + t.replace(b".", b"%2E"),),
        "not three segments",
    ),
    "with its scheme": lambda t: ((b"Cookie: access_token=Bearer " + t,), "base64url"),
    "a space within": lambda t: (
        (b"Cookie: access_token=" + t[:5] + b" " + t[5:],),
        "base64url",
    ),
    "above 16 KiB": lambda t: ((b"Cookie: access_token=" + t + b"x" * 16384,), "larger than 16384"),
    "other letters": lambda t: ((b"Cookie: Access_Token=" + t,), "missing"),
    "a longer name": lambda t: ((b"Cookie: __access_token=" + t,), "missing"),
    "a comma between": lambda t: ((b"Cookie: theme=dark, access_token=" + t,), "missing"),
    "no name": lambda t: ((b"Cookie: " + t,), "missing"),
}


@pytest.mark.parametrize("which", COOKIES)
@pytest.mark.parametrize("source", [TokenSource.COOKIE, TokenSource.BOTH])
def test_one_cookie_of_the_very_name(
    targets: dict[TokenSource, Target], watch: Watch, token: bytes, source: str, which: str
) -> None:
    attacked = targets[TokenSource(source)]
    lines, reason = COOKIES[which](token)
    watch.let_in(attacked, lambda: attacked.ask(b"Cookie: a=b; access_token=" + token + b" ; c"))
    watch.refused(attacked, lambda: attacked.ask(*lines), sent=token, reason=reason)


def test_a_header_and_a_cookie(
    targets: dict[TokenSource, Target], watch: Watch, token: bytes
) -> None:
    cookie, header = b"Cookie: access_token=" + token, b"Authorization: Bearer " + token
    pairs = [(cookie, header), (header, cookie), (b"Cookie: access_token=junk", header)]
    pairs.append((cookie, b"Authorization: Basic b2xnYTpvbGdh"))
    for source in (TokenSource.COOKIE, TokenSource.BOTH):
        attacked = targets[source]
        for lines in pairs:
            watch.refused(
                attacked,
                lambda a=attacked, pair=lines: a.ask(*pair),  # type: ignore[misc]  # bound now
                sent=token,
                reason="a token in the header and another in a cookie",
            )


def test_a_header_where_only_cookies_count(
    targets: dict[TokenSource, Target], watch: Watch, token: bytes
) -> None:
    attacked = targets[TokenSource.COOKIE]
    watch.refused(attacked, lambda: attacked.knock(token), sent=token, reason="missing")


FROM_ELSEWHERE: dict[str, Callable[[Target], tuple[bytes, ...]]] = {
    "neither header": lambda _: (),
    "another origin": lambda _: (b"Origin: https://evil.test",),
    "no origin at all": lambda _: (b"Origin: null",),
    "an empty origin": lambda _: (b"Origin:",),
    "another port": lambda t: (b"Origin: http://127.0.0.1:%d" % (t.server.port ^ 1),),
    "no port": lambda _: (b"Origin: http://127.0.0.1",),
    "another name of this machine": lambda t: (b"Origin: http://localhost:%d" % t.server.port,),
    "our name in front": lambda t: (b"Origin: http://127.0.0.1:%d.evil.test" % t.server.port,),
    "our name as its user": lambda t: (b"Origin: http://127.0.0.1:%d@evil.test" % t.server.port,),
    "with a user": lambda t: (b"Origin: http://evil@127.0.0.1:%d" % t.server.port,),
    "no scheme": lambda t: (b"Origin: 127.0.0.1:%d" % t.server.port,),
    "two origins": lambda t: (_own(t), b"Origin: https://evil.test"),
    "two in one": lambda t: (_own(t) + b" https://evil.test",),
    "ours and a cross-site fetch": lambda t: (_own(t), b"Sec-Fetch-Site: cross-site"),
    "a cross-site fetch": lambda _: (b"Sec-Fetch-Site: cross-site",),
    "a same-site fetch": lambda _: (b"Sec-Fetch-Site: same-site",),
    "typed in by hand": lambda _: (b"Sec-Fetch-Site: none",),
    "an unknown fetch": lambda _: (b"Sec-Fetch-Site: same-origin, cross-site",),
    "two fetches": lambda _: (b"Sec-Fetch-Site: same-origin", b"Sec-Fetch-Site: cross-site"),
    "only a referer": lambda t: (b"Referer: http://127.0.0.1:%d/" % t.server.port,),
    "its own host": lambda _: (b"Origin: https://evil.test", b"X-Forwarded-Host: evil.test"),
}
FROM_HERE: dict[str, Callable[[Target], tuple[bytes, ...]]] = {
    "our origin": lambda t: (_own(t),),
    "a fetch of ours": lambda _: (b"Sec-Fetch-Site: same-origin",),
    "both": lambda t: (_own(t), b"Sec-Fetch-Site: same-origin"),
}


def _own(attacked: Target) -> bytes:
    return b"Origin: http://127.0.0.1:%d" % attacked.server.port


@pytest.mark.parametrize("method", UNSAFE)
@pytest.mark.parametrize("which", FROM_ELSEWHERE)
def test_a_cookie_from_another_site_changes_nothing(
    both: Target, watch: Watch, token: bytes, which: str, method: str
) -> None:
    lines = (b"Cookie: access_token=" + token, *FROM_ELSEWHERE[which](both))
    answer = watch.refused(
        both,
        lambda: both.ask(*lines, method=method, body=b"a=b"),
        sent=token,
        reason=NEEDS_PROOF,
        statuses={403},
    )
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("method", UNSAFE)
@pytest.mark.parametrize("which", FROM_HERE)
def test_a_cookie_from_our_own_pages_does(
    both: Target, watch: Watch, token: bytes, which: str, method: str
) -> None:
    lines = (b"Cookie: access_token=" + token, *FROM_HERE[which](both))
    watch.let_in(both, lambda: both.ask(*lines, method=method, body=b"a=b"))


@pytest.mark.parametrize("which", FROM_ELSEWHERE)
def test_a_websocket_from_another_site_is_not_opened(
    both: Target, watch: Watch, token: bytes, which: str
) -> None:
    lines = (b"Cookie: access_token=" + token, *FROM_ELSEWHERE[which](both))
    # The WebSocket library takes one Origin, and refuses two before anybody looks at them.
    twice = which == "two origins"
    reasons = {400: "connection rejected (400"} if twice else {403: NEEDS_PROOF}
    watch.refused(
        both,
        lambda: both.shake(*lines),
        sent=token,
        reason=reasons,
        statuses=reasons,
        logger=PARSER if twice else DENIALS,
    )


def test_a_websocket_of_our_own_pages_is_opened(
    both: Target, by_header: Target, watch: Watch, token: bytes
) -> None:
    cookie = b"Cookie: access_token=" + token
    watch.let_in(both, lambda: both.shake(cookie, _own(both)))
    bearer = b"Authorization: Bearer " + token
    watch.let_in(by_header, lambda: by_header.shake(bearer, b"Origin: https://elsewhere.test"))
    watch.refused(by_header, lambda: by_header.shake(cookie), sent=token, reason="missing")


def run(attacked: Target, *lines: bytes) -> Answer:
    """An agent's run, streamed."""
    return attacked.ask(
        b"Content-Type: application/x-www-form-urlencoded",
        *lines,
        method="POST",
        path="/agents/alpha/runs",
        body=b"message=hi&stream=true",
    )


@pytest.fixture(scope="module")
def runner() -> bytes:
    return b"Cookie: access_token=" + forged(TOKENS, claims(scopes=["agents:run"]))


@pytest.mark.parametrize("which", FROM_ELSEWHERE)
def test_a_page_of_another_site_streams_no_run(
    both: Target, watch: Watch, runner: bytes, which: str
) -> None:
    asked = len(both.world.model.requests)
    watch.refused(
        both,
        lambda: run(both, runner, *FROM_ELSEWHERE[which](both)),
        sent=runner.partition(b"=")[2],
        reason=NEEDS_PROOF,
        statuses={403},
    )
    assert len(both.world.model.requests) == asked


@pytest.mark.parametrize("which", FROM_HERE)
def test_our_own_pages_stream_their_runs(both: Target, runner: bytes, which: str) -> None:
    answer = run(both, runner, *FROM_HERE[which](both))
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert b"event: RunCompleted" in answer.body
