"""What a principal holds because of the claims: scopes, roles, actors, values for runs."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.authn.refusal import TokenRefusedError
from tests.authn.parts import (
    NOW,
    factory,
    refusal,
    verified,
    verifier,
)

TOKENS = factory("HS256")
LATER = NOW + 3600


def say(**claims: Any) -> str:
    """A token with these claims besides sub and exp."""
    return TOKENS.sign({"sub": "alice", "exp": LATER, **claims})


def reason(token: str, **rules: Any) -> str:
    return str(refusal(token, verifier(TOKENS, **rules)))


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({}, ()),
        ({"scopes": []}, ()),
        ({"scopes": ""}, ()),
        ({"scopes": ["a:b", "c:d"]}, ("a:b", "c:d")),
        ({"scopes": "a:b c:d"}, ("a:b", "c:d")),
        ({"scope": " a:b   c:d "}, ("a:b", "c:d")),
        ({"scp": ["a:b"]}, ("a:b",)),
        ({"scopes": ["a:b c:d"]}, ("a:b c:d",)),
        ({"scope": "a:b\tc:d\u00a0e:f"}, ("a:b\tc:d\u00a0e:f",)),
        ({"scp": "c:d", "scope": "b:c", "scopes": ["a:b"]}, ("a:b",)),
        ({"scp": "c:d", "scope": "b:c"}, ("b:c",)),
        ({"scopes": [], "scope": "agent_os:admin"}, ()),
        ({"roles": ["a:b"]}, ()),
    ],
)
def test_scopes_are_those_of_the_first_claim_that_is_there(
    claims: dict[str, Any], scopes: tuple[str, ...]
) -> None:
    assert verified(say(**claims), verifier(TOKENS)).scopes == scopes


@pytest.mark.parametrize("name", ["scopes", "scope", "scp"])
@pytest.mark.parametrize("value", [None, 7, True, {"a": "b"}, ["a:b", 7], [["a:b"]], [None]])
def test_scopes_of_another_type_are_refused(name: str, value: object) -> None:
    why = f"the claim {name!r} is neither a list of texts nor a text"
    assert reason(say(**{name: value})) == why


def test_a_path_can_lead_to_the_scopes() -> None:
    trusted = verifier(TOKENS, scopes_claim="realm_access.roles")
    there = say(realm_access={"roles": ["a:b"]}, scopes=["agent_os:admin"])
    assert verified(there, trusted).scopes == ("a:b",)
    elsewheres: list[dict[str, Any]] = [
        {},
        {"realm_access": {}},
        {"realm_access": ["roles"]},
        {"scopes": ["a:b"]},
    ]
    for elsewhere in elsewheres:
        assert verified(say(**elsewhere), trusted).scopes == ()


def test_a_name_that_holds_dots_goes_before_a_path() -> None:
    name = "https://id.example/scopes"
    trusted = verifier(TOKENS, scopes_claim=name)
    token = say(**{name: ["a:b"], "https://id": {"example/scopes": ["agent_os:admin"]}})
    assert verified(token, trusted).scopes == ("a:b",)


ROLES = {"analyst": ["agents:read", "agents:run"], "auditor": ["audit:read", "agents:read"]}


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({}, ()),
        ({"roles": []}, ()),
        ({"roles": ["analyst"]}, ("agents:read", "agents:run")),
        ({"roles": "analyst"}, ("agents:read", "agents:run")),
        ({"roles": ["auditor", "analyst"]}, ("audit:read", "agents:read", "agents:run")),
        ({"roles": ["analyst", "analyst", "stranger"]}, ("agents:read", "agents:run")),
        ({"roles": "former analyst"}, ()),
        ({"roles": "analyst auditor"}, ()),
        ({"roles": ["Analyst", "agents:read", ""]}, ()),
        ({"roles": ["auditor"], "scopes": ["x:y"]}, ("x:y", "audit:read", "agents:read")),
        ({"roles": ["analyst"], "scope": "agents:run"}, ("agents:run", "agents:read")),
        ({"scopes": ["analyst"]}, ("analyst",)),
    ],
)
def test_roles_stand_for_scopes_beside_those_that_are_named(
    claims: dict[str, Any], scopes: tuple[str, ...]
) -> None:
    assert verified(say(**claims), verifier(TOKENS, roles=ROLES)).scopes == scopes


def test_a_path_can_lead_to_the_roles() -> None:
    trusted = verifier(TOKENS, roles=ROLES, roles_claim="realm_access.roles")
    token = say(realm_access={"roles": ["auditor"]}, roles=["analyst"])
    assert verified(token, trusted).scopes == ("audit:read", "agents:read")
    assert verified(say(realm_access=["auditor"]), trusted).scopes == ()


@pytest.mark.parametrize("value", [None, 7, True, {"analyst": 1}, ["analyst", 7], [None]])
def test_roles_of_another_type_are_refused(value: object) -> None:
    why = "the claim 'roles' is neither a list of texts nor a text"
    assert reason(say(roles=value), roles=ROLES) == why


def test_without_a_map_roles_are_nothing() -> None:
    assert verified(say(roles=7), verifier(TOKENS)).scopes == ()


def test_runs_receive_the_claims_that_are_declared_and_no_others() -> None:
    trusted = verifier(
        TOKENS,
        dependencies_claims=["tenant", "org.id", "missing"],
        session_state_claims=["org", "nothing"],
    )
    claims = {"tenant": "t1", "org": {"id": 7, "tags": ["a"]}, "nothing": None, "more": "x"}
    principal = verified(say(**claims), trusted)
    assert principal.dependencies == {"tenant": "t1", "org.id": 7}
    assert principal.session_state == {"org": {"id": 7, "tags": ("a",)}}
    for received in (principal.dependencies, principal.session_state):
        assert isinstance(received, MappingProxyType)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.sampled_from(["a", "b", "a b", ""]),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.sampled_from("abc"), children)
    ),
    max_leaves=6,
)
paths = st.sampled_from(["a", "b", "a.b", "a.b.c", "c.a", "b.b", "roles", "scopes"])
texts = st.sampled_from(["a", "b", "ab", "a b", "x:y", ""])
text_lists = st.lists(texts, max_size=4)
role_maps = st.dictionaries(texts, text_lists, max_size=4)


def read(value: Any) -> Any:
    """Frozen and thawed in the simplest way."""
    return json.loads(json.dumps(value, default=dict))


def at(claims: Any, path: str) -> Any:
    """A dotted path, where no name holds a dot."""
    for name in path.split("."):
        claims = claims.get(name) if isinstance(claims, dict) else None
    return claims


@given(text_lists | texts, text_lists | texts, role_maps)
def test_no_scope_comes_from_nowhere(named: Any, roles: Any, role_map: dict[str, Any]) -> None:
    trusted = verifier(TOKENS, roles=role_map) if role_map else verifier(TOKENS)
    scopes = set(verified(say(scopes=named, roles=roles), trusted).scopes)
    own = set(named.split(" ") if isinstance(named, str) else named)
    held = {roles} if isinstance(roles, str) else set(roles)
    of_roles = {scope for role in held for scope in role_map.get(role, ())}
    assert of_roles <= scopes <= own | of_roles


@given(text_lists, text_lists, text_lists, role_maps.filter(bool))
def test_more_roles_never_take_scopes_away(
    named: list[str], few: list[str], more: list[str], role_map: dict[str, Any]
) -> None:
    trusted = verifier(TOKENS, roles=role_map)
    with_few = verified(say(scopes=named, roles=few), trusted)
    with_more = verified(say(scopes=named, roles=few + more), trusted)
    assert set(with_few.scopes) <= set(with_more.scopes)
    assert set(named) <= set(with_few.scopes)


@given(
    st.dictionaries(st.sampled_from("abc"), json_values),
    st.lists(paths, max_size=4),
    st.lists(paths, max_size=4),
)
def test_runs_never_receive_another_claim_nor_another_value(
    claims: dict[str, Any], dependencies: list[str], session_state: list[str]
) -> None:
    trusted = verifier(TOKENS, dependencies_claims=dependencies, session_state_claims=session_state)
    principal = verified(say(**claims), trusted)
    for names, received in (
        (dependencies, principal.dependencies),
        (session_state, principal.session_state),
    ):
        wanted = {name: at(claims, name) for name in names}
        assert read(received) == {n: value for n, value in wanted.items() if value is not None}


@given(st.dictionaries(st.sampled_from("abc"), json_values), paths, paths)
def test_a_path_says_the_same_of_scopes_and_roles(
    claims: dict[str, Any], scopes_claim: str, roles_claim: str
) -> None:
    trusted = verifier(
        TOKENS, scopes_claim=scopes_claim, roles_claim=roles_claim, roles={"a": ["x:a"]}
    )
    named, roles = at(claims, scopes_claim), at(claims, roles_claim)
    try:
        scopes = verified(say(**claims), trusted).scopes
    except TokenRefusedError:
        assert not (is_texts(named) and is_texts(roles))
    else:
        held = roles if isinstance(roles, list) else [roles]
        assert ("x:a" in scopes) is ("a" in held)


def is_texts(value: Any) -> bool:
    """Whether a claim is a text or a list of texts."""
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(item, str) for item in value)
    )


@pytest.mark.parametrize(
    ("act", "actors"),
    [
        (None, ()),
        ({"sub": "service"}, ("service",)),
        ({"sub": "last", "iss": "x", "act": {"sub": "first"}}, ("last", "first")),
    ],
)
def test_actors_stand_from_the_last_to_the_first(act: object, actors: tuple[str, ...]) -> None:
    assert verified(say(act=act), verifier(TOKENS)).actors == actors


def chain(length: int) -> dict[str, Any]:
    act: dict[str, Any] = {"sub": "a"}
    for _ in range(length - 1):
        act = {"sub": "a", "act": act}
    return act


@pytest.mark.parametrize(
    "act",
    [
        "service",
        ["service"],
        {},
        {"sub": ""},
        {"sub": 7},
        {"sub": "a\n"},
        {"sub": "a", "act": "b"},
        {"sub": "a", "act": {"iss": "b"}},
        chain(9),
    ],
)
def test_actors_without_a_name_are_refused(act: object) -> None:
    assert reason(say(act=act)) == "the claim 'act' is not a chain of actors"


def test_eight_actors_are_enough() -> None:
    assert len(verified(say(act=chain(8)), verifier(TOKENS)).actors) == 8
