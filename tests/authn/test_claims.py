from __future__ import annotations

import hashlib
import json
from types import MappingProxyType
from typing import Any

import pytest

from licet.authn.jwt import JwtVerifier
from licet.authn.key_source import StaticKeys
from licet.authn.principal import PrincipalKind
from tests.authn.parts import (
    NOW,
    Clock,
    factory,
    issuer_of,
    keys_of,
    refusal,
    verified,
    verifier,
)

TOKENS = factory("HS256")
NAMED = factory("ES256", key_id="2027-01")
LATER = NOW + 3600


def say(**claims: Any) -> str:
    """A token with these claims besides sub and exp."""
    return TOKENS.sign({"sub": "alice", "exp": LATER, **claims})


def without(name: str) -> str:
    claims = {"sub": "alice", "exp": LATER}
    return TOKENS.sign({n: v for n, v in claims.items() if n != name})


def reason(token: str, **rules: Any) -> str:
    return str(refusal(token, verifier(TOKENS, **rules)))


def test_claims_become_a_principal() -> None:
    token = NAMED.sign(
        {
            "iss": "https://id.example",
            "sub": "alice",
            "aud": ["os", "other"],
            "exp": LATER,
            "iat": NOW - 5,
            "nbf": NOW - 5,
            "jti": "t-1",
            "scopes": ["agents:read", "agents:x:run"],
            "session_id": "s1",
            "sid": "login-1",
            "email": "a@example.org",
        }
    )
    keys = StaticKeys(keys_of(NAMED))
    trusted = JwtVerifier(issuer_of(NAMED, alias="corp"), keys, now=Clock())
    principal = verified(token, trusted)
    assert principal.owner == "corp|alice"
    assert principal.issuer == "https://id.example"
    assert principal.scopes == ("agents:read", "agents:x:run")
    assert principal.token_id == "t-1"
    assert principal.key_id == NAMED.key_id
    assert (principal.issued_at, principal.expires_at) == (NOW - 5, LATER)
    assert (principal.session_id, principal.sid) == ("s1", "login-1")
    assert principal.kind is PrincipalKind.USER
    assert principal.claims["email"] == "a@example.org"
    assert principal.actors == ()


def test_the_least_that_a_token_says_is_who_and_until_when() -> None:
    principal = verified(say(), verifier(TOKENS))
    assert principal.subject == "alice"
    assert principal.scopes == ()
    assert principal.issuer is None
    assert (principal.session_id, principal.sid, principal.issued_at) == (None, None, None)
    assert (principal.dependencies, principal.session_state) == ({}, {})


@pytest.mark.parametrize("name", ["exp", "sub"])
def test_exp_and_sub_are_required(name: str) -> None:
    assert reason(without(name)) == f"the claim {name!r} is missing"


@pytest.mark.parametrize(
    ("claims", "leeway", "why"),
    [
        ({"exp": NOW + 1}, 0, None),
        ({"exp": NOW}, 0, "the token has expired"),
        ({"exp": NOW - 9.5}, 10, None),
        ({"exp": NOW - 10}, 10, "the token has expired"),
        ({"exp": 0}, 300, "the token has expired"),
        ({"nbf": NOW}, 0, None),
        ({"nbf": NOW + 1}, 0, "the token is not valid yet (nbf)"),
        ({"nbf": NOW + 10}, 10, None),
        ({"nbf": NOW + 10.5}, 10, "the token is not valid yet (nbf)"),
        ({"iat": NOW}, 0, None),
        ({"iat": NOW + 10}, 10, None),
        ({"iat": NOW + 10.5}, 10, "the token was issued in the future (iat)"),
        ({"iat": 0, "nbf": -0.0}, 0, None),
        ({"exp": 253_402_300_799}, 0, None),
    ],
)
def test_dates_hold_with_leeway(claims: dict[str, Any], leeway: float, why: str | None) -> None:
    trusted = verifier(TOKENS, leeway_seconds=leeway)
    if why is None:
        assert verified(say(**claims), trusted).subject == "alice"
    else:
        assert str(refusal(say(**claims), trusted)) == why


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", [True, False, None, str(NOW), "", [NOW], {"n": NOW}])
def test_a_date_is_a_number(name: str, value: object) -> None:
    assert reason(say(**{name: value})) == f"the claim {name!r} is not a number of seconds"


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ["-1", "-0.5", "-1e-300", "-253402300799", "-" + "9" * 400])
def test_a_date_is_not_negative(name: str, value: str) -> None:
    claims = {"sub": '"alice"', "exp": str(LATER), name: value}
    text = ",".join(f'"{claim}":{said}' for claim, said in claims.items())
    token = TOKENS.sign(f"{{{text}}}".encode())
    assert reason(token) == f"the claim {name!r} is a date before 1970"


@pytest.mark.parametrize("value", ["1e300", "9" * 400, str(LATER * 1000), "253402300800"])
def test_a_date_is_one_that_can_be(value: str) -> None:
    token = TOKENS.sign(b'{"sub":"alice","exp":' + value.encode() + b"}")
    assert "before the year 10000; are these milliseconds?" in reason(token)


@pytest.mark.parametrize(
    "subject",
    ["a", "a" * 255, "é" * 255, "auth0|5f", "https://id.example/#7", "Zoë Müller", "名前", "*"],
)
def test_a_subject_is_printable_text(subject: str) -> None:
    assert verified(say(sub=subject), verifier(TOKENS)).subject == subject


@pytest.mark.parametrize(
    "subject",
    ["", "a" * 256, "😀" * 200, "a\x00", "a\nb", "a\x7f", "a\u2028", 7, True, ["alice"], {"a": 1}],
)
def test_another_subject_is_refused(subject: object) -> None:
    assert reason(say(sub=subject)).startswith("the claim 'sub' is not a text of 1 to 255")


def test_a_null_subject_is_missing() -> None:
    assert reason(say(sub=None)) == "the claim 'sub' is missing"


def test_another_claim_can_be_the_subject() -> None:
    trusted = verifier(TOKENS, user_id_claim="user.id")
    token = TOKENS.sign({"exp": LATER, "user": {"id": "bob"}})
    assert verified(token, trusted).subject == "bob"
    assert str(refusal(say(), trusted)) == "the claim 'user.id' is missing"


@pytest.mark.parametrize(
    ("aud", "why"),
    [
        ("os", None),
        (["os"], None),
        (["other", "os"], None),
        ("second", None),
        ("other", "the token is for another audience (aud)"),
        ("OS", "the token is for another audience (aud)"),
        ("", "the token is for another audience (aud)"),
        ([], "the token is for another audience (aud)"),
        (["other"], "the token is for another audience (aud)"),
        (None, "the claim 'aud' is neither a text nor a list of texts"),
        (7, "the claim 'aud' is neither a text nor a list of texts"),
        ({"os": 1}, "the claim 'aud' is neither a text nor a list of texts"),
        (["os", 7], "the claim 'aud' is neither a text nor a list of texts"),
        (["os", ["os"]], "the claim 'aud' is neither a text nor a list of texts"),
    ],
)
@pytest.mark.parametrize("required", [False, True])
def test_an_audience_that_is_there_has_to_be_ours(
    aud: object, why: str | None, *, required: bool
) -> None:
    trusted = verifier(TOKENS, audience=["os", "second"], verify_audience=required)
    if why is None:
        assert verified(say(aud=aud), trusted).subject == "alice"
    else:
        assert str(refusal(say(aud=aud), trusted)) == why


def test_an_audience_can_be_required() -> None:
    assert reason(say(), verify_audience=True) == "the token names no audience (aud)"


def test_where_no_audience_is_ours_one_that_is_there_is_another() -> None:
    nobody: tuple[Any, ...] = ([], None)
    for none in nobody:
        assert reason(say(aud="os"), audience=none) == "the token is for another audience (aud)"
        assert verified(say(), verifier(TOKENS, audience=none)).subject == "alice"


def test_the_audience_can_stand_elsewhere() -> None:
    trusted = verifier(TOKENS, audience_claim="client.id", verify_audience=True)
    assert verified(say(client={"id": "os"}), trusted).subject == "alice"
    assert str(refusal(say(client={"id": "x"}), trusted)) == (
        "the token is for another audience (client.id)"
    )
    assert str(refusal(say(aud="os"), trusted)) == "the token names no audience (client.id)"
    assert str(refusal(say(client={"id": 7}), trusted)) == (
        "the claim 'client.id' is neither a text nor a list of texts"
    )


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"iss": "https://id.example"}, None),
        ({"iss": "https://id.example/"}, "the token is from another issuer (iss)"),
        ({"iss": "HTTPS://ID.EXAMPLE"}, "the token is from another issuer (iss)"),
        ({"iss": None}, "the token is from another issuer (iss)"),
        ({}, "the token is from another issuer (iss)"),
        ({"iss": ["https://id.example"]}, "the claim 'iss' is not a text"),
    ],
)
def test_the_issuer_can_be_pinned(claims: dict[str, Any], why: str | None) -> None:
    trusted = verifier(TOKENS, issuer="https://id.example")
    if why is None:
        assert verified(say(**claims), trusted).issuer == "https://id.example"
    else:
        assert str(refusal(say(**claims), trusted)) == why


def test_an_issuer_that_nobody_looks_at_is_still_a_text() -> None:
    assert reason(say(iss=7)) == "the claim 'iss' is not a text"


def test_claims_can_be_required_by_name_and_by_path() -> None:
    rules: dict[str, Any] = {"required_claims": ["email", "org.id"]}
    assert verified(say(email="", org={"id": 0}), verifier(TOKENS, **rules)).subject == "alice"
    assert reason(say(org={"id": 0}), **rules) == "the claim 'email' is missing"
    assert reason(say(email=None, org={"id": 0}), **rules) == "the claim 'email' is missing"
    assert reason(say(email="x", org={}), **rules) == "the claim 'org.id' is missing"
    assert reason(say(email="x", org="id"), **rules) == "the claim 'org.id' is missing"


@pytest.mark.parametrize("value", ["s", "s" * 255, "s 1", "a/b:c*"])
def test_a_session_id_is_printable_text(value: str) -> None:
    assert verified(say(session_id=value), verifier(TOKENS)).session_id == value


@pytest.mark.parametrize("value", ["", "s" * 256, "s\x00", "s\n", "s\x85", 7, False, ["s"]])
def test_another_session_id_is_refused(value: object) -> None:
    assert reason(say(session_id=value)).startswith("the claim 'session_id' is not a text of 1")


def test_the_session_id_can_stand_elsewhere() -> None:
    trusted = verifier(TOKENS, session_id_claim="app.session")
    assert verified(say(session_id="s1"), trusted).session_id is None
    assert verified(say(app={"session": "s2"}), trusted).session_id == "s2"
    assert verified(say(session_id=None), verifier(TOKENS)).session_id is None


@pytest.mark.parametrize("claims", [{}, {"jti": None}])
def test_without_a_jti_the_digest_is_the_token_id(claims: dict[str, Any]) -> None:
    token = say(**claims)
    signing_input = token.rpartition(".")[0]
    digest = hashlib.sha256(signing_input.encode()).hexdigest()
    assert verified(token, verifier(TOKENS)).token_id == digest


@pytest.mark.parametrize("name", ["jti", "sid"])
@pytest.mark.parametrize("value", ["", "j" * 256, "j\n", 7, False, ["j"], {}])
def test_a_name_that_could_not_be_revoked_is_refused(name: str, value: object) -> None:
    assert reason(say(**{name: value})).startswith(f"the claim {name!r} is not a text of 1")


def test_the_login_session_is_no_session_of_ours() -> None:
    principal = verified(say(sid="login-1"), verifier(TOKENS))
    assert (principal.session_id, principal.sid) == (None, "login-1")


@pytest.mark.parametrize("name", ["nonce", "at_hash", "c_hash", "s_hash", "events"])
@pytest.mark.parametrize("value", ["x", None, {}])
def test_what_only_other_tokens_say_is_refused(name: str, value: object) -> None:
    assert reason(say(**{name: value})) == (
        f"the token is no access token (it has the claim {name!r})"
    )


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("typ", "Bearer", True),
        ("typ", "ID", False),
        ("typ", "id", False),
        ("typ", "Refresh", False),
        ("typ", "Offline", False),
        ("typ", "Logout", False),
        ("typ", ["ID"], True),
        ("token_use", "access", True),
        ("token_use", "id", False),
        ("token_use", "ID", False),
    ],
)
def test_a_token_that_says_it_is_of_another_kind_is_refused(
    name: str, value: object, *, taken: bool
) -> None:
    token = say(**{name: value})
    if taken:
        assert verified(token, verifier(TOKENS)).subject == "alice"
    else:
        assert reason(token) == f"the token is no access token (by its claim {name!r})"


@pytest.mark.parametrize("subject", ["sa:reporter", "sa:"])
def test_nobody_can_have_the_name_of_a_service_account(subject: str) -> None:
    assert reason(say(sub=subject)) == "the subject has the form that service accounts have"


@pytest.mark.parametrize("subject", ["sa", "SA:x", "xsa:"])
def test_other_names_are_free(subject: str) -> None:
    assert verified(say(sub=subject), verifier(TOKENS)).subject == subject


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"iat": NOW, "exp": NOW + 600}, None),
        ({"iat": NOW + 5, "exp": NOW + 605}, None),
        ({"iat": NOW, "exp": NOW + 600.5}, "the token lives longer than 600 seconds"),
        ({"iat": NOW - 1, "exp": NOW + 600}, "the token lives longer than 600 seconds"),
        ({"exp": NOW + 60}, "the claim 'iat' is missing: the token's lifetime cannot be told"),
        ({"iat": NOW - 700, "exp": NOW - 100}, "the token has expired"),
    ],
)
def test_tokens_can_be_too_long_lived(claims: dict[str, Any], why: str | None) -> None:
    trusted = verifier(TOKENS, max_token_lifetime_seconds=600)
    if why is None:
        assert verified(say(**claims), trusted).subject == "alice"
    else:
        assert str(refusal(say(**claims), trusted)) == why


@pytest.mark.parametrize("cnf", [{"jkt": "x"}, {}, None])
def test_a_token_that_is_bound_to_a_key_is_refused(cnf: object) -> None:
    assert reason(say(cnf=cnf)) == "the token is bound to a key (cnf), which is not taken"


def test_nothing_in_the_claims_can_be_changed() -> None:
    claims = verified(say(roles=["a"], org={"tags": [{"x": 1}]}), verifier(TOKENS)).claims
    assert claims["roles"] == ("a",)
    assert claims["org"]["tags"][0]["x"] == 1
    for mapping in (claims, claims["org"], claims["org"]["tags"][0]):
        assert isinstance(mapping, MappingProxyType)


def test_claims_are_not_nested_without_end() -> None:
    def nested(levels: int) -> str:
        return TOKENS.sign(
            json.dumps({"sub": "alice", "exp": LATER}).encode()[:-1]
            + b', "x": '
            + b"[" * levels
            + b"]" * levels
            + b"}"
        )

    assert verified(nested(32), verifier(TOKENS)).subject == "alice"
    assert reason(nested(33)) == "the claims are nested deeper than 32 levels"
    assert reason(nested(500)) == "the claims are nested deeper than 32 levels"
