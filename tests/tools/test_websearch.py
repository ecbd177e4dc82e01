from __future__ import annotations

import importlib.util
import inspect
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from licet.context import RunContext
from licet.errors import ConfigurationError, MissingExtraError
from licet.tools.websearch import MAX_RESULTS, WebSearchError, WebSearchTools
from tests.tools.search_engine import Engine

CONTEXT = RunContext(run_id="r", session_id="s", agent_id="a")
REFUSING_PROXY = "http://user:s3cret@127.0.0.1:9"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path) as running:
        yield running


@pytest.fixture
def silent_proxy() -> Iterator[str]:
    """A proxy that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def through(engine: Engine, **settings: Any) -> WebSearchTools:
    given = {"backend": "mojeek", "proxy": engine.url, "verify_ssl": False, **settings}
    return WebSearchTools(**given)


def test_both_tools_are_offered_with_their_documented_parameters() -> None:
    functions = WebSearchTools().functions

    assert list(functions) == ["web_search", "search_news"]
    for function in functions.values():
        assert list(function.parameters["properties"]) == ["query", "max_results"]
        assert function.parameters["required"] == ["query"]
        assert function.parameters["properties"]["max_results"]["default"] == 5
        assert all(each["description"] for each in function.parameters["properties"].values())


def test_the_settings_have_their_documented_names_and_defaults() -> None:
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(WebSearchTools).parameters.items()
    }

    assert defaults == {
        "enable_search": True,
        "enable_news": True,
        "backend": "auto",
        "modifier": None,
        "fixed_max_results": None,
        "proxy": None,
        "timeout": 10,
        "verify_ssl": True,
        "timelimit": None,
        "region": None,
        "instructions": None,
        "include_tools": None,
        "exclude_tools": None,
    }


def test_each_tool_can_be_left_out() -> None:
    assert list(WebSearchTools(enable_news=False).functions) == ["web_search"]
    assert list(WebSearchTools(enable_search=False).functions) == ["search_news"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"timelimit": "h"}, "timelimit='h'"),
        ({"fixed_max_results": 0}, "fixed_max_results=0"),
        ({"fixed_max_results": MAX_RESULTS + 1}, "fixed_max_results=51"),
        ({"timeout": 0}, "timeout=0"),
    ],
)
def test_values_that_cannot_be_used_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        WebSearchTools(**settings)


def test_without_ddgs_the_program_fails_when_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    # The package cannot be uninstalled here: only the question whether it is there is answered no.
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(MissingExtraError, match=r"pip install 'licet\[web\]'"):
        WebSearchTools()


def test_ddgs_is_imported_by_a_search_only() -> None:
    program = (
        "import sys; from licet.tools.websearch import WebSearchTools; WebSearchTools(); "
        "sys.exit(any(name.split('.')[0] in {'ddgs', 'primp', 'lxml'} for name in sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_results_come_as_json(engine: Engine) -> None:
    result = await through(engine).functions["web_search"].call('{"query": "licet ä"}', CONTEXT)

    assert not result.error, result.content
    rows = json.loads(result.content)
    assert rows[0] == {
        "title": "licet ä: result 1",
        "href": "https://example.org/1",
        "body": "About licet ä, number 1.",
    }
    assert len(rows) == 5
    assert engine.hosts == ["www.mojeek.com"]


async def test_news_come_as_json(engine: Engine) -> None:
    kit = through(engine, backend="bing")
    result = await kit.functions["search_news"].call(
        '{"query": "licet", "max_results": 2}', CONTEXT
    )

    assert not result.error, result.content
    rows = json.loads(result.content)
    assert [row["title"] for row in rows] == ["licet: result 1", "licet: result 2"]
    assert rows[0]["url"] == "https://example.org/1"
    assert engine.hosts == ["www.bing.com"]


def test_the_number_of_results_is_bounded(engine: Engine) -> None:
    assert len(json.loads(through(engine).web_search("licet", max_results=10**9))) == MAX_RESULTS
    assert len(json.loads(through(engine).web_search("licet", max_results=-1))) == 1
    fixed = through(engine, fixed_max_results=3)
    assert len(json.loads(fixed.web_search("licet", max_results=40))) == 3


def test_the_length_of_a_result_is_bounded(engine: Engine) -> None:
    rows = json.loads(through(engine).web_search("x" * 5_000, max_results=1))

    assert len(rows[0]["title"]) == 2_000


def test_modifier_region_and_timelimit_are_sent(engine: Engine) -> None:
    through(engine, modifier="site:example.org").web_search("licet")
    through(engine, backend="bing", region="uk-en", timelimit="w").search_news("licet")

    assert engine.queries[0]["q"] == ["site:example.org licet"]
    assert engine.queries[1]["cc"] == ["uk"]
    assert engine.queries[1]["qft"] == ['interval="7"']


def test_certificates_are_checked_unless_told_otherwise(engine: Engine) -> None:
    with pytest.raises(WebSearchError, match=r"(?i)certificate"):
        through(engine, verify_ssl=True).web_search("licet")


@pytest.mark.parametrize("name", ["web_search", "search_news"])
async def test_a_network_that_fails_is_told_to_the_model(name: str) -> None:
    kit = WebSearchTools(proxy=REFUSING_PROXY)
    result = await kit.functions[name].call('{"query": "licet"}', CONTEXT)

    assert result.error
    assert result.content.startswith("WebSearchError: the search failed: ")
    assert "Connection refused" in result.content


@pytest.mark.parametrize("proxy", [REFUSING_PROXY, "nonsense://user:s3cret@127.0.0.1:9"])
async def test_the_proxys_password_is_told_to_nobody(
    proxy: str, caplog: pytest.LogCaptureFixture
) -> None:
    kit = WebSearchTools(proxy=proxy)
    with caplog.at_level(0):
        result = await kit.functions["web_search"].call('{"query": "licet"}', CONTEXT)

    assert result.error
    assert "s3cret" not in result.content + caplog.text + repr(kit)


async def test_an_empty_answer_is_told_to_the_model(engine: Engine) -> None:
    engine.results = 0
    result = await through(engine).functions["web_search"].call('{"query": "licet"}', CONTEXT)

    assert result.error
    assert "no engine had a result" in result.content


@pytest.mark.parametrize("name", ["web_search", "search_news"])
async def test_the_time_out_bounds_the_whole_search(name: str, silent_proxy: str) -> None:
    kit = WebSearchTools(proxy=silent_proxy, timeout=1)
    begin = time.perf_counter()
    result = await kit.functions[name].call('{"query": "licet"}', CONTEXT)

    assert result.error
    assert "did not end within 1 seconds" in result.content
    assert time.perf_counter() - begin < 3
