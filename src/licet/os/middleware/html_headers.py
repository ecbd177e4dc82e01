"""What browsers are told of answers: that they are what they say, and who may show pages.

A page that another site shows in a frame can be made to be clicked on by people who see something
else. Licet's own pages are the documentation; a page of your own app gets the same, so far as
nobody can be hurt by it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_Header = tuple[bytes, bytes]

_PAGES = (b"text/html", b"application/xhtml+xml")
_NO_GUESSING: _Header = (b"x-content-type-options", b"nosniff")
_OF_PAGES: tuple[_Header, ...] = (
    # Nothing about scripts: which ones a page needs, only its author knows.
    (b"content-security-policy", b"base-uri 'self'; frame-ancestors 'none'; object-src 'none'"),
    # Not no-referrer: with that, browsers send ``Origin: null`` with the forms of the page itself,
    # and the checks for other sites' forms would refuse them.
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)


class HtmlHeadersMiddleware:
    """Adds security headers to answers: a few to pages, and one to all.

    Every answer gets ``X-Content-Type-Options``, a page also ``Content-Security-Policy``,
    ``Referrer-Policy`` and ``X-Frame-Options``. A header that the answer has already stays as it
    is: a route that may be framed, for one, sets its own ``X-Frame-Options`` and policy.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and add to what comes back."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        # Not a coroutine of its own: a stream sends often, and only its first message is changed.
        def send_guarded(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message["headers"] = _guarded(message.get("headers", ()))
            return send(message)

        await self._app(scope, receive, send_guarded)


def _guarded(headers: Iterable[_Header]) -> list[_Header]:
    """The headers of an answer, with those that it lacks."""
    guarded = list(headers)
    sent = {name.lower(): value for name, value in guarded}
    if _NO_GUESSING[0] not in sent:
        guarded.append(_NO_GUESSING)
    if sent.get(b"content-type", b"").lower().startswith(_PAGES):
        guarded.extend(header for header in _OF_PAGES if header[0] not in sent)
    return guarded
