"""The manifests are of Kubernetes' own schemas, and ask for no more than is needed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped] # it has no types
import pytest

from licet.audit.signing import load_signer
from licet.authn.keys import ALGORITHMS, load_key
from licet.db.postgres import PostgresDb
from licet.errors import ConfigurationError
from licet.models.openai.endpoint import EndpointSettings
from tests.deploy.parts import DEPLOY, read_yaml, seconds_to_end

FOLDER = DEPLOY / "kubernetes"
EXAMPLE = FOLDER / "secret.yaml.example"
APPLIED = sorted(FOLDER.glob("*.yaml"))
DOCUMENTS: dict[str, Any] = {file.name: read_yaml(file) for file in [*APPLIED, EXAMPLE]}
# The oldest whose preStop knows `sleep` without being asked to, and the newest there is.
VERSIONS = ("1.30", kubernetes_validate.latest_version())
DEPLOYMENT = DOCUMENTS["deployment.yaml"]["spec"]
POD = DEPLOYMENT["template"]["spec"]
(SERVER,) = POD["containers"]
LABELS = DEPLOYMENT["template"]["metadata"]["labels"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_manifest_is_of_the_schema(name: str, version: str) -> None:
    kubernetes_validate.validate(DOCUMENTS[name], version, strict=True)


def test_what_is_not_of_the_schema_is_found() -> None:
    wrong = {**DOCUMENTS["service.yaml"], "spec": {"prots": []}}
    with pytest.raises(kubernetes_validate.ValidationError, match="prots"):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_all_is_in_one_namespace_that_is_made_first() -> None:
    first = DOCUMENTS[APPLIED[0].name]
    assert first["kind"] == "Namespace"
    others = [document for document in DOCUMENTS.values() if document is not first]
    assert {d["metadata"]["namespace"] for d in others} == {first["metadata"]["name"]}


def test_a_container_has_no_rights_that_it_does_not_need() -> None:
    of_pod, own = POD["securityContext"], SERVER["securityContext"]
    assert of_pod["runAsNonRoot"] is True
    assert of_pod["runAsUser"] > 0
    assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own["readOnlyRootFilesystem"] is True
    assert own["allowPrivilegeEscalation"] is False
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert POD["automountServiceAccountToken"] is False
    writable = [m["mountPath"] for m in SERVER["volumeMounts"] if not m.get("readOnly")]
    assert writable == ["/tmp"]  # noqa: S108 - a place in a container


def test_its_user_is_that_of_the_image() -> None:
    user = f"{POD['securityContext']['runAsUser']}:{POD['securityContext']['runAsGroup']}"
    assert f"USER {user}" in (DEPLOY / "Dockerfile").read_text()


def test_no_replica_is_missed_in_an_upgrade() -> None:
    assert DEPLOYMENT["replicas"] == 3
    assert DEPLOYMENT["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert DOCUMENTS["disruption-budget.yaml"]["spec"]["maxUnavailable"] == 1


def test_the_probes_ask_what_is_there_to_be_asked() -> None:
    paths = {kind: SERVER[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness")}
    assert set(paths.values()) == {"/health/live"}
    assert SERVER["readinessProbe"]["httpGet"]["path"] == "/health/ready"


def test_a_server_may_end_in_its_own_time() -> None:
    away_seconds = SERVER["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert POD["terminationGracePeriodSeconds"] > away_seconds + seconds_to_end()


@pytest.mark.parametrize("name", ["service.yaml", "disruption-budget.yaml", "network-policy.yaml"])
def test_what_selects_pods_finds_these(name: str) -> None:
    spec = DOCUMENTS[name]["spec"]
    found = spec.get("podSelector") or spec["selector"]
    assert found.get("matchLabels", found) == LABELS == DEPLOYMENT["selector"]["matchLabels"]


def test_the_program_is_that_of_deploy() -> None:
    config = DOCUMENTS["app.yaml"]
    assert config["data"]["app.py"] == (DEPLOY / "app.py").read_text()
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    assert volumes["app"]["configMap"]["name"] == config["metadata"]["name"]
    assert config["immutable"] is True


def test_each_secret_is_a_file_that_the_example_names() -> None:
    known = {variable["name"]: Path(variable["value"]) for variable in SERVER["env"]}
    assert all(name.endswith("_FILE") for name in known)
    (mount,) = [m for m in SERVER["volumeMounts"] if m["name"] == "secrets"]
    assert {str(path.parent) for path in known.values()} == {mount["mountPath"]}
    assert {path.name for path in known.values()} == set(DOCUMENTS[EXAMPLE.name]["stringData"])


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("database_url", PostgresDb),
        ("jwt_verification_key", partial(load_key, allowed=ALGORITHMS)),
        ("licet_audit_key", load_signer),
        ("openai_api_key", lambda key: EndpointSettings(provider="-", api_key=key).resolve()),
    ],
)
def test_no_value_of_the_example_works(name: str, use: Any) -> None:
    with pytest.raises(ConfigurationError):
        use(DOCUMENTS[EXAMPLE.name]["stringData"][name])


def test_kubectl_passes_the_example_over() -> None:
    assert EXAMPLE.suffix not in {".yaml", ".yml", ".json"}
