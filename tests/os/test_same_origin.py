from __future__ import annotations

import pytest

from licet.os.same_origin import is_forgeable, is_same_origin

HOST = "agents.test:7777"


def scope(method: str, *headers: tuple[str, str], scheme: str = "http") -> dict[str, object]:
    kind = "websocket" if method == "WEBSOCKET" else "http"
    encoded = [(k.encode(), v.encode()) for k, v in (("host", HOST), *headers)]
    found: dict[str, object] = {"type": kind, "headers": encoded, "scheme": scheme}
    return found if kind == "websocket" else {**found, "method": method}


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reading_changes_nothing_whoever_asks(method: str) -> None:
    assert not is_forgeable(scope(method, ("sec-fetch-site", "cross-site")))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "QUERY", "WEBSOCKET"])
class TestWhatChangesSomething:
    @pytest.mark.parametrize(
        "headers",
        [
            [("sec-fetch-site", "same-origin")],
            [("origin", f"http://{HOST}")],
            [("origin", f"http://{HOST.upper()}")],
            # A proxy may have changed the Host header; the browser's own word stands.
            [("sec-fetch-site", "same-origin"), ("origin", "https://public.test")],
        ],
    )
    def test_comes_from_our_pages_if_the_browser_says_so(
        self, method: str, headers: list[tuple[str, str]]
    ) -> None:
        assert not is_forgeable(scope(method, *headers))

    @pytest.mark.parametrize(
        "headers",
        [
            [],
            [("sec-fetch-site", "cross-site")],
            [("sec-fetch-site", "same-site")],
            [("sec-fetch-site", "none")],
            [("sec-fetch-site", "Same-Origin")],
            [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")],
            [("sec-fetch-site", "cross-site"), ("origin", f"http://{HOST}")],
            [("origin", "null")],
            [("origin", "")],
            [("origin", "http://evil.test")],
            [("origin", "http://agents.test")],
            [("origin", f"http://{HOST}.evil.test")],
            [("origin", f"http://user@{HOST}")],
            [("origin", "http://[broken")],
            [("origin", f"http://{HOST}"), ("origin", f"http://{HOST}")],
            [("origin", f"http://{HOST}"), ("host", HOST)],
        ],
    )
    def test_may_be_forged_otherwise(self, method: str, headers: list[tuple[str, str]]) -> None:
        assert is_forgeable(scope(method, *headers))

    def test_an_unencrypted_page_is_not_ours_where_we_are_encrypted(self, method: str) -> None:
        scheme = "wss" if method == "WEBSOCKET" else "https"
        assert is_forgeable(scope(method, ("origin", f"http://{HOST}"), scheme=scheme))
        assert not is_forgeable(scope(method, ("origin", f"https://{HOST}"), scheme=scheme))


def test_an_origin_without_a_host_is_nobodys() -> None:
    assert not is_same_origin("null", "")
