"""Tokens that say of themselves how they are to be verified: none is believed."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from licet.testing import TokenFactory
from tests.attack.forge import claims, forged, header_of, segment, signature
from tests.attack.target import Target, Watch, good_token, pieces_of, target
from tests.support.world import World

TOKENS = TokenFactory()
MALLORY = TokenFactory(fresh_key=True)


@pytest.fixture(scope="module")
def attacked() -> Iterator[Target]:
    with target(World(tokens=TOKENS)) as made:
        yield made


@pytest.fixture
def watch(caplog: pytest.LogCaptureFixture) -> Watch:
    return Watch(caplog, pieces_of(TOKENS.public_key))


def test_a_good_token_gets_in(attacked: Target, watch: Watch) -> None:
    watch.let_in(attacked, lambda: attacked.knock(good_token(TOKENS)))
    watch.let_in(attacked, lambda: attacked.knock(forged(TOKENS, claims())))


def refused(attacked: Target, watch: Watch, token: bytes, reason: str) -> None:
    watch.refused(attacked, lambda: attacked.knock(token), sent=token, reason=reason)


NOT_ALLOWED, UNNAMED = "the token's algorithm is not allowed", "names no algorithm"
SPELLINGS: dict[str, tuple[bytes, str]] = {
    **{
        f"alg={alg}": (json.dumps({"typ": "JWT", "alg": alg}).encode(), NOT_ALLOWED)
        for alg in ("none", "None", "NONE", "nOnE", "none ", "", "n\u043ene", "rs256", "RS256 ")
    },
    **{
        f"alg={text}": (f'{{"typ":"JWT","alg":{text}}}'.encode(), UNNAMED)
        for text in ("null", "true", "0", '["RS256"]', '["none"]', '{"RS256":1}')
    },
    "missing": (b'{"typ":"JWT"}', UNNAMED),
    "an empty header": (b"{}", UNNAMED),
    "twice, none last": (b'{"alg":"RS256","alg":"none"}', "has a member twice"),
    "twice, none first": (b'{"alg":"none","alg":"RS256"}', "has a member twice"),
    "Alg": (b'{"Alg":"RS256"}', UNNAMED),
}


@pytest.mark.parametrize("signed", ["signed", "unsigned", "junk", "without its segment"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_algorithm(attacked: Target, watch: Watch, spelling: str, signed: str) -> None:
    header, reason = SPELLINGS[spelling]
    whole = forged(TOKENS, claims(), header)
    unsigned = whole.rpartition(b".")[0]
    token = {
        "signed": whole,
        "unsigned": unsigned + b".",
        "junk": unsigned + b"." + segment(b"none of your business"),
        "without its segment": unsigned,
    }[signed]
    refused(attacked, watch, token, "not three segments" if token == unsigned else reason)


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256", "PS384", "PS512"])
def test_another_algorithm_of_the_right_key(attacked: Target, watch: Watch, algorithm: str) -> None:
    header = header_of(TOKENS, alg=algorithm)
    for signed_by in (algorithm, "RS256"):
        token = forged(TOKENS, claims(), header, algorithm=signed_by)
        refused(attacked, watch, token, f"the algorithm '{algorithm}' is not allowed here")


class Listener:
    """Stands where a token would have keys fetched from; knows whether anybody came."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.address: tuple[str, int] = self._socket.getsockname()

    def connections(self) -> int:
        """How many have come since it was last asked."""
        count = 0
        while True:
            try:
                link, _ = self._socket.accept()
            except BlockingIOError:
                return count
            link.close()
            count += 1

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


def test_the_listener_knows_when_somebody_comes(listener: Listener) -> None:
    socket.create_connection(listener.address).close()
    assert (listener.connections(), listener.connections()) == (1, 0)


def embedded(host: str, port: int) -> dict[str, dict[str, Any]]:
    place = f"{host}:{port}/keys"
    certificate = "MIIB" + segment(b"a certificate of one's own").decode()
    return {
        "jwk": {"jwk": MALLORY.jwk},
        "jwk and its kid": {"jwk": MALLORY.jwk, "kid": "mine"},
        "jku": {"jku": f"http://{place}"},
        "jku by https": {"jku": f"https://{place}"},
        "jku with our name in front": {"jku": f"http://sso.test@{place}"},
        "x5u": {"x5u": f"https://{place}"},
        "x5c": {"x5c": [certificate]},
        "x5c as text": {"x5c": certificate},
        "all of them": {"jku": f"http://{place}", "x5u": f"http://{place}", "jwk": MALLORY.jwk},
        "an empty one": {"jwk": {}},
        "null": {"jku": None},
    }


@pytest.mark.parametrize("which", embedded("", 0))
@pytest.mark.parametrize("key", [MALLORY, TOKENS], ids=["mallorys", "the right one"])
def test_a_key_that_the_token_brings(
    attacked: Target, watch: Watch, listener: Listener, which: str, key: TokenFactory
) -> None:
    header = {**header_of(TOKENS), **embedded(*listener.address)[which]}
    token = forged(TOKENS, claims(), header, key=key.private_key)
    refused(attacked, watch, token, "the header brings its own key")
    assert listener.connections() == 0


EXTENSIONS: dict[str, dict[str, Any]] = {
    "crit exp": {"crit": ["exp"]},
    "crit unknown": {"crit": ["x-must"], "x-must": True},
    "crit b64": {"crit": ["b64"], "b64": False},
    "crit b64 true": {"crit": ["b64"], "b64": True},
    "b64 alone": {"b64": False},
    "crit empty": {"crit": []},
    "crit null": {"crit": None},
    "crit text": {"crit": "exp"},
    "crit alg": {"crit": ["alg"]},
}


@pytest.mark.parametrize("which", EXTENSIONS)
def test_an_extension_that_has_to_be_known(attacked: Target, watch: Watch, which: str) -> None:
    token = forged(TOKENS, claims(), {**header_of(TOKENS), **EXTENSIONS[which]})
    refused(attacked, watch, token, "an extension that is not known (crit)")


def test_an_unencoded_payload(attacked: Target, watch: Watch) -> None:
    """RFC 7797: what it would mean, signed as it would have to be."""
    header = segment(json.dumps({**header_of(TOKENS), "b64": False, "crit": ["b64"]}).encode())
    payload = json.dumps(claims(), separators=(",", ":")).encode()
    made = segment(signature(header + b"." + payload, TOKENS.private_key, "RS256"))
    for token in (header + b".." + made, header + b"." + segment(payload) + b"." + made):
        refused(attacked, watch, token, "an extension that is not known (crit)")


SHAPES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "two segments": (lambda t: t.rpartition(b".")[0], "not three segments"),
    "one segment": (lambda t: t.partition(b".")[0], "not three segments"),
    "four segments": (lambda t: t + b"." + segment(b"more"), "not three segments"),
    "four, the last empty": (lambda t: t + b".", "not three segments"),
    "four, the first empty": (lambda t: b"." + t, "not three segments"),
    "JWE": (lambda t: t + b"." + segment(b"iv") + b"." + segment(b"tag"), "(JWE) are not taken"),
    "five, two empty": (lambda t: t + b"..", "(JWE) are not taken"),
    "six segments": (lambda t: t + b"...", "not three segments"),
    "no header": (lambda t: b"." + t.partition(b".")[2], "the header is not JSON"),
    "no payload": (
        lambda t: t.split(b".")[0] + b".." + t.split(b".")[2],
        "the signature does not match",
    ),
    "dots alone": (lambda _: b"..", "the header is not JSON"),
    "twice": (lambda t: t + b"." + t, "not three segments"),
    "reversed": (lambda t: b".".join(reversed(t.split(b"."))), "the header is not JSON"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_other_shapes(attacked: Target, watch: Watch, shape: str) -> None:
    change, reason = SHAPES[shape]
    refused(attacked, watch, change(forged(TOKENS, claims())), reason)


def test_a_jwe_header_in_three_segments(attacked: Target, watch: Watch) -> None:
    header = {"alg": "RSA-OAEP", "enc": "A256GCM", "typ": "JWT"}
    refused(attacked, watch, forged(TOKENS, claims(), header), NOT_ALLOWED)


TYPES = [
    "logout+jwt",
    "application/logout+jwt",
    "LOGOUT+JWT",
    "dpop+jwt",
    "secevent+jwt",
    "jose",
    "at+jwt ",
    "JWT\n",
    "",
    None,
    7,
    ["JWT"],
    {"typ": "JWT"},
]


@pytest.mark.parametrize("kind", TYPES, ids=repr)
def test_another_type_of_token(attacked: Target, watch: Watch, kind: object) -> None:
    token = forged(TOKENS, claims(), {**header_of(TOKENS), "typ": kind})
    refused(attacked, watch, token, "of another type")


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"])
def test_access_tokens_have_these_types(attacked: Target, watch: Watch, kind: str) -> None:
    token = forged(TOKENS, claims(), header_of(TOKENS, typ=kind))
    watch.let_in(attacked, lambda: attacked.knock(token))
    none = forged(TOKENS, claims(), header_of(TOKENS, typ=None))
    watch.let_in(attacked, lambda: attacked.knock(none))
