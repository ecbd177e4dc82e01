from __future__ import annotations

import httpx
import pytest

from licet.os.observer import Load
from licet.telemetry.meters import Meters
from licet.telemetry.providers import Providers, resource
from licet.testing import Say, ScriptedModel
from tests.support.durable_place import wait_for
from tests.support.live import serve
from tests.support.streams import Hold
from tests.support.world import OWNER, World
from tests.telemetry.conftest import Observed


def lines(text: str, name: str) -> dict[str, float]:
    """The series of a metric in an exposition: labels and value."""
    found = [line for line in text.splitlines() if line.startswith(f"{name}{{")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in found}


def scraped(client: httpx.Client, world: World) -> str:
    """What Prometheus gets."""
    answer = client.get("/telemetry/metrics", headers=world.bearer("prom", "telemetry:read"))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return answer.text


def test_prometheus_reads_what_is_under_way_in_the_process_that_answers(
    observed: Observed,
) -> None:
    hold = Hold()
    observed.world.model = ScriptedModel([Say("one two", hold=hold, hold_after=1)])
    with observed.served() as client:
        headers = observed.world.bearer(OWNER, "agents:run")
        data = {"message": "hi", "stream": "true"}
        with client.stream("POST", "/agents/alpha/runs", data=data, headers=headers) as answer:
            pieces = answer.iter_lines()
            assert any("RunContent" in line for line in pieces)
            text = scraped(client, observed.world)
            hold.opened.set()
            assert any("RunCompleted" in line for line in pieces)

        def values(text: str) -> list[float]:
            names = ("licet_runs_at_work", "licet_streams_open")
            return [value for name in names for value in lines(text, name).values()]

        assert values(text) == [1, 1]
        # The client has heard of the end before the server is done with the answer.
        wait_for(lambda: values(scraped(client, observed.world)) == [0, 0], "the end of it all")
        after = scraped(client, observed.world)
    assert list(lines(text, "licet_runs_waiting").values()) == [0]
    (series,) = lines(after, "licet_runs_total")
    assert 'gen_ai_agent_id="alpha"' in series
    assert 'licet_run_status="COMPLETED"' in series
    assert 'service_instance_id="' in series
    assert 'licet_decision="allow"' in "".join(lines(after, "licet_decisions_total"))


def test_no_series_names_a_user_a_session_or_a_path(observed: Observed) -> None:
    observed.world.seed()
    with observed.served() as client:
        headers = observed.world.bearer(OWNER, "sessions:read")
        client.get("/sessions/s1?limit=1", headers=headers)
        client.get("/nothing/sten", headers=headers)
        text = scraped(client, observed.world)
    assert 'http_route="/sessions/{session_id}"' in text
    for word in (OWNER, '"s1"', "/sessions/s1", "sten", "prom"):
        assert word not in text


def test_a_server_without_telemetry_keeps_no_numbers() -> None:
    world = World()
    with serve(world.agent_os().get_app()) as server:
        url = f"{server.url}/telemetry/metrics"
        answer = httpx.get(url, headers=world.admin())
    assert answer.status_code == 404
    assert "AgentOS(telemetry=Telemetry())" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("load", "told"),
    [
        (None, []),
        (
            Load(runs_at_work=2, runs_waiting=None, open_streams=3),
            [("licet_runs_at_work", 2), ("licet_streams_open", 3)],
        ),
        (
            Load(runs_at_work=0, runs_waiting=5, open_streams=0),
            [("licet_runs_at_work", 0), ("licet_runs_waiting", 5), ("licet_streams_open", 0)],
        ),
    ],
    ids=["not serving", "nobody has looked", "known"],
)
def test_what_is_not_known_is_not_told(load: Load | None, told: list[tuple[str, float]]) -> None:
    providers = Providers(resource("parcels", "1"))
    Meters(providers.meters).observe_load(lambda: load)
    text = providers.prometheus.exposition().content.decode()
    names = ("licet_runs_at_work", "licet_runs_waiting", "licet_streams_open")
    found = [(name, value) for name in names for value in lines(text, name).values()]
    assert found == told
