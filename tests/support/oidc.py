"""A real OpenID provider on loopback, whose keys a test can change and whose life it can interrupt.

The provider is ``oidc-provider-mock``: discovery, key set and ID tokens are its own. It has one key
and its access tokens are opaque; so the test signs access tokens with the provider's private key,
as an auth server would, and its key set answers with whatever keys are published.
"""

from __future__ import annotations

import itertools
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx

from licet.testing import TokenFactory

CLIENT_ID, REDIRECT = "licet-tests", "http://localhost/callback"
_FAILED = ("out of order", 503)


class OidcProvider:
    """The provider.

    ``published`` are the keys in its key set; ``fetches`` counts who asked for it, ``discoveries``
    who asked for the discovery document. While it is ``failing`` both are answered 503. Its clock
    is ``ahead_seconds`` of ours, and its key set says that it is ``age_seconds`` old.
    """

    def __init__(self) -> None:
        self._app = _app()
        self.published = [self._own_key()]
        self.fetches = 0
        self.discoveries = 0
        self.failing = False
        self.ahead_seconds = 0.0
        self.age_seconds = 0
        views = self._app.view_functions
        self._own_discovery = views["oidc-provider-mock.openid_config"]
        views["oidc-provider-mock.openid_config"] = self._discovery
        views["oidc-provider-mock.jwks"] = self._key_set
        self._server: Any = None
        self._thread: threading.Thread | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """The issuer."""
        return f"http://localhost:{self.port}"

    def start(self) -> None:
        """Be reachable, at the same address as before."""
        from werkzeug.serving import WSGIRequestHandler, make_server

        provider = self

        class Handler(WSGIRequestHandler):
            def date_time_string(self, timestamp: float | None = None) -> str:
                now = time.time() if timestamp is None else timestamp
                return formatdate(now + provider.ahead_seconds, usegmt=True)

        self._server = make_server(
            "localhost", self.port, self._app, threaded=True, request_handler=Handler
        )
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def stop(self) -> None:
        """Be away."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._thread = None

    def token(self, key: TokenFactory, *, audience: str, **claims: Any) -> str:
        """An access token that the provider would sign with this key."""
        scopes = claims.pop("scopes", ["agents:read"])
        return key.token("olga", scopes=scopes, iss=self.url, aud=audience, **claims)

    def id_token(self) -> str:
        """An ID token, by the provider's own authorization code flow."""
        query = {
            "client_id": CLIENT_ID,
            "redirect_uri": REDIRECT,
            "response_type": "code",
            "scope": "openid",
            "state": "s",
        }
        page = httpx.post(f"{self.url}/oauth2/authorize", params=query, data={"sub": "olga"})
        (code,) = parse_qs(urlsplit(page.headers["location"]).query)["code"]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
        answer = httpx.post(f"{self.url}/oauth2/token", data=form, auth=(CLIENT_ID, "secret"))
        return str(answer.json()["id_token"])

    def _own_key(self) -> TokenFactory:
        import flask

        with self._app.test_request_context():
            self._app.preprocess_request()
            jwk = flask.g.oidc_provider_mock_storage.jwk
            pem = jwk.as_pem(is_private=True).decode()
            return TokenFactory(private_key=pem, key_id=jwk.as_dict()["kid"])

    def _discovery(self) -> Any:
        self.discoveries += 1
        return _FAILED if self.failing else self._own_discovery()

    def _key_set(self) -> Any:
        self.fetches += 1
        if self.failing:
            return _FAILED
        return {"keys": [key.jwk for key in self.published]}, {"Age": str(self.age_seconds)}


def new_key(name: str) -> TokenFactory:
    """A key for the provider's next rotation."""
    return TokenFactory(fresh_key=True, key_id=name)


@contextmanager
def oidc_provider() -> Iterator[OidcProvider]:
    """A provider that is reachable until the block ends."""
    provider = OidcProvider()
    provider.start()
    try:
        yield provider
    finally:
        provider.stop()


@dataclass(frozen=True, eq=False)
class Question:
    """A request with a token that is made for it, and what right answers say, by their status."""

    token: Callable[[], str]
    answers: Mapping[int, str] = field(default_factory=lambda: {200: ""})


class Load:
    """Clients that ask one question after the other all the time.

    ``wrong`` holds what was not answered rightly.
    """

    def __init__(self, url: str, *questions: Question, clients: int = 2) -> None:
        self.wrong: list[str] = []
        self._url = url
        self._questions = questions
        self._answered: Counter[Question] = Counter()
        self._begun = [questions] * clients
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(at,)) for at in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    @property
    def answers(self) -> int:
        """How many questions were answered so far."""
        with self._lock:
            return self._answered.total()

    def asks(self, *questions: Question) -> None:
        """Ask these from now on. When this returns, none of those before is under way."""
        self._questions = questions
        self._wait(lambda: all(begun is questions for begun in self._begun))

    def goes_on(self, *, each: int) -> None:
        """Wait until each question was answered that many more times."""
        with self._lock:
            wanted = {question: self._answered[question] + each for question in self._questions}
        self._wait(lambda: all(self._answered[question] >= n for question, n in wanted.items()))

    def _wait(self, found: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not found():
            assert time.monotonic() < deadline, f"only {self.answers} answers; {self.wrong[:3]}"
            time.sleep(0.005)

    def _ask(self, client_number: int) -> None:
        with httpx.Client() as client:
            for turn in itertools.count(client_number):
                if self._stopping.is_set():
                    return
                questions = self._questions
                self._begun[client_number] = questions
                question = questions[turn % len(questions)]
                headers = {"Authorization": f"Bearer {question.token()}"}
                answer = client.get(self._url, headers=headers)
                said = question.answers.get(answer.status_code)
                if said is None or said not in answer.text:
                    self.wrong.append(f"{answer.status_code} {answer.text}")
                with self._lock:
                    self._answered[question] += 1


def _app() -> Any:
    with warnings.catch_warnings():
        # The provider's own use of a library that is being replaced.
        warnings.simplefilter("ignore")
        import oidc_provider_mock  # type: ignore[import-untyped]  # it brings no types

        return oidc_provider_mock.app()
