"""Claims that are signed rightly and mean something else: another time, another use, nobody."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from licet.testing import TokenFactory
from tests.attack.forge import SUBJECT, claims, forged, with_text
from tests.attack.target import Target, Watch, pieces_of, target
from tests.support.world import CLIENT_ID, OS_ID, World

TOKENS = TokenFactory()
LEEWAY = 10


@pytest.fixture(scope="module")
def attacked() -> Iterator[Target]:
    with target(World(tokens=TOKENS)) as made:
        yield made


@pytest.fixture(scope="module")
def strict() -> Iterator[Target]:
    """A server that asks for an audience."""
    with target(World(tokens=TOKENS), verify_audience=True) as made:
        yield made


@pytest.fixture
def watch(caplog: pytest.LogCaptureFixture) -> Watch:
    return Watch(caplog, pieces_of(TOKENS.public_key))


def refused(attacked: Target, watch: Watch, payload: Any, reason: str) -> None:
    token = forged(TOKENS, payload)
    watch.refused(attacked, lambda: attacked.knock(token), sent=token, reason=reason)


def let_in(attacked: Target, watch: Watch, payload: Any) -> None:
    token = forged(TOKENS, payload)
    watch.let_in(attacked, lambda: attacked.knock(token))


NO_NUMBER, NO_JSON = "is not a number of seconds", "the payload "
NO_DATES: dict[str, tuple[str, str]] = {
    "a text": (f'"{int(time.time()) + 3600}"', NO_NUMBER),
    "a date": ('"2099-01-01T00:00:00Z"', NO_NUMBER),
    "an empty text": ('""', NO_NUMBER),
    "true": ("true", NO_NUMBER),
    "false": ("false", NO_NUMBER),
    "null": ("null", NO_NUMBER),
    "a list": (f"[{int(time.time()) + 3600}]", NO_NUMBER),
    "an object": ('{"$numberLong":"99999999999"}', NO_NUMBER),
    "NaN": ("NaN", NO_JSON),
    "Infinity": ("Infinity", NO_JSON),
    "-Infinity": ("-Infinity", NO_JSON),
    "1e400": ("1e400", NO_JSON),
    "-1e400": ("-1e400", NO_JSON),
    "of five thousand digits": ("9" * 5000, NO_JSON),
    "with a leading zero": ("099999999999", NO_JSON),
    "with a plus": ("+99999999999", NO_JSON),
    "milliseconds": (str(int(time.time() * 1000)), "are these milliseconds?"),
    "1e300": ("1e300", "is not a date before the year 10000"),
    "2 ** 64": (str(2**64), "is not a date before the year 10000"),
    "minus one": ("-1", "is a date before 1970"),
    "minus a half": ("-0.5", "is a date before 1970"),
    "minus as many seconds as since 1970": (str(-int(time.time())), "is a date before 1970"),
    "minus as many milliseconds": (str(-int(time.time() * 1000)), "is a date before 1970"),
    "-1e300": ("-1e300", "is a date before 1970"),
    "-(2 ** 64)": (str(-(2**64)), "is a date before 1970"),
}


@pytest.mark.parametrize("which", NO_DATES)
@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
def test_dates_that_are_none(attacked: Target, watch: Watch, name: str, which: str) -> None:
    text, reason = NO_DATES[which]
    refused(attacked, watch, with_text(claims(), **{name: text}), reason)


def test_dates_may_be_fractions(attacked: Target, watch: Watch) -> None:
    now = time.time()
    let_in(attacked, watch, claims(exp=now + 60.5, nbf=now - 0.5, iat=now - 0.5))
    let_in(attacked, watch, with_text(claims(), exp="4e9"))


@pytest.mark.parametrize("exp", [0, 1, "-0", "-0.0", "0.0", "1e-400", "-1e-400"], ids=repr)
def test_an_expiry_long_ago(attacked: Target, watch: Watch, exp: float | str) -> None:
    refused(attacked, watch, with_text(claims(), exp=str(exp)), "the token has expired")


def test_an_expiry_is_needed(attacked: Target, watch: Watch) -> None:
    refused(attacked, watch, claims(exp=None), "the claim 'exp' is missing")
    refused(attacked, watch, claims(exp=None, Exp=time.time() + 60), "'exp' is missing")


def test_one_second_beyond_the_leeway_is_too_late(attacked: Target, watch: Watch) -> None:
    now = time.time()
    let_in(attacked, watch, claims(exp=now - LEEWAY + 5))
    for late in (1, 2, 3600):
        refused(attacked, watch, claims(exp=now - LEEWAY - late), "the token has expired")
    refused(attacked, watch, claims(exp=now - LEEWAY), "the token has expired")


def test_a_token_that_was_taken_before_expires_all_the_same(attacked: Target, watch: Watch) -> None:
    token = forged(TOKENS, claims(exp=time.time() - LEEWAY + 1))
    watch.let_in(attacked, lambda: attacked.knock(token))
    deadline = time.monotonic() + 20
    while attacked.knock(token).status == 200:
        assert time.monotonic() < deadline, "it does not expire"
    watch.refused(attacked, lambda: attacked.knock(token), sent=token, reason="has expired")


@pytest.mark.parametrize(
    ("name", "reason"), [("nbf", "not valid yet (nbf)"), ("iat", "issued in the future (iat)")]
)
def test_a_time_to_come(attacked: Target, watch: Watch, name: str, reason: str) -> None:
    now = time.time()
    let_in(attacked, watch, claims(**{name: now + LEEWAY - 2}))
    # Five seconds in hand: the server looks at its clock later than the test does.
    for early in (5, 60, 3600, 10**9):
        refused(attacked, watch, claims(**{name: now + LEEWAY + early}), reason)


OTHER_USES: dict[str, tuple[dict[str, Any], str]] = {
    "an ID token, by nonce": ({"nonce": "n"}, "'nonce'"),
    "an ID token, by at_hash": ({"at_hash": "h"}, "'at_hash'"),
    "an ID token, by c_hash": ({"c_hash": "h"}, "'c_hash'"),
    "an ID token, by s_hash": ({"s_hash": "h"}, "'s_hash'"),
    "an ID token, by its audience": ({"aud": CLIENT_ID}, "another audience"),
    "an ID token of OIDC": (
        {"aud": CLIENT_ID, "azp": CLIENT_ID, "nonce": "n", "auth_time": 1},
        "another audience",
    ),
    "Keycloak's ID token": ({"typ": "ID", "aud": OS_ID}, "'typ'"),
    "Keycloak's refresh token": ({"typ": "Refresh"}, "'typ'"),
    "Keycloak's offline token": ({"typ": "Offline"}, "'typ'"),
    "Keycloak's logout token": ({"typ": "Logout"}, "'typ'"),
    "Cognito's ID token": ({"token_use": "id"}, "'token_use'"),
    "a logout token": (
        {"events": {"http://schemas.openid.net/event/backchannel-logout": {}}},
        "'events'",
    ),
    "a security event": ({"events": {}}, "'events'"),
    "bound by DPoP": ({"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}, "(cnf)"),
    "bound by a certificate": ({"cnf": {"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc0"}}, "(cnf)"),
    "bound to nothing": ({"cnf": {}}, "(cnf)"),
}


@pytest.mark.parametrize("which", OTHER_USES)
def test_a_token_for_another_use(attacked: Target, watch: Watch, which: str) -> None:
    more, reason = OTHER_USES[which]
    refused(attacked, watch, claims(**more), reason)


@pytest.mark.parametrize("name", ["cnf", "nonce", "events", "at_hash"])
def test_null_is_a_value_too(attacked: Target, watch: Watch, name: str) -> None:
    refused(attacked, watch, with_text(claims(), **{name: "null"}), name)


@pytest.mark.parametrize("more", [{"typ": "Bearer"}, {"token_use": "access"}], ids=repr)
def test_access_tokens_say_that_they_are(
    attacked: Target, watch: Watch, more: dict[str, str]
) -> None:
    let_in(attacked, watch, claims(**more))


WRONG, NO_AUDIENCES = "for another audience", "neither a text nor a list of texts"
AUDIENCES: dict[str, tuple[str, str]] = {
    "another": ('"elsewhere"', WRONG),
    "other letters": (json.dumps(OS_ID.upper()), WRONG),
    "a slash after it": (json.dumps(OS_ID + "/"), WRONG),
    "a space after it": (json.dumps(OS_ID + " "), WRONG),
    "longer": (json.dumps(OS_ID + "-2"), WRONG),
    "shorter": (json.dumps(OS_ID[:-1]), WRONG),
    "several in a text": (json.dumps(f"elsewhere {OS_ID}"), WRONG),
    "any": ('"*"', WRONG),
    "an empty text": ('""', WRONG),
    "a list of others": ('["elsewhere","account"]', WRONG),
    "an empty list": ("[]", WRONG),
    "a list of an empty text": ('[""]', WRONG),
    "a list within": (json.dumps([[OS_ID]]), NO_AUDIENCES),
    "mixed, ours first": (json.dumps([OS_ID, 7]), NO_AUDIENCES),
    "mixed, ours last": (json.dumps([None, OS_ID]), NO_AUDIENCES),
    "mixed with an object": (json.dumps([OS_ID, {"aud": OS_ID}]), NO_AUDIENCES),
    "an object": (json.dumps({OS_ID: True}), NO_AUDIENCES),
    "null": ("null", NO_AUDIENCES),
    "true": ("true", NO_AUDIENCES),
    "a number": ("0", NO_AUDIENCES),
}


@pytest.mark.parametrize("which", AUDIENCES)
def test_a_token_for_somebody_else(
    attacked: Target, strict: Target, watch: Watch, which: str
) -> None:
    text, reason = AUDIENCES[which]
    for each in (attacked, strict):
        refused(each, watch, with_text(claims(), aud=text), reason)


def test_an_audience_is_needed_where_it_is_asked_for(
    attacked: Target, strict: Target, watch: Watch
) -> None:
    let_in(attacked, watch, claims())
    refused(strict, watch, claims(), "the token names no audience (aud)")
    refused(strict, watch, claims(Aud=OS_ID, audience=OS_ID), "the token names no audience (aud)")
    for audience in (OS_ID, [OS_ID], ["elsewhere", OS_ID], [OS_ID, OS_ID]):
        let_in(strict, watch, claims(aud=audience))


NO_TEXT = "is not a text of 1 to 255 printable characters"
NOBODY: dict[str, tuple[str, str]] = {
    "null": ("null", "the claim 'sub' is missing"),
    "empty": ('""', NO_TEXT),
    "a number": ("7", NO_TEXT),
    "true": ("true", NO_TEXT),
    "a list": ('["olga"]', NO_TEXT),
    "an object": ('{"sub":"olga"}', NO_TEXT),
    "a NUL": ('"olga\\u0000"', NO_TEXT),
    "a line break": ('"olga\\nadmin"', NO_TEXT),
    "turned around": ('"\\u202eaglo"', NO_TEXT),
    "invisible": ('"olga\\u200b"', NO_TEXT),
    "256 letters": (json.dumps("o" * 256), NO_TEXT),
    "a service account": ('"sa:robot"', "the form that service accounts have"),
    "nearly one": ('"sa:"', "the form that service accounts have"),
}


@pytest.mark.parametrize("which", NOBODY)
def test_a_subject_that_is_nobody(attacked: Target, watch: Watch, which: str) -> None:
    text, reason = NOBODY[which]
    refused(attacked, watch, with_text(claims(), sub=text), reason)


def test_a_subject_is_needed(attacked: Target, watch: Watch) -> None:
    payload = claims(sub=None, Sub=SUBJECT, user_id=SUBJECT, username=SUBJECT)
    refused(attacked, watch, payload, "the claim 'sub' is missing")


@pytest.mark.parametrize(
    "scopes", ["null", "7", "true", "{}", '{"vault:open":true}', '[["vault:open"]]', "[null]"]
)
def test_scopes_that_are_none(attacked: Target, watch: Watch, scopes: str) -> None:
    # And no other claim stands in for the one that is there.
    payload = with_text(claims(scope="vault:open", scp=["vault:open"]), scopes=scopes)
    refused(attacked, watch, payload, "the claim 'scopes' is neither a list of texts nor a text")


@pytest.mark.parametrize(
    "scopes",
    [
        *([], "", ["VAULT:OPEN"], ["vault:open "], "vault:open,x:y", "vault:open\tx:y"),
        *(["vault:*"], ["*:open"], ["*"], ["vault"], ["*:*"], ["vault:openx"]),
        *(["agent_os:*"], ["agent_os:admin "], ["Agent_OS:admin"]),
    ],
    ids=repr,
)
def test_scopes_that_look_like_enough(attacked: Target, watch: Watch, scopes: Any) -> None:
    token = forged(TOKENS, claims(scopes=scopes))
    answer = watch.refused(
        attacked,
        lambda: attacked.knock(token),
        sent=token,
        reason="Required scope(s): vault:open",
        statuses={403},
    )
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
