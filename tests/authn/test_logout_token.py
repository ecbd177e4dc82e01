from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.authn.bearer import MAX_TOKEN_BYTES
from licet.authn.key_source import StaticKeys
from licet.authn.logout_token import EVENT, LogoutToken, LogoutTokenVerifier
from licet.authn.refusal import TokenRefusedError
from licet.authn.trust_state import TrustState
from licet.db.trust_records import RevocationKind, TrustChanges
from licet.testing.tokens import TokenFactory
from tests.authn.parts import (
    NOW,
    Clock,
    Keys,
    factory,
    issuer_of,
    keys_of,
    refusal,
    revocation,
    verifier,
)

TOKENS = factory("ES256", key_id="k-1")
OTHER = factory("ES256", fresh_key=True, key_id="k-2")
ISSUER = "https://id.example"
KEYS = keys_of(TOKENS)


def logouts(
    *, keys: StaticKeys | None = None, state: TrustState | None = None, **rules: Any
) -> LogoutTokenVerifier:
    """Takes the logout tokens of one issuer, at which we are called "us"."""
    issuer = issuer_of(
        TOKENS, **{"issuer": ISSUER, "alias": "corp", "oidc_client_id": "us", **rules}
    )
    return LogoutTokenVerifier([(issuer, keys or StaticKeys(KEYS))], state=state, now=Clock())


def claims(**changed: Any) -> dict[str, Any]:
    """What a logout token says; None removes a claim."""
    usual = {
        "iss": ISSUER,
        "sub": "alice",
        "sid": "login-1",
        "aud": "us",
        "iat": NOW,
        "exp": NOW + 120,
        "jti": "logout-1",
        "events": {EVENT: {}},
    }
    return {name: value for name, value in {**usual, **changed}.items() if value is not None}


def token(tokens: TokenFactory = TOKENS, *, typ: str | None = "logout+jwt", **changed: Any) -> str:
    return tokens.sign(claims(**changed), headers={"typ": typ})


async def said(text: str, trusted: LogoutTokenVerifier | None = None) -> LogoutToken:
    return await (trusted or logouts()).verify(text.encode())


async def refused(text: str | bytes, trusted: LogoutTokenVerifier | None = None) -> str:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(TokenRefusedError) as error:
        await (trusted or logouts()).verify(data)
    return str(error.value)


async def test_it_says_who_has_logged_out_of_which_session() -> None:
    assert await said(token()) == LogoutToken(
        issuer_alias="corp",
        token_id="logout-1",
        subject="alice",
        sid="login-1",
        issued_at=NOW,
        expires_at=NOW + 130,
    )


@pytest.mark.parametrize("typ", [None, "JWT", "logout+jwt", "Logout+JWT", "application/logout+jwt"])
async def test_these_types_are_taken(typ: str | None) -> None:
    assert (await said(token(typ=typ))).token_id == "logout-1"


@pytest.mark.parametrize("typ", ["at+jwt", "dpop+jwt", ""])
async def test_other_types_are_refused(typ: str) -> None:
    assert "of another type" in await refused(token(typ=typ))


@pytest.mark.parametrize(
    ("changed", "subject", "sid"),
    [({"sid": None}, "alice", None), ({"sub": None}, None, "login-1")],
)
async def test_a_subject_or_a_session_is_enough(
    changed: dict[str, Any], subject: str | None, sid: str | None
) -> None:
    found = await said(token(**changed))
    assert (found.subject, found.sid) == (subject, sid)


async def test_the_subject_is_what_access_tokens_have_as_the_subject() -> None:
    trusted = logouts(user_id_claim="email")
    assert (await said(token(email="a@example.org"), trusted)).subject == "a@example.org"
    assert (await said(token(), trusted)).subject is None
    assert await refused(token(sid=None), trusted) == (
        "the token names neither a subject (email) nor a session (sid)"
    )


OF_ANOTHER_CLIENT = "the token is for another client (aud)"
NOT_TRUSTED = "the token is from an issuer that is not trusted (iss)"
NO_EVENT = "the claim 'events' does not say that somebody has logged out"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"iss": None}, NOT_TRUSTED),
        ({"iss": "https://other.example"}, NOT_TRUSTED),
        ({"iss": [ISSUER]}, NOT_TRUSTED),
        ({"aud": None}, OF_ANOTHER_CLIENT),
        ({"aud": "os"}, OF_ANOTHER_CLIENT),
        ({"aud": ["os", "them"]}, OF_ANOTHER_CLIENT),
        ({"aud": 7}, "the claim 'aud' is neither a text nor a list of texts"),
        ({"iat": None}, "the claim 'iat' is missing"),
        ({"iat": NOW + 11}, "the token was issued in the future (iat)"),
        ({"exp": None}, "the claim 'exp' is missing"),
        ({"exp": NOW - 10}, "the token has expired"),
        ({"jti": None}, "the claim 'jti' is missing"),
        ({"jti": 7}, "the claim 'jti' is not a text of 1 to 255 printable characters"),
        ({"sub": 7}, "the claim 'sub' is not a text of 1 to 255 printable characters"),
        ({"sid": ""}, "the claim 'sid' is not a text of 1 to 255 printable characters"),
        (
            {"sub": None, "sid": None},
            "the token names neither a subject (sub) nor a session (sid)",
        ),
        ({"nonce": "x"}, "a logout token has no nonce"),
        ({"events": None}, NO_EVENT),
        ({"events": {}}, NO_EVENT),
        ({"events": [EVENT]}, NO_EVENT),
        ({"events": EVENT}, NO_EVENT),
        ({"events": {EVENT: True}}, NO_EVENT),
        ({"events": {EVENT.upper(): {}}}, NO_EVENT),
    ],
)
async def test_a_token_that_says_too_little_or_something_else_is_refused(
    changed: dict[str, Any], why: str
) -> None:
    assert await refused(token(**changed)) == why


async def test_other_events_may_stand_beside_and_the_audience_among_others() -> None:
    found = await said(token(aud=["us", "them"], events={EVENT: {"a": 1}, "x": 1}))
    assert found.token_id == "logout-1"


async def test_the_instants_at_which_it_is_taken() -> None:
    assert (await said(token(exp=NOW - 9.5))).expires_at == NOW + 0.5
    assert (await said(token(iat=NOW + 10))).token_id == "logout-1"


async def test_a_limit_for_the_life_of_access_tokens_keeps_nobody_from_logging_out() -> None:
    trusted = logouts(max_token_lifetime_seconds=60)
    assert (await said(token(), trusted)).token_id == "logout-1"


async def test_only_the_issuer_can_say_so() -> None:
    assert "does not match any key" in await refused(token(OTHER))
    forged = OTHER.sign(claims(), headers={"kid": "k-1"})
    assert "does not match the key" in await refused(forged)
    unsigned = TOKENS.sign(claims(), headers={"alg": "none"})
    assert "algorithm is not allowed" in await refused(unsigned)


async def test_a_key_that_is_new_is_asked_for() -> None:
    keys = Keys(KEYS, coming=keys_of(OTHER))
    assert (await said(token(OTHER), logouts(keys=keys))).token_id == "logout-1"
    assert keys.asked == 1


async def test_a_key_that_was_revoked_logs_nobody_out() -> None:
    state = TrustState(now=Clock())
    revoked = revocation(RevocationKind.KEY, "k-1", issuer_alias="corp")
    assert (await said(token(), logouts(state=state))).token_id == "logout-1"
    state.apply(TrustChanges(number=1, revocations=(revoked,)))
    assert await refused(token(), logouts(state=state)) == (
        "the key that signed the token was revoked"
    )


async def test_an_issuer_at_which_we_are_nobody_says_nothing() -> None:
    assert await refused(token(), logouts(oidc_client_id=None)) == NOT_TRUSTED


async def test_each_issuer_speaks_for_its_own() -> None:
    def known(tokens: TokenFactory, name: str, client: str | None) -> Any:
        issuer = issuer_of(tokens, issuer=name, alias=name, oidc_client_id=client)
        return issuer, StaticKeys(keys_of(tokens))

    trusted = LogoutTokenVerifier(
        [known(TOKENS, "one", "us"), known(OTHER, "two", "we"), known(OTHER, "three", None)],
        now=Clock(),
    )
    assert (await said(token(iss="one"), trusted)).issuer_alias == "one"
    assert (await said(token(OTHER, iss="two", aud="we"), trusted)).issuer_alias == "two"
    assert await refused(token(OTHER, iss="two"), trusted) == OF_ANOTHER_CLIENT
    assert "does not match any key" in await refused(token(OTHER, iss="one"), trusted)
    assert await refused(token(OTHER, iss="three", aud="we"), trusted) == NOT_TRUSTED


async def test_it_has_a_limit() -> None:
    assert await refused(b"x" * (MAX_TOKEN_BYTES + 1)) == "the token is larger than 16384 bytes"
    assert await refused(b"x" * MAX_TOKEN_BYTES) == "not three segments"


def test_a_logout_token_opens_nothing() -> None:
    trusted = verifier(TOKENS, issuer=ISSUER, audience=["os", "us"])
    assert "of another type" in str(refusal(token(), trusted))
    assert "no access token" in str(refusal(token(typ="JWT"), trusted))


async def test_an_access_token_logs_nobody_out() -> None:
    access = TOKENS.token("alice", iss=ISSUER, aud=["os", "us"], jti="t-1", sid="login-1")
    assert await refused(access) == NO_EVENT


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted(claims())), json_values))
async def test_any_signed_claims_are_taken_or_refused(changed: dict[str, Any]) -> None:
    signed = TOKENS.sign({**claims(), **changed}).encode()
    try:
        found = await logouts().verify(signed)
    except TokenRefusedError:
        return
    assert found.subject is not None or found.sid is not None
    assert found.token_id
    assert found.expires_at > NOW


@given(st.binary(max_size=120) | st.text("ABCabc019-_.=", max_size=120).map(str.encode))
async def test_any_bytes_are_refused(text: bytes) -> None:
    with pytest.raises(TokenRefusedError):
        await logouts().verify(text)
