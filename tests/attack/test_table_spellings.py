"""One token is written in one way: what two parsers could read in two ways is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from licet.testing import TokenFactory
from tests.attack.forge import claims, forged, header_of, resigned, segment, with_text
from tests.attack.target import Target, Watch, pieces_of, target
from tests.support.world import World

TOKENS = TokenFactory()
PARTS = {"header": 0, "payload": 1, "signature": 2}
LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
LIMIT = 16 * 1024


@pytest.fixture(scope="module")
def attacked() -> Iterator[Target]:
    with target(World(tokens=TOKENS)) as made:
        yield made


@pytest.fixture
def watch(caplog: pytest.LogCaptureFixture) -> Watch:
    return Watch(caplog, pieces_of(TOKENS.public_key))


def refused(attacked: Target, watch: Watch, token: bytes, reason: str) -> None:
    watch.refused(attacked, lambda: attacked.knock(token), sent=token, reason=reason)


def spare_bits(text: bytes) -> bytes:
    """The same octets, with bits set that stand for nothing."""
    assert len(text) % 4, "there are no spare bits"
    return text[:-1] + LETTERS[LETTERS.index(text[-1]) + 1 :][:1]


def standard_alphabet(text: bytes) -> bytes:
    assert set(text) & set(b"-_"), "the two alphabets do not differ"
    return text.replace(b"-", b"+").replace(b"_", b"/")


BROKEN_HEADER, ANY = "the Authorization header is not of the form", "not canonical base64url"
MANNERS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "padded": (lambda s: s + b"=" * (-len(s) % 4), ANY),
    "padded too much": (lambda s: s + b"====", ANY),
    "spare bits": (spare_bits, ANY),
    "the other alphabet": (standard_alphabet, ANY),
    "of an impossible length": (lambda s: s + b"A" * ((1 - len(s)) % 4), "is not base64url"),
    "a tilde, which decoders skip": (lambda s: s[:5] + b"~" + s[5:], "base64url"),
    "percent-encoded": (lambda s: s[:-1] + b"%%%02x" % s[-1], BROKEN_HEADER),
    "a space within": (lambda s: s[:5] + b" " + s[5:], BROKEN_HEADER),
    "a tab within": (lambda s: s[:5] + b"\t" + s[5:], BROKEN_HEADER),
    "a vertical tab": (lambda s: s[:5] + b"\x0b" + s[5:], ""),
    "a line break": (lambda s: s[:5] + b"\n" + s[5:], ""),
    "a folded line": (lambda s: s[:5] + b"\r\n " + s[5:], ""),
    "a NUL": (lambda s: s[:5] + b"\0" + s[5:], ""),
    "a byte above ASCII": (lambda s: s[:5] + b"\xe9" + s[5:], BROKEN_HEADER),
    "a zero-width space": (lambda s: s[:5] + "\u200b".encode() + s[5:], BROKEN_HEADER),
}


def material() -> list[bytes]:
    """Segments that have spare bits and letters of both alphabets, signed rightly."""
    for attempt in range(1000):
        # Some claim makes each segment such that every manner of writing it differs.
        padding = "x" * (attempt % 3)
        header = segment(json.dumps(header_of(TOKENS, note=f"{padding}>>>???")).encode())
        payload = segment(json.dumps(claims(note=f"{attempt}{padding}>>>???")).encode())
        whole = resigned(TOKENS, header, payload).split(b".")
        if all(len(part) % 4 and set(part) & set(b"-_") for part in whole):
            return whole
    raise AssertionError("no such token was found")


def test_the_material_is_good_as_it_is(attacked: Target, watch: Watch) -> None:
    watch.let_in(attacked, lambda: attacked.knock(b".".join(material())))


@pytest.mark.parametrize("signed", ["before", "after"])
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("manner", MANNERS)
def test_other_ways_to_write_base64(
    attacked: Target, watch: Watch, manner: str, part: str, signed: str
) -> None:
    change, reason = MANNERS[manner]
    segments = material()
    segments[PARTS[part]] = change(segments[PARTS[part]])
    token = b".".join(segments)
    if signed == "after" and part != "signature":
        token = resigned(TOKENS, *segments[:2])
    if manner.startswith("padded"):
        # Padding within a token is no token at all; at its end the scheme has room for it.
        reason = ANY if part == "signature" else BROKEN_HEADER
    if (
        signed == "before"
        and part == "payload"
        and reason in {ANY, "base64url", "is not base64url"}
    ):
        reason = "Invalid token: "
    # Without a reason: the server's HTTP parser may refuse it, before there is a request.
    statuses = {401} if reason else {400, 401}
    watch.refused(
        attacked, lambda: attacked.knock(token), sent=token, reason=reason, statuses=statuses
    )


TWICE: dict[str, dict[str, str]] = {
    "exp": {"exp": '1,"exp":99999999999'},
    "exp, the good one first": {"exp": '99999999999,"exp":1'},
    "sub": {"sub": '"olga","sub":"mallory"'},
    "scopes": {"scopes": '[],"scopes":["agent_os:admin"]'},
    "scopes, the same": {"scopes": '["vault:open"],"scopes":["vault:open"]'},
    "aud": {"aud": '"test-os","aud":"elsewhere"'},
    "iss": {"iss": '"a","iss":"b"'},
    "within another": {"x": '{"a":1,"a":2}'},
    "by an escape": {"sub": '"olga","\\u0073ub":"mallory"'},
    "deep in a list": {"x": '[[{"a":1,"b":2,"a":3}]]'},
}


@pytest.mark.parametrize("which", TWICE)
def test_claims_that_stand_twice(attacked: Target, watch: Watch, which: str) -> None:
    token = forged(TOKENS, with_text(claims(), **TWICE[which]))
    refused(attacked, watch, token, "the payload has a member twice")


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"RS256","typ":"JWT","kid":"a","kid":"b"}',
        b'{"alg":"RS256","typ":"JWT","typ":"JWT"}',
        b'{"alg":"RS256","alg":"RS256"}',
        b'{"alg":"RS256","\\u0061lg":"none"}',
        b'{"alg":"HS256","alg":"RS256"}',
    ],
)
def test_headers_that_stand_twice(attacked: Target, watch: Watch, header: bytes) -> None:
    refused(attacked, watch, forged(TOKENS, claims(), header), "the header has a member twice")


def texts(good: bytes) -> dict[str, bytes]:
    """JSON that is none, or not in UTF-8, made of what would be good."""
    inner = good[1:-1]
    return {
        "a byte order mark": b"\xef\xbb\xbf" + good,
        "UTF-16": good.decode().encode("utf-16"),
        "UTF-16, unmarked": good.decode().encode("utf-16-le"),
        "UTF-32": good.decode().encode("utf-32"),
        "invalid UTF-8": b'{"x":"\xff\xfe",' + inner + b"}",
        "overlong UTF-8": b'{"x":"\xc0\x80",' + inner + b"}",
        "a surrogate in UTF-8": b'{"x":"\xed\xa0\x80",' + inner + b"}",
        "half an escape": b'{"x":"\\ud8",' + inner + b"}",
        "a lone high surrogate": b'{"x":"\\ud800",' + inner + b"}",
        "a lone low surrogate": b'{"x":"\\udfff",' + inner + b"}",
        "surrogates in the wrong order": b'{"x":"\\udc00\\ud800",' + inner + b"}",
        "a lone surrogate as name": b'{"\\ud800":1,' + inner + b"}",
        "a NUL after it": good + b"\0",
        "two objects": good + good,
        "something after it": good + b"x",
        "a comment": good + b"//",
        "a comma at the end": b"{" + inner + b",}",
        "single quotes": good.replace(b'"', b"'"),
        "no quotes": b"{alg:RS256,sub:olga}",
        "a control character": b'{"x":"\x01",' + inner + b"}",
        "not a number": b'{"x":NaN,' + inner + b"}",
        "infinite": b'{"x":-Infinity,' + inner + b"}",
        "too large for a number": b'{"x":1e400,' + inner + b"}",
        "of five thousand digits": b'{"x":' + b"9" * 5000 + b"," + inner + b"}",
        "hexadecimal": b'{"x":0x10,' + inner + b"}",
        "deep": b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"," + inner + b"}",
        "deep and never closed": b'{"x":' + b"[" * 11000,
        "deep objects": b'{"x":' + b'{"a":' * 1500 + b"1" + b"}" * 1500 + b"," + inner + b"}",
        "cut off": good[:-1],
        "empty": b"",
        "a list": b"[" + good + b"]",
        "a list of pairs": b'[["sub","olga"]]',
        "a number": b"1",
        "a text": json.dumps(good.decode()).encode(),
        "true": b"true",
        "null": b"null",
        "an empty list": b"[]",
    }


@pytest.mark.parametrize("which", texts(b"{}"))
def test_payloads_that_are_no_object(attacked: Target, watch: Watch, which: str) -> None:
    token = forged(TOKENS, texts(json.dumps(claims()).encode())[which])
    refused(attacked, watch, token, "the payload ")


@pytest.mark.parametrize("which", texts(b"{}"))
def test_headers_that_are_no_object(attacked: Target, watch: Watch, which: str) -> None:
    token = forged(TOKENS, claims(), texts(json.dumps(header_of(TOKENS)).encode())[which])
    refused(attacked, watch, token, "the header ")


def of_size(size: int) -> bytes:
    """A good token of exactly that many bytes."""
    for surplus in range(8):
        # Base64 jumps over some lengths; the header's brings them back.
        header = {**header_of(TOKENS), "z": "z" * surplus}
        fill = (size - len(forged(TOKENS, claims(fill=""), header))) * 3 // 4
        for length in range(fill - 4, fill + 4):
            token = forged(TOKENS, claims(fill="x" * length), header)
            if len(token) == size:
                return token
    raise AssertionError(f"no token has {size} bytes")


def test_a_token_is_not_larger_than_16_kib(attacked: Target, watch: Watch) -> None:
    watch.let_in(attacked, lambda: attacked.knock(of_size(LIMIT)))
    for size in (LIMIT + 1, LIMIT + 2, 2 * LIMIT):
        refused(attacked, watch, of_size(size), f"larger than {LIMIT} bytes")


def test_claims_may_be_nested_and_not_without_end(attacked: Target, watch: Watch) -> None:
    nested: object = 1
    for _ in range(10):
        nested = [nested]
    watch.let_in(attacked, lambda: attacked.knock(forged(TOKENS, claims(x=nested))))
    for _ in range(490):
        nested = [nested]
    refused(attacked, watch, forged(TOKENS, claims(x=nested)), "nested deeper")
