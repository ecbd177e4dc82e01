from __future__ import annotations

import asyncio
import logging

import pytest
from fastapi import FastAPI

from licet.agent.output import RunInput
from licet.agent.run_request import RunRequest
from licet.os.observer import Load
from licet.telemetry import observer as module
from licet.telemetry.observer import OpenTelemetryObserver
from licet.telemetry.providers import Providers, resource
from licet.testing import ScriptedModel
from tests.telemetry.conftest import Observed


def looking_on(observed: Observed) -> OpenTelemetryObserver:
    providers = Providers(resource("parcels", "1"), span_exporters=[observed.spans])
    return OpenTelemetryObserver(providers, trust_trace_context=False)


async def nothing_new() -> None:
    """There is nothing to learn."""


async def test_a_run_of_another_process_stands_below_the_span_that_it_brings(
    observed: Observed,
) -> None:
    here = looking_on(observed)
    agent = type("Agent", (), {"id": "alpha", "name": "Alpha"})()
    assert here.trace_context() is None
    async with here.serving(nothing_new):
        with here.model_call(ScriptedModel([]), streamed=False) as elsewhere:
            carried = here.trace_context()
        assert carried is not None
        asked = RunRequest(input=RunInput("hi"), run_id="r", session_id="s", trace_context=carried)
        with here.run(agent, asked):
            pass
    (run,) = observed.seen("invoke_agent")
    parent, brought = run.parent, elsewhere.span.get_span_context()
    assert parent is not None
    assert parent.is_remote
    assert (parent.trace_id, parent.span_id) == (brought.trace_id, brought.span_id)
    assert (run.attributes or {}).get("licet.run.status") is None


async def test_the_load_is_learned_again_and_again_while_it_serves(
    observed: Observed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REFRESH_SECONDS", 0.0)
    times, enough = 0, asyncio.Event()

    async def learn() -> None:
        nonlocal times
        times += 1
        if times == 3:
            enough.set()

    async with looking_on(observed).serving(learn):
        await asyncio.wait_for(enough.wait(), 10)
    learned = times
    await asyncio.sleep(0)
    assert times == learned


async def test_a_receiver_that_does_not_answer_holds_up_no_end(
    observed: Observed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_FLUSH_SECONDS", 0.0)
    with caplog.at_level(logging.WARNING):
        async with looking_on(observed).serving(nothing_new):
            pass
    assert "could not be sent" in caplog.text


def test_the_load_is_told_only_while_it_serves(observed: Observed) -> None:
    here = looking_on(observed)
    here.watch(FastAPI(), lambda: Load(runs_at_work=1, runs_waiting=1, open_streams=1))
    assert b"licet_runs_at_work" not in here.exposition().content
