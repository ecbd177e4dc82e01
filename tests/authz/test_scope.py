from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.authz.families import DEFAULT_FAMILIES
from licet.authz.scope import AdminScope, Scope, UnusableScope, parse_scope
from tests.authz.strategies import identifiers, scope_texts, scopes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("agents:read", Scope("agents", "read")),
        ("agents:*:read", Scope("agents", "read")),
        ("agents:web:run", Scope("agents", "run", "web")),
        ("sessions:a b.c-d_e@f:delete", Scope("sessions", "delete", "a b.c-d_e@f")),
        ("config:write", Scope("config", "write")),
        ("system:read", Scope("config", "read")),
        ("agent_os:admin", AdminScope()),
    ],
)
def test_usable_scopes(text: str, expected: Scope | AdminScope) -> None:
    assert parse_scope(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not of the form"),
        ("agents", "not of the form"),
        ("*", "not of the form"),
        ("agents:a:b:read", "not of the form"),
        (":", "there is no resource ''"),
        ("*:read", "there is no resource '*'"),
        ("*:*:read", "there is no resource '*'"),
        ("unicorns:read", "there is no resource 'unicorns'"),
        ("Agents:read", "there is no resource 'Agents'"),
        (" agents:read", "there is no resource ' agents'"),
        ("agent_os:admin ", "there is no resource 'agent_os'"),
        ("AGENT_OS:ADMIN", "there is no resource 'AGENT_OS'"),
        ("agents:", "agents has no action ''; there are: delete, read, run, write"),
        ("agents:*", "agents has no action '*'"),
        ("agents:Read", "agents has no action 'Read'"),
        ("agents:read ", "agents has no action 'read '"),
        ("sessions:run", "sessions has no action 'run'"),
        ("traces:write", "traces has no action 'write'"),
        ("config:x:read", "config has no ids; use config:read"),
        ("system:*:read", "config has no ids; use config:read"),
        ("agents::read", "'' is no id"),
        ("agents:a*:read", "'a*' is no id"),
        ("agents:**:read", "'**' is no id"),
        ("agents:a/b:read", "'a/b' is no id"),
        ("agents: a:read", "' a' is no id"),
        ("agents:a :read", "'a ' is no id"),
        ("agents:a\n:read", r"'a\n' is no id"),
        ("agents:a\x00b:read", r"'a\x00b' is no id"),
        ("agents:a\u200bb:read", r"'a\u200bb' is no id"),
    ],
)
def test_unusable_scopes_say_why(text: str, reason: str) -> None:
    parsed = parse_scope(text)
    assert isinstance(parsed, UnusableScope)
    assert parsed.text == text
    assert reason in parsed.reason


def test_the_administrators_scope_can_have_another_name() -> None:
    assert parse_scope("root", admin_scope="root") == AdminScope()
    assert isinstance(parse_scope("agent_os:admin", admin_scope="root"), UnusableScope)


@pytest.mark.parametrize("text", ["", "agent_os:admin"])
def test_an_empty_name_makes_nobody_the_administrator(text: str) -> None:
    assert isinstance(parse_scope(text, admin_scope=""), UnusableScope)


def test_families_of_ones_own_are_known_where_they_are_given() -> None:
    families = DEFAULT_FAMILIES.with_action("reports", "read")
    assert parse_scope("reports:7:read", families=families) == Scope("reports", "read", "7")
    assert isinstance(parse_scope("reports:7:read"), UnusableScope)


@given(scopes())
def test_a_scope_reads_back_what_it_writes(scope: Scope) -> None:
    assert parse_scope(str(scope)) == scope


@given(st.sampled_from(["read", "write", "delete"]), identifiers())
def test_an_id_is_taken_as_it_is_written(action: str, identifier: str) -> None:
    assert parse_scope(f"sessions:{identifier}:{action}") == Scope("sessions", action, identifier)


@given(st.text() | scope_texts())
def test_any_text_is_parsed_and_nothing_but_the_name_is_the_administrator(text: str) -> None:
    parsed = parse_scope(text)
    assert isinstance(parsed, AdminScope) is (text == "agent_os:admin")
