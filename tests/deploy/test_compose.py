"""The compose file is of the compose specification, and gives away no more than is needed."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

from licet.secret_variables import FILE_SUFFIX
from tests.deploy.parts import DEPLOY, SECRETS_FOLDER, read_yaml, seconds_to_end

FOLDER = DEPLOY / "compose"
FILE = read_yaml(FOLDER / "compose.yaml")
SERVICES: dict[str, dict[str, Any]] = FILE["services"]


def schema() -> Any:
    """The specification's schema, as check-jsonschema carries it."""
    folder = files("check_jsonschema") / "builtin_schemas" / "vendor"
    return json.loads((folder / "compose-spec.json").read_text())


def test_it_is_of_the_compose_specification() -> None:
    jsonschema.validate(FILE, schema())


def test_what_is_not_of_the_specification_is_found() -> None:
    wrong = {**FILE, "services": {"licet": {**SERVICES["licet"], "readonly": True}}}
    with pytest.raises(jsonschema.ValidationError, match="readonly"):
        jsonschema.validate(wrong, schema())


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_no_rights_that_it_does_not_need(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"].split(":")[0] not in {"root", "0"}
    assert all(mount.split(":")[0] in {"/tmp", "/run/postgresql"} for mount in service["tmpfs"])  # noqa: S108 - a place in a container


def test_secrets_are_files_and_stand_nowhere_in_it() -> None:
    text = (FOLDER / "compose.yaml").read_text()
    for service in SERVICES.values():
        for name, value in service["environment"].items():
            if name.endswith(FILE_SUFFIX):
                assert value in [f"{SECRETS_FOLDER}/{secret}" for secret in service["secrets"]]
    assert not re.search(r"PASSWORD: |API_KEY: |DATABASE_URL: |KEY: ", text)
    assert set(FILE["secrets"]) == {s for service in SERVICES.values() for s in service["secrets"]}


@pytest.mark.parametrize("name", FILE["configs"])
def test_the_files_that_it_hands_over_are_there(name: str) -> None:
    assert (FOLDER / FILE["configs"][name]["file"]).is_file()


def test_its_secrets_are_kept_out_of_git() -> None:
    assert "/deploy/compose/secrets/" in (DEPLOY.parent / ".gitignore").read_text().splitlines()
    assert {secret["file"].split("/")[0] for secret in FILE["secrets"].values()} == {"secrets"}


def test_a_server_may_end_in_its_own_time() -> None:
    assert int(SERVICES["licet"]["stop_grace_period"].removesuffix("s")) > seconds_to_end()


def test_postgresql_is_reached_by_its_own_network_alone_and_by_password() -> None:
    postgres = SERVICES["postgres"]
    assert "ports" not in postgres
    assert [FILE["networks"][name] for name in postgres["networks"]] == [{"internal": True}]
    assert postgres["environment"]["POSTGRES_HOST_AUTH_METHOD"] == "scram-sha-256"
    assert "healthcheck" in postgres
    assert SERVICES["licet"]["depends_on"]["postgres"]["condition"] == "service_healthy"


def test_the_server_is_reached_from_this_machine_alone() -> None:
    (ports,) = SERVICES["licet"]["ports"]
    assert re.fullmatch(r"127\.0\.0\.1:7777-7778:7777", ports)
    assert SERVICES["licet"]["deploy"]["replicas"] == 2
