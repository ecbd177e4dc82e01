"""Web search through ddgs, a client of many search engines."""

from __future__ import annotations

import importlib.util
import math
import queue
import threading
from collections.abc import Callable, Collection
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

import msgspec

from licet.errors import ConfigurationError, LicetError, MissingExtraError
from licet.tools.toolkit import Toolkit

TimeLimit = Literal["d", "w", "m", "y"]
"""How old a result may be: a day, a week, a month or a year."""

MAX_RESULTS = 50
"""More than this is never asked of an engine, whatever a model wants."""

_MAX_FIELD_CHARS = 2_000
_MAX_DETAIL_CHARS = 300
_NOTHING_FOUND = "No results found."

_Row = dict[str, Any]


class WebSearchError(LicetError):
    """No engine could be asked, or none answered in time. Goes to the model as the result."""

    code = "web_search"


class WebSearchTools(Toolkit):
    """Two tools, ``web_search`` and ``search_news``. Both answer a JSON array as text.

    Args:
        enable_search: offer ``web_search``.
        enable_news: offer ``search_news``.
        backend: the engines, comma-separated, e.g. ``"duckduckgo, brave"``; ``"auto"`` takes
            what is there.
        modifier: stands before every query of ``web_search``, e.g. ``"site:docs.python.org"``.
        fixed_max_results: at most so many results, whatever the model asks for (1 to 50).
        proxy: URL of a proxy (http, https, socks5); may hold a password and is never shown.
        timeout: seconds for a whole search; a single engine may use half of them. None: no limit.
        verify_ssl: check the engines' certificates.
        timelimit: only results of the last day, week, month or year: ``d``, ``w``, ``m``, ``y``.
        region: where to search from, e.g. ``"us-en"``.
        instructions: see ``Toolkit``.
        include_tools: see ``Toolkit``.
        exclude_tools: see ``Toolkit``.

    Raises:
        MissingExtraError: ddgs is not installed.
        ConfigurationError: a value cannot be used.
    """

    def __init__(
        self,
        *,
        enable_search: bool = True,
        enable_news: bool = True,
        backend: str = "auto",
        modifier: str | None = None,
        fixed_max_results: int | None = None,
        proxy: str | None = None,
        timeout: int | None = 10,
        verify_ssl: bool = True,
        timelimit: TimeLimit | None = None,
        region: str | None = None,
        instructions: str | None = None,
        include_tools: Collection[str] | None = None,
        exclude_tools: Collection[str] | None = None,
    ) -> None:
        if importlib.util.find_spec("ddgs") is None:
            raise MissingExtraError("WebSearchTools", package="ddgs", extra="web")
        if timelimit is not None and timelimit not in get_args(TimeLimit):
            raise ConfigurationError(f"WebSearchTools: timelimit={timelimit!r}: d, w, m or y")
        if fixed_max_results is not None and not 1 <= fixed_max_results <= MAX_RESULTS:
            raise ConfigurationError(
                f"WebSearchTools: fixed_max_results={fixed_max_results!r}: 1 to {MAX_RESULTS}"
            )
        if timeout is not None and timeout < 1:
            raise ConfigurationError(f"WebSearchTools: timeout={timeout!r}: at least 1 second")
        self.backend = backend
        self.modifier = modifier
        self.fixed_max_results = fixed_max_results
        self.timeout = timeout
        self.verify_ssl = verify_ssl
        self.timelimit = timelimit
        self.region = region
        self._proxy = proxy
        tools: list[Callable[..., Any]] = []
        if enable_search:
            tools.append(self.web_search)
        if enable_news:
            tools.append(self.search_news)
        super().__init__(
            "websearch",
            tools,
            instructions=instructions,
            include_tools=include_tools,
            exclude_tools=exclude_tools,
        )

    def web_search(self, query: str, max_results: int = 5) -> str:
        """Search the web. Each result has a title, an address (href) and an excerpt (body).

        Args:
            query: what to search for.
            max_results: how many results to return, 1 to 50.

        Raises:
            WebSearchError: no engine could be asked, or none answered in time.
        """
        return self._search(
            "text", f"{self.modifier} {query}" if self.modifier else query, max_results
        )

    def search_news(self, query: str, max_results: int = 5) -> str:
        """Search the latest news. Each result has a date, title, address (url), body and source.

        Args:
            query: what to search for.
            max_results: how many results to return, 1 to 50.

        Raises:
            WebSearchError: no engine could be asked, or none answered in time.
        """
        return self._search("news", query, max_results)

    def _search(self, kind: Literal["text", "news"], query: str, max_results: int) -> str:
        from ddgs import DDGS
        from ddgs.exceptions import TimeoutException

        wanted = self.fixed_max_results or max(1, min(MAX_RESULTS, max_results))
        options = {"timelimit": self.timelimit, "region": self.region}
        given = {name: value for name, value in options.items() if value is not None}
        engine_timeout = None if self.timeout is None else math.ceil(self.timeout / 2)

        def work() -> list[_Row]:
            client = DDGS(proxy=self._proxy, timeout=engine_timeout, verify=self.verify_ssl)
            ask = client.text if kind == "text" else client.news
            return ask(query, max_results=wanted, backend=self.backend, **given)

        try:
            rows = _within(work, timeout_seconds=self.timeout)
        except (TimeoutError, TimeoutException):
            raise WebSearchError(
                f"the search did not end within {self.timeout} seconds; try again later"
            ) from None
        except Exception as error:  # noqa: BLE001 - engines fail in many ways; each is the same here
            # Neither as the cause: a traceback in the log would show it with the proxy's password.
            raise WebSearchError(self._failure(error)) from None
        return msgspec.json.encode([_bounded(row) for row in rows[:wanted]]).decode()

    def _failure(self, error: Exception) -> str:
        detail = " ".join(str(error).split())
        if detail == _NOTHING_FOUND:
            # ddgs says the same when engines refuse to answer, so this is no empty list.
            return "no engine had a result: nothing matches, or the engines refused to answer"
        if self._proxy is not None:
            password = urlsplit(self._proxy).password
            for secret in filter(None, (self._proxy, password)):
                detail = detail.replace(secret, "***")
        return f"the search failed: {detail[:_MAX_DETAIL_CHARS]}"


def _within(work: Callable[[], list[_Row]], *, timeout_seconds: float | None) -> list[_Row]:
    """The outcome of ``work``; TimeoutError when it is not there in time: it is then abandoned."""
    outcome: queue.SimpleQueue[list[_Row] | BaseException] = queue.SimpleQueue()

    def body() -> None:
        try:
            outcome.put(work())
        except BaseException as error:  # noqa: BLE001 - handed on to the caller, whole
            outcome.put(error)

    threading.Thread(target=body, name="licet-websearch", daemon=True).start()
    try:
        got = outcome.get(timeout=timeout_seconds)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(got, BaseException):
        raise got
    return got


def _bounded(row: _Row) -> _Row:
    return {
        name: value[:_MAX_FIELD_CHARS] if isinstance(value, str) else value
        for name, value in row.items()
    }
