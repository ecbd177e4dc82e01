from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.authz.families import DEFAULT_FAMILIES
from licet.authz.grants import Grants, Reach, compile_grants
from licet.authz.scope import AdminScope, Scope, UnusableScope, parse_scope
from tests.authz.strategies import IDS, PAIRS, scope_texts

ADMIN = "agent_os:admin"
many_scopes = st.lists(scope_texts(), max_size=6).map(tuple)
questions = st.tuples(st.sampled_from(PAIRS), st.none() | st.sampled_from(IDS))


@pytest.mark.parametrize(
    ("scopes", "question", "permitted"),
    [
        ((), ("agents", "read"), False),
        (("agents:read",), ("agents", "read"), True),
        (("agents:read",), ("agents", "read", "a"), True),
        (("agents:read",), ("agents", "run"), False),
        (("agents:write",), ("agents", "read"), False),
        (("agents:read",), ("teams", "read"), False),
        (("agents:*:run",), ("agents", "run"), True),
        (("agents:*:run",), ("agents", "run", "a"), True),
        (("agents:a:run",), ("agents", "run", "a"), True),
        (("agents:a:run",), ("agents", "run", "b"), False),
        (("agents:a:run",), ("agents", "run", "A"), False),
        (("agents:a:run",), ("agents", "run"), False),
        (("agents:a:run",), ("agents", "run", ""), False),
        (("agents:a:run", "agents:b:run"), ("agents", "run", "b"), True),
        (("agents:a:run", "agents:run"), ("agents", "run", "z"), True),
        (("agents:run", "agents:a:run"), ("agents", "run", "z"), True),
        (("agents:a*:run",), ("agents", "run", "ab"), False),
        (("system:read",), ("config", "read"), True),
        (("system:read",), ("system", "read"), True),
        (("config:read",), ("system", "read"), True),
        (("config:read",), ("system", "write"), False),
        ((ADMIN,), ("agents", "run"), True),
        ((ADMIN,), ("unicorns", "ride", "x"), True),
        (("agent_os:*",), ("agents", "run"), False),
        (("",), ("agents", "run"), False),
    ],
)
def test_what_scopes_permit(
    scopes: tuple[str, ...],
    question: tuple[str, str] | tuple[str, str, str],
    *,
    permitted: bool,
) -> None:
    assert compile_grants(scopes).permits(*question) is permitted


def test_how_far_a_permission_goes() -> None:
    grants = compile_grants(("agents:a:read", "agents:b:read", "teams:read"))
    assert grants.reach("agents", "read") == Reach(frozenset(("a", "b")))
    assert grants.reach("teams", "read") is Reach.ALL
    assert grants.reach("agents", "run") is Reach.NONE
    assert compile_grants((ADMIN,)).reach("agents", "run") is Reach.ALL


@pytest.mark.parametrize(
    ("reach", "is_all", "is_none", "has_a"),
    [
        (Reach.ALL, True, False, True),
        (Reach.NONE, False, True, False),
        (Reach(frozenset("ab")), False, False, True),
        (Reach(frozenset("bc")), False, False, False),
    ],
)
def test_a_reach_is_all_or_none_or_some(
    reach: Reach, *, is_all: bool, is_none: bool, has_a: bool
) -> None:
    assert (reach.is_all, reach.is_none, "a" in reach) == (is_all, is_none, has_a)


def test_no_grants_permit_nothing() -> None:
    nothing = Grants()
    assert not nothing.is_admin
    assert not any(nothing.permits(*pair) for pair in PAIRS)


def test_unusable_scopes_are_kept_with_their_reasons() -> None:
    grants = compile_grants(("agents:read", "agents:fly", "nonsense"))
    assert [scope.text for scope in grants.unusable] == ["agents:fly", "nonsense"]
    assert all(scope.reason for scope in grants.unusable)


def test_callers_with_the_same_scopes_share_their_grants() -> None:
    scopes = ["teams:read", "agents:read"]
    one, two = (compile_grants(tuple(scopes)) for _ in range(2))
    assert one is two
    families = DEFAULT_FAMILIES.with_action("reports", "read")
    assert compile_grants(tuple(scopes), families=families) is not one


def test_the_same_scopes_mean_what_each_server_says() -> None:
    scopes = ("reports:read", "root")
    families = DEFAULT_FAMILIES.with_action("reports", "read")
    assert compile_grants(scopes, families=families).permits("reports", "read")
    assert not compile_grants(scopes).permits("reports", "read")
    assert compile_grants(scopes, admin_scope="root").is_admin
    assert not compile_grants(scopes).is_admin


def test_grants_cannot_be_changed() -> None:
    grants = compile_grants(("teams:read",))
    with pytest.raises(TypeError):
        grants.reaches["agents", "run"] = Reach.ALL  # type: ignore[index] # that it is refused is the test


@given(many_scopes, scope_texts(), questions)
def test_another_scope_takes_nothing_away(
    scopes: tuple[str, ...], more: str, question: tuple[tuple[str, str], str | None]
) -> None:
    (resource, action), identifier = question
    before = compile_grants(scopes).permits(resource, action, identifier)
    after = compile_grants((*scopes, more)).permits(resource, action, identifier)
    assert after or not before


@given(many_scopes, st.data(), questions)
def test_order_and_repetition_do_not_matter(
    scopes: tuple[str, ...],
    data: st.DataObject,
    question: tuple[tuple[str, str], str | None],
) -> None:
    (resource, action), identifier = question
    shuffled = tuple(data.draw(st.permutations(scopes * 2)))
    answers = {
        compile_grants(each).permits(resource, action, identifier) for each in (scopes, shuffled)
    }
    assert len(answers) == 1


@given(many_scopes, questions)
def test_who_may_with_all_may_with_each(
    scopes: tuple[str, ...], question: tuple[tuple[str, str], str | None]
) -> None:
    (resource, action), identifier = question
    grants = compile_grants(scopes)
    if grants.permits(resource, action):
        assert grants.permits(resource, action, identifier)
    if identifier:
        one = compile_grants((*scopes, f"{resource}:{identifier}:{action}"))
        every = compile_grants((*scopes, f"{resource}:*:{action}", f"{resource}:{action}"))
        assert every.permits(resource, action, identifier)
        assert every.permits(resource, action, identifier) >= one.permits(
            resource, action, identifier
        )


@given(many_scopes, questions)
def test_the_administrator_may_everything(
    scopes: tuple[str, ...], question: tuple[tuple[str, str], str | None]
) -> None:
    (resource, action), identifier = question
    assert compile_grants((*scopes, ADMIN)).permits(resource, action, identifier)


@given(many_scopes, questions)
def test_nothing_is_permitted_that_no_scope_says(
    scopes: tuple[str, ...], question: tuple[tuple[str, str], str | None]
) -> None:
    """The grants, worked out a second time in the plainest way."""
    (resource, action), identifier = question
    parsed = [parse_scope(text) for text in scopes]
    said = any(
        isinstance(scope, AdminScope)
        or (
            isinstance(scope, Scope)
            and (scope.resource, scope.action) == (resource, action)
            and (scope.identifier is None or scope.identifier == identifier)
        )
        for scope in parsed
    )
    grants = compile_grants(scopes)
    assert grants.permits(resource, action, identifier) is said
    assert list(grants.unusable) == [s for s in parsed if isinstance(s, UnusableScope)]


@given(many_scopes, questions)
def test_reach_and_permission_agree(
    scopes: tuple[str, ...], question: tuple[tuple[str, str], str | None]
) -> None:
    (resource, action), identifier = question
    grants = compile_grants(scopes)
    reach = grants.reach(resource, action)
    assert grants.permits(resource, action) is reach.is_all
    if identifier is not None:
        assert grants.permits(resource, action, identifier) is (identifier in reach)
    if reach.is_none:
        assert not grants.permits(resource, action, identifier)
