"""Logout tokens that are none: nobody is logged out by what does not verify."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from licet.testing import TokenFactory
from tests.attack.forge import claims, forged, header_of, segment, with_text
from tests.attack.target import ACCESS, Answer, Target, Watch, pieces_of, target
from tests.support.world import CLIENT_ID, ISSUER, OS_ID, IssuerTokens, World

TOKENS = IssuerTokens()
MALLORY = TokenFactory(fresh_key=True)
EVENT = "http://schemas.openid.net/event/backchannel-logout"
PATH, KIND = "/oidc/backchannel-logout", b"application/x-www-form-urlencoded"
LOGGER = "licet.os.routes.logout"
VICTIM = "victim"


@pytest.fixture(scope="module")
def attacked() -> Iterator[Target]:
    with target(World(tokens=TOKENS), issuer=ISSUER, oidc_client_id=CLIENT_ID) as made:
        yield made


@pytest.fixture
def watch(caplog: pytest.LogCaptureFixture) -> Watch:
    return Watch(caplog, pieces_of(TOKENS.public_key))


def log_out(attacked: Target, token: bytes | str) -> Answer:
    text = token.decode() if isinstance(token, bytes) else token
    return posted(attacked, urlencode({"logout_token": text}).encode())


def posted(attacked: Target, body: bytes, kind: bytes = KIND, method: str = "POST") -> Answer:
    return attacked.ask(b"Content-Type: " + kind, method=method, path=PATH, body=body)


def said(**changed: Any) -> dict[str, Any]:
    """The claims of a logout token of the victim; None takes a claim away."""
    usual = {"iss": ISSUER, "aud": CLIENT_ID, "jti": f"j-{time.time_ns()}", "events": {EVENT: {}}}
    return claims(**{**usual, "sub": VICTIM, "scopes": None, **changed})


def forged_logout(payload: Any = None, **header: Any) -> bytes:
    first = header_of(TOKENS, **{"typ": "logout+jwt", **header})
    return forged(TOKENS, said() if payload is None else payload, first)


def still_in(attacked: Target, watch: Watch, subject: str = VICTIM) -> None:
    """The subject's token, issued long before, is good."""
    token = forged(TOKENS, claims(sub=subject, iss=ISSUER, iat=int(time.time()) - 600))
    watch.let_in(attacked, lambda: attacked.knock(token))


def refused(
    attacked: Target, watch: Watch, attack: Callable[[], Answer], reason: str, sent: bytes = b""
) -> None:
    answer = watch.refused(
        attacked, attack, sent=sent, reason=reason, statuses={400}, logger=LOGGER
    )
    assert answer.headers["cache-control"] == "no-store"
    assert json.loads(answer.body)["error"] == "invalid_request"
    still_in(attacked, watch)


def test_a_good_one_logs_out_and_only_once(attacked: Target, watch: Watch) -> None:
    token = forged_logout(said(sub="leaving"))
    still_in(attacked, watch, "leaving")
    assert log_out(attacked, token).status == 200
    before = forged(TOKENS, claims(sub="leaving", iss=ISSUER, iat=int(time.time()) - 600))
    watch.refused(
        attacked, lambda: attacked.knock(before), sent=before, reason="the subject has logged out"
    )
    # Who is back is not thrown out by a token that somebody has kept.
    refused(attacked, watch, lambda: log_out(attacked, token), "used before (jti)", token)
    renamed = forged_logout(said(sub=VICTIM, jti=json.loads(_payload(token))["jti"]))
    refused(attacked, watch, lambda: log_out(attacked, renamed), "used before (jti)", renamed)


def _payload(token: bytes) -> bytes:
    text = token.split(b".")[1]
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


NOT_SIGNED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "alg=none": (
        lambda t: segment(b'{"alg":"none","typ":"logout+jwt"}') + b"." + t.split(b".")[1] + b".",
        "algorithm is not allowed",
    ),
    "stripped": (lambda t: t.rpartition(b".")[0] + b".", "does not match any key"),
    "two segments": (lambda t: t.rpartition(b".")[0], "not three segments"),
    "a JWE": (lambda t: t + b".a.b", "(JWE) are not taken"),
    "somebody else's key": (
        lambda _: forged(MALLORY, said(), header_of(MALLORY, typ="logout+jwt")),
        "does not match any key",
    ),
    "the public key as a secret": (
        lambda _: forged(
            TOKENS,
            said(),
            header_of(TOKENS, alg="HS256", typ="logout+jwt"),
            key=TOKENS.public_key,
            algorithm="HS256",
        ),
        "'HS256' is not allowed",
    ),
    "another payload": (
        lambda t: (
            t.split(b".")[0]
            + b"."
            + segment(json.dumps(said(sub=VICTIM, jti="other")).encode())
            + b"."
            + t.split(b".")[2]
        ),
        "does not match any key",
    ),
    "an embedded key": (
        lambda _: forged(MALLORY, said(), header_of(MALLORY, jwk=MALLORY.jwk, typ="logout+jwt")),
        "brings its own key",
    ),
    "crit": (lambda _: forged_logout(crit=["exp"]), "(crit)"),
    "padded": (lambda t: t + b"==", "canonical"),
    "above 16 KiB": (lambda _: forged_logout(said(x="x" * 16384)), "larger than 16384"),
    "no object": (lambda _: forged_logout(b"[]"), "not a JSON object"),
    "empty": (lambda _: b"", "not three segments"),
    "junk": (lambda _: b"junk", "not three segments"),
}


@pytest.mark.parametrize("which", NOT_SIGNED)
def test_what_is_not_signed(attacked: Target, watch: Watch, which: str) -> None:
    change, reason = NOT_SIGNED[which]
    token = change(forged_logout())
    refused(attacked, watch, lambda: log_out(attacked, token), reason, token)


NOW = time.time()
SAYS_SOMETHING_ELSE: dict[str, tuple[Any, str]] = {
    "for the API": (said(aud=OS_ID), "for another client (aud)"),
    "for somebody else": (said(aud="elsewhere"), "for another client (aud)"),
    "for nobody": (said(aud=None), "for another client (aud)"),
    "for an empty list": (said(aud=[]), "for another client (aud)"),
    "for a mixed list": (said(aud=[CLIENT_ID, 7]), "neither a text nor a list of texts"),
    "of a stranger": (said(iss="https://evil.test"), "not trusted (iss)"),
    "of nobody": (said(iss=None), "not trusted (iss)"),
    "without events": (said(events=None), "'events'"),
    "with another event": (said(events={"urn:other": {}}), "'events'"),
    "with no event": (said(events={}), "'events'"),
    "with events as a list": (said(events=[EVENT]), "'events'"),
    "with events as a text": (said(events=EVENT), "'events'"),
    "with an event that is no object": (said(events={EVENT: True}), "'events'"),
    "with a nonce": (said(nonce="n"), "no nonce"),
    "with a nonce of null": (with_text(said(), nonce="null"), "no nonce"),
    "without jti": (said(jti=None), "'jti'"),
    "with an empty jti": (said(jti=""), "'jti'"),
    "with a number as jti": (said(jti=7), "'jti'"),
    "without iat": (said(iat=None), "'iat'"),
    "issued in the future": (said(iat=NOW + 10**6, exp=NOW + 2 * 10**6), "(iat)"),
    "without exp": (said(exp=None), "'exp'"),
    "expired": (said(exp=NOW - 11), "expired"),
    "expired long ago": (said(exp=1), "expired"),
    "not valid yet": (said(nbf=NOW + 10**6), "(nbf)"),
    "expires as a text": (said(exp="99999999999"), "'exp'"),
    "expires never": (with_text(said(), exp="1e400"), "number that is none"),
    "about nobody": (said(sub=None), "neither a subject (sub) nor a session (sid)"),
    "about a number": (said(sub=7), "'sub'"),
    "about an empty session": (said(sid=""), "'sid'"),
    "the subject twice": (with_text(said(), sub='"a","sub":"victim"'), "a member twice"),
}


@pytest.mark.parametrize("which", SAYS_SOMETHING_ELSE)
def test_what_says_something_else(attacked: Target, watch: Watch, which: str) -> None:
    payload, reason = SAYS_SOMETHING_ELSE[which]
    token = forged_logout(payload)
    refused(attacked, watch, lambda: log_out(attacked, token), reason, token)


def test_an_access_token_logs_nobody_out(attacked: Target, watch: Watch) -> None:
    for audience, reason in ((OS_ID, "for another client (aud)"), (CLIENT_ID, "'events'")):
        token = forged(TOKENS, claims(sub=VICTIM, iss=ISSUER, aud=audience, jti="a"))
        refused(attacked, watch, lambda t=token: log_out(attacked, t), reason, token)  # type: ignore[misc]  # bound now
    at = forged_logout(said(), typ="at+jwt")
    refused(attacked, watch, lambda: log_out(attacked, at), "of another type", at)
    identity = forged(TOKENS, said(nonce="n", events=None), header_of(TOKENS))
    refused(attacked, watch, lambda: log_out(attacked, identity), "'events'", identity)


def test_a_logout_token_opens_nothing(attacked: Target, watch: Watch) -> None:
    for kind, audience in (("logout+jwt", OS_ID), ("JWT", OS_ID), ("JWT", CLIENT_ID)):
        token = forged_logout(said(aud=audience, scopes=["vault:open"]), typ=kind)
        watch.refused(
            attacked,
            lambda t=token: attacked.knock(t),  # type: ignore[misc]  # bound now
            sent=token,
            reason="Invalid token: ",
        )


NO_FORM, NOT_ONE = "the body is not application/x-www-form-urlencoded", "not one logout_token"


def form_of(token: bytes) -> dict[str, tuple[bytes, bytes, str]]:
    text = token.decode()
    return {
        "JSON": (json.dumps({"logout_token": text}).encode(), b"application/json", NO_FORM),
        "no type": (b"logout_token=" + token, b"", NO_FORM),
        "plain text": (b"logout_token=" + token, b"text/plain", NO_FORM),
        "multipart": (
            b'--x\r\nContent-Disposition: form-data; name="logout_token"\r\n\r\n'
            + token
            + b"\r\n--x--\r\n",
            b"multipart/form-data; boundary=x",
            NO_FORM,
        ),
        "nothing": (b"", KIND, NOT_ONE),
        "two tokens": (b"logout_token=" + token + b"&logout_token=" + token, KIND, NOT_ONE),
        "another field": (b"token=" + token, KIND, NOT_ONE),
        "other letters": (b"Logout_Token=" + token, KIND, NOT_ONE),
        "an empty field": (b"logout_token=", KIND, "not three segments"),
        "spaces around it": (b"logout_token=+" + token + b"+", KIND, "base64url"),
        "a line break after it": (b"logout_token=" + token + b"%0A", KIND, "base64url"),
        "a NUL after it": (b"logout_token=" + token + b"%00", KIND, "base64url"),
        "its scheme before it": (b"logout_token=Bearer+" + token, KIND, "base64url"),
        "no ASCII": (b"logout_token=" + quote("é").encode() + token, KIND, "is no token"),
    }


@pytest.mark.parametrize("which", form_of(b""))
def test_forms_that_are_none(attacked: Target, watch: Watch, which: str) -> None:
    token = forged_logout()
    body, kind, reason = form_of(token)[which]
    refused(attacked, watch, lambda: posted(attacked, body, kind), reason, token)


@pytest.mark.parametrize("body", [b"logout_token=%ff", b"&" * 2000, b"\xff\xfe"])
def test_forms_that_cannot_be_read(attacked: Target, watch: Watch, body: bytes) -> None:
    refused(attacked, watch, lambda: posted(attacked, body), "the body is not a form ", b"")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods_log_nobody_out(attacked: Target, watch: Watch, method: str) -> None:
    token = forged_logout()
    in_query = f"{PATH}?logout_token={token.decode()}"
    for attack in (
        lambda: posted(attacked, b"logout_token=" + token, method=method),
        lambda: attacked.ask(method=method, path=in_query),
    ):
        # The path is everybody's: nobody is denied, the router has nothing for the method.
        watch.refused(
            attacked,
            attack,
            sent=token,
            reason=f'"{method} {PATH} HTTP/1.1" 405',
            statuses={405},
            logger=ACCESS,
        )
        still_in(attacked, watch)
    refused(attacked, watch, lambda: attacked.ask(method="POST", path=in_query), NO_FORM, token)


def test_a_stolen_key_that_was_revoked_logs_nobody_out(watch: Watch) -> None:
    # A server of its own: the key is gone afterwards.
    with target(World(tokens=TOKENS), issuer=ISSUER, oidc_client_id=CLIENT_ID) as attacked:
        stolen = _thumbprint()
        robot = forged_admin()
        body = json.dumps({"key_id": stolen}).encode()
        line = b"Authorization: Bearer " + robot
        answer = attacked.ask(line, method="POST", path="/revocations", body=body)
        assert answer.status == 201, answer
        token = forged_logout()
        watch.refused(
            attacked,
            lambda: log_out(attacked, token),
            sent=token,
            reason="the key that signed the token was revoked",
            statuses={400},
            logger=LOGGER,
        )


def forged_admin() -> bytes:
    return forged(TOKENS, claims(sub="ada", iss=ISSUER, scopes=["agent_os:admin"]))


def _thumbprint() -> str:
    from licet.authn.keys import load_key

    return load_key(TOKENS.public_key, allowed=["RS256"]).key_id
