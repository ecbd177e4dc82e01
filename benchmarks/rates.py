"""Rates of the first slice: list with a token, run, run streamed (50 tokens), each per second.

``rates.py`` measures licet. ``rates.py --peer-python .venv-compat/bin/python`` also starts AgentOS
from that environment and measures both in turn, A B A B; the last column is the median of the
rounds' ratios. Everything is on loopback; the model is a
scripted server that speaks the real protocol.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from licet.testing import TokenFactory

TOKENS = 50
CLIENTS = 32
SERVED = Path(__file__).with_name("served.py")
Call = Callable[[aiohttp.ClientSession, str, int], Awaitable[None]]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(
    command: list[str], url: str, env: dict[str, str], *, cwd: str | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server process, from the moment it answers."""
    started = subprocess.Popen(command, env={**os.environ, **env}, cwd=cwd)
    try:
        asyncio.run(answers(url, started))
        yield started
    finally:
        started.terminate()
        started.wait(20)


async def answers(url: str, started: subprocess.Popen[bytes]) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + 60
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < deadline and started.poll() is None:
            try:
                async with session.get(url) as answer:
                    await answer.read()
                    return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
    raise SystemExit(f"{url} did not answer")


async def list_agents(session: aiohttp.ClientSession, url: str, _number: int) -> None:
    """``GET /agents``."""
    async with session.get(f"{url}/agents") as answer:
        assert answer.status == 200, await answer.text()
        await answer.read()


async def run_plain(session: aiohttp.ClientSession, url: str, number: int) -> None:
    """One run, answered as JSON."""
    await run(session, url, number, stream="false", end=b'"COMPLETED"')


async def run_streamed(session: aiohttp.ClientSession, url: str, number: int) -> None:
    """One run, streamed."""
    await run(session, url, number, stream="true", end=b"RunCompleted")


async def run(
    session: aiohttp.ClientSession, url: str, number: int, *, stream: str, end: bytes
) -> None:
    """One run in a session of its own, read to its end."""
    form = {"message": "hello", "stream": stream, "session_id": f"s{number}-{time.time_ns()}"}
    async with session.post(f"{url}/agents/bench/runs", data=form) as answer:
        body = await answer.read()
    assert answer.status == 200, body
    assert end in body, body[-500:]


async def rate(call: Call, url: str, headers: dict[str, str], seconds: float) -> float:
    """Calls a second, by ``CLIENTS`` clients who each wait for their answer."""
    done = 0
    async with aiohttp.ClientSession(headers=headers) as session:
        await call(session, url, 0)
        begin = time.perf_counter()

        async def client(number: int) -> None:
            nonlocal done
            while time.perf_counter() - begin < seconds:
                await call(session, url, number)
                done += 1

        await asyncio.gather(*(client(number) for number in range(CLIENTS)))
        return done / (time.perf_counter() - begin)


def resident_mib(started: subprocess.Popen[bytes]) -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{started.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def import_seconds(python: str, package: str) -> float:
    """What importing the names of a small program takes, in a fresh interpreter; best of three."""
    code = (
        f"import time; t = time.perf_counter(); import {package}.agent, {package}.os, "
        f"{package}.models.openai, {package}.db.sqlite; print(time.perf_counter() - t)"
    )
    command = [python, "-c", code]
    return min(float(subprocess.check_output(command)) for _ in range(3))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--peer-python", help="an interpreter that has the package agno")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement")
    parser.add_argument("--rounds", type=int, default=5, help="A B A B …")
    chosen = parser.parse_args()
    tokens = TokenFactory()
    signed = tokens.token("bench", scopes=("agents:read", "agents:run"))
    headers = {"Authorization": f"Bearer {signed}"}
    model_port = free_port()
    env = {
        "BENCH_PUBLIC_KEY": tokens.public_key,
        "OPENAI_API_KEY": "sk-scripted",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{model_port}/v1",
        "AGNO_TELEMETRY": "false",
    }
    sides = {"licet": sys.executable}
    if chosen.peer_python:
        sides["agno"] = chosen.peer_python
    model = [sys.executable, "-m", "licet.testing.openai_server", "--port", str(model_port)]
    with process([*model, "--tokens", str(TOKENS)], f"http://127.0.0.1:{model_port}/_stats", {}):
        measure(sides, headers, env, seconds=chosen.seconds, rounds=chosen.rounds)


def measure(
    sides: dict[str, str],
    headers: dict[str, str],
    env: dict[str, str],
    *,
    seconds: float,
    rounds: int,
) -> None:
    """Start each side in turn, and measure it."""
    suites: dict[str, Call] = {
        "GET /agents": list_agents,
        "run": run_plain,
        "run, streamed": run_streamed,
    }
    found: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for package, python in sides.items():
            port = free_port()
            command = [python, str(SERVED), str(port), package]
            url = f"http://127.0.0.1:{port}"
            with (
                tempfile.TemporaryDirectory() as folder,
                process(command, f"{url}/health", {**env, "BENCH_FOLDER": folder}) as started,
            ):
                for name, call in suites.items():
                    figure = asyncio.run(rate(call, url, headers, seconds))
                    found.setdefault((name, package), []).append(figure)
                found.setdefault(("resident MiB", package), []).append(resident_mib(started))
    for package, python in sides.items():
        found["import s", package] = [import_seconds(python, package)]
    print(f"{'median of ' + str(rounds):18}" + "".join(f"{package:>12}" for package in sides))
    for name in [*suites, "resident MiB", "import s"]:
        columns = [found[name, package] for package in sides]
        # Each round ran both sides, one after the other: noise of the machine falls on both.
        ratios = [own / peer for own, peer in zip(*columns, strict=True)] if columns[1:] else []
        ratio = f"{statistics.median(ratios):11.1f} x" if ratios else ""
        row = "".join(f"{statistics.median(column):12.1f}" for column in columns)
        print(f"{name:18}{row}{ratio}")


if __name__ == "__main__":
    main()
