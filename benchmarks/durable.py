"""What durability costs: a durable run beside the same run in the foreground, A B A B.

One server process with SQLite and a scripted model on loopback that answers at once. A run without
tools has one step, one with three tools seven. What a step costs is a sixth of what the longer run
costs more than the shorter; what a run costs beside its steps is the rest. At last the thousandth
run of a session is set beside its tenth.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx

from benchmarks.rates import free_port, process
from tests.support.openai import scripted_openai

PROGRAM = """
from licet.agent import Agent
from licet.db.sqlite import SqliteDb
from licet.models.openai import OpenAIChat
from licet.os import AgentOS


def step(number: int) -> str:
    "A step that costs nothing."
    return "done"


def agent(name: str, **more: object) -> Agent:
    model = OpenAIChat(id="scripted", base_url={model!r}, api_key="none")
    return Agent(id=name, model=model, tools=[step], add_history_to_context=True, **more)


agent_os = AgentOS(
    id="bench-os",
    agents=[agent("plain"), agent("durable", durable=True)],
    db=SqliteDb(db_file="bench.db"),
)
app = agent_os.get_app()
"""
STEPS_MORE = 6
MOST_RUN_MS, MOST_STEP_MS, MOST_GROWTH = 30.0, 10.0, 1.15
SCRIPT = {
    "rules": [
        {
            "match": "tools",
            "answers": [
                *(
                    {"tool_calls": [{"name": "step", "arguments": {"number": number}}]}
                    for number in range(3)
                ),
                {"text": "done"},
            ],
        },
        {"match": "plain", "answers": [{"text": "done"}]},
    ]
}


def milliseconds(client: httpx.Client, agent: str, message: str, session_id: str = "") -> float:
    """One run, from the request to its answer."""
    form = {"message": message, "stream": "false", "session_id": session_id}
    began = time.perf_counter()
    answer = client.post(f"/agents/{agent}/runs", data=form)
    took = (time.perf_counter() - began) * 1000
    assert answer.json()["status"] == "COMPLETED", answer.text
    return took


def overheads(client: httpx.Client, rounds: int) -> dict[str, float]:
    """What a durable run takes longer than one in the foreground, by message; medians."""
    more: dict[str, list[float]] = {"plain": [], "tools": []}
    for _ in range(rounds):
        for message, found in more.items():
            plain = milliseconds(client, "plain", message)
            found.append(milliseconds(client, "durable", message) - plain)
    return {message: statistics.median(found) for message, found in more.items()}


def growth(client: httpx.Client, agent: str, runs: int) -> float:
    """The last runs of a long session beside its first: medians of twenty each."""
    took = [milliseconds(client, agent, "plain", f"long-{agent}") for _ in range(runs)]
    return statistics.median(took[-20:]) / statistics.median(took[10:30])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=60, help="A B A B …")
    parser.add_argument("--runs", type=int, default=1000, help="in the long session")
    chosen = parser.parse_args()
    port = free_port()
    with tempfile.TemporaryDirectory() as folder, scripted_openai(SCRIPT) as model:
        Path(folder, "program.py").write_text(PROGRAM.format(model=f"{model}/v1"))
        command = [
            *(sys.executable, "-m", "uvicorn", "program:app", "--port", str(port)),
            *("--app-dir", folder, "--log-level", "warning", "--no-access-log"),
        ]
        url = f"http://127.0.0.1:{port}"
        with (
            process(command, f"{url}/health", {}, cwd=folder),
            httpx.Client(base_url=url, timeout=60) as client,
        ):
            for message in ("plain", "tools") * 5:
                milliseconds(client, "durable", message)
            more = overheads(client, chosen.rounds)
            grown = {agent: growth(client, agent, chosen.runs) for agent in ("plain", "durable")}
    step_ms = (more["tools"] - more["plain"]) / STEPS_MORE
    run_ms = more["plain"] - step_ms
    print(f"a durable run {run_ms:6.1f} ms more (at most {MOST_RUN_MS:g} wanted)")
    print(f"each step     {step_ms:6.1f} ms more (at most {MOST_STEP_MS:g} wanted)")
    for agent, ratio in grown.items():
        print(f"run {chosen.runs} beside run 10, {agent:8} {ratio:5.2f} (at most {MOST_GROWTH})")
    print(json.dumps({"run_ms": run_ms, "step_ms": step_ms, "growth": grown}))
    assert run_ms <= MOST_RUN_MS, run_ms
    assert step_ms <= MOST_STEP_MS, step_ms
    assert max(grown.values()) <= MOST_GROWTH, grown


if __name__ == "__main__":
    main()
