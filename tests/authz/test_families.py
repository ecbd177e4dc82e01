from __future__ import annotations

import pytest

from licet.authz.families import DEFAULT_FAMILIES
from licet.errors import ConfigurationError


def test_the_table_of_licets_own_families() -> None:
    read_write_delete = {"read", "write", "delete"}
    table = {
        name: (set(family.actions), family.has_ids)
        for name, family in DEFAULT_FAMILIES.known.items()
    }
    assert table == {
        "agents": ({"read", "run", "write", "delete"}, True),
        "teams": ({"read", "run", "write", "delete"}, True),
        "workflows": ({"read", "run", "write", "delete"}, True),
        "sessions": (read_write_delete, True),
        "memories": (read_write_delete, True),
        "knowledge": (read_write_delete, True),
        "traces": ({"read"}, True),
        "approvals": (read_write_delete, True),
        "schedules": (read_write_delete, True),
        "service_accounts": (read_write_delete, True),
        "revocations": (read_write_delete, False),
        "audit": ({"read"}, False),
        "authz": ({"explain"}, False),
        "config": ({"read", "write"}, False),
        "telemetry": ({"read"}, False),
        "metrics": ({"read", "write"}, False),
    }


def test_system_is_another_name_of_config() -> None:
    assert DEFAULT_FAMILIES.resolve("system") == "config"
    assert DEFAULT_FAMILIES.resolve("agents") == "agents"
    assert DEFAULT_FAMILIES.resolve("unknown") == "unknown"


def test_a_family_can_be_added_without_changing_the_table() -> None:
    families = DEFAULT_FAMILIES.with_family("reports", ["read", "export"], has_ids=False)
    assert families.known["reports"].actions == {"read", "export"}
    assert not families.known["reports"].has_ids
    assert set(families.known) - set(DEFAULT_FAMILIES.known) == {"reports"}
    assert families.resolve("system") == "config"
    assert DEFAULT_FAMILIES.with_family("reports", ["read"]).known["reports"].has_ids


@pytest.mark.parametrize("name", ["agents", "system"])
def test_a_family_that_exists_is_not_replaced(name: str) -> None:
    with pytest.raises(ConfigurationError, match="exists"):
        DEFAULT_FAMILIES.with_family(name, ["read"])


def test_an_action_can_be_added_to_a_family_old_or_new() -> None:
    families = DEFAULT_FAMILIES.with_action("metrics", "export").with_action("reports", "read")
    assert families.known["metrics"].actions == {"read", "write", "export"}
    assert not families.known["metrics"].has_ids
    assert families.known["reports"].actions == {"read"}
    assert families.known["reports"].has_ids
    assert families.with_action("system", "x").known["config"].actions == {"read", "write", "x"}
    assert "reports" not in DEFAULT_FAMILIES.known


@pytest.mark.parametrize("name", ["", "a:b", "*", "a/b", "a b", "a\n", "ä", "{id}"])
def test_names_that_cannot_stand_in_a_scope_are_refused(name: str) -> None:
    for wrong in ((name, "read"), ("reports", name)):
        with pytest.raises(ConfigurationError, match="cannot stand in a scope"):
            DEFAULT_FAMILIES.with_action(*wrong)
    with pytest.raises(ConfigurationError, match="cannot stand in a scope"):
        DEFAULT_FAMILIES.with_family(name, [])


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        DEFAULT_FAMILIES.known["x"] = DEFAULT_FAMILIES.known["agents"]  # type: ignore[index] # that it is refused is the test
