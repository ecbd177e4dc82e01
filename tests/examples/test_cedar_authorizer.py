"""The Cedar example, served as its own text says, and asked over a real socket."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from licet.testing import TokenFactory
from tests.support.openai import scripted_openai
from tests.support.process import Process, free_port, running

EXAMPLE = Path(__file__).parents[2] / "examples" / "cedar_authorizer.py"
TOKENS = TokenFactory()
MAY = ("agents:read", "agents:run")


@dataclass(frozen=True)
class Served:
    """The example, and what it has logged so far."""

    url: str
    process: Process

    def run(self, agent: str, *scopes: str, subject: str = "uma", **claims: Any) -> httpx.Response:
        """Run an agent."""
        return httpx.post(
            f"{self.url}/agents/{agent}/runs",
            headers=self._bearer(subject, scopes, claims),
            files={"message": (None, "What is a key?"), "stream": (None, "false")},
        )

    def get(self, path: str, *scopes: str, subject: str = "uma", **claims: Any) -> httpx.Response:
        """Read something."""
        return httpx.get(f"{self.url}{path}", headers=self._bearer(subject, scopes, claims))

    def _bearer(
        self, subject: str, scopes: tuple[str, ...], claims: dict[str, Any]
    ) -> dict[str, str]:
        return {"Authorization": f"Bearer {TOKENS.token(subject, scopes=scopes, **claims)}"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    port = free_port()
    command = [sys.executable, "-m", "licet", "serve", f"{EXAMPLE}:app", "--port", str(port)]
    with scripted_openai({"otherwise": {"text": "It opens what is locked."}}) as model_url:
        env = {
            "JWT_VERIFICATION_KEY": TOKENS.public_key,
            "OPENAI_API_KEY": "sk-scripted",
            "OPENAI_BASE_URL": f"{model_url}/v1",
        }
        with running(command, cwd=tmp_path_factory.mktemp("cedar"), env=env) as process:
            url = f"http://127.0.0.1:{port}"
            process.wait_until_serving(f"{url}/health")
            yield Served(url, process)


def test_what_a_scope_and_a_policy_permit_is_done(served: Served) -> None:
    for answer in (
        served.run("support", *MAY),
        served.run("payroll", *MAY, department="finance"),
        served.run("payroll", "agent_os:admin"),
    ):
        assert answer.status_code == 200, answer.text
        assert answer.json()["content"] == "It opens what is locked."


def test_a_scope_without_a_policy_is_not_enough_and_only_the_log_says_why(served: Served) -> None:
    answer = served.run("payroll", *MAY, subject="una", department="sales")
    assert answer.status_code == 403
    assert answer.json() == {"detail": "Access denied"}
    assert "www-authenticate" not in answer.headers
    served.process.wait_for(
        lambda: "no policy permits it" in served.process.output, what="the reason in the log"
    )


def test_a_policy_without_a_scope_is_not_enough(served: Served) -> None:
    answer = served.run("payroll", "agents:support:run", department="finance")
    assert answer.status_code == 403
    assert answer.headers["www-authenticate"].endswith('scope="agents:run"')


@pytest.mark.parametrize("scopes", [MAY, ("agent_os:admin",)], ids=["user", "administrator"])
def test_what_one_policy_forbids_no_other_permits(served: Served, scopes: tuple[str, ...]) -> None:
    for agent in ("support", "payroll"):
        answer = served.run(agent, *scopes, department="finance", leaving=True)
        assert (answer.status_code, answer.json()["detail"]) == (403, "Access denied")
    assert served.get("/agents/support", *scopes, leaving=True).status_code == 200


@pytest.mark.parametrize(
    "claims",
    [
        {"leaving": "yes"},
        {"leaving": 1.5},
        {"leaving": {"__entity": {"type": "Caller", "id": "default|ada"}}},
        {"department": ["finance", 1]},
        {"department": 10**30},
    ],
    ids=repr,
)
def test_what_cedar_cannot_evaluate_is_denied_and_unavailable(
    served: Served, claims: dict[str, Any]
) -> None:
    for scopes in (MAY, ("agent_os:admin",)):
        answer = served.run("support", *scopes, subject="eve", **claims)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert answer.json() == {"detail": "The decision could not be made; nothing was done"}
    sessions = served.get("/sessions", "sessions:read", subject="eve").json()["data"]
    assert sessions == []


def test_a_list_shows_what_policies_permit(served: Served) -> None:
    def shown(*scopes: str, **claims: Any) -> list[str]:
        answer = served.get("/agents", *scopes, **claims)
        assert answer.status_code == 200
        return [agent["id"] for agent in answer.json()]

    assert shown(*MAY) == ["support"]
    assert shown(*MAY, department=["finance"]) == ["support"]
    assert shown(*MAY, department="finance") == ["support", "payroll"]
    assert shown("agents:payroll:read", department="finance") == ["payroll"]
    assert shown("agent_os:admin") == ["support", "payroll"]


def test_a_route_that_no_policy_names_is_closed(served: Served) -> None:
    assert served.get("/config", "config:read").status_code == 403
    assert served.get("/config", "agent_os:admin").status_code == 200


@pytest.mark.parametrize(
    "agent",
    ['payroll", principal', "support%22", "%22)%3B%20permit(principal%2Caction%2Cresource)%3B//"],
)
def test_an_id_stays_an_id_whatever_it_holds(served: Served, agent: str) -> None:
    assert served.get(f"/agents/{agent}", *MAY).status_code in {403, 404}
    assert served.get("/agents/payroll", *MAY).status_code == 403


def test_policies_that_cannot_be_read_refuse_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JWT_VERIFICATION_KEY", TOKENS.public_key)
    authorizer = runpy.run_path(str(EXAMPLE))["CedarAuthorizer"]
    with pytest.raises(ValueError, match="permit"):
        authorizer("permits (principal, action, resource);")
