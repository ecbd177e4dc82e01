"""The public interface: checked by mypy, run, complete, sorted, and light to import."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import licet
from licet.agent import Agent
from licet.db.base import Db
from licet.db.in_memory import InMemoryDb
from licet.os import AgentOS
from licet.utils.cryptography import generate_rsa_keys
from tests.typing import api

ROOT = Path(__file__).parents[2]
# Alembic runs these files; they are no modules to import.
_SCRIPTS = ("licet.__main__", "licet.db.migrations.env")


def test_a_type_checker_agrees_with_every_use_and_finds_every_mistake() -> None:
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "tests/typing/api.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.returncode == 0, done.stderr


def test_every_parameter_can_be_given(tmp_path: Path) -> None:
    agent = api.every_parameter_of_an_agent(InMemoryDb())
    assert sorted(agent.functions) == [
        "add",
        "plain",
        "plain_two",
        "search_news",
        "web_search",
        "whoami",
    ]
    os = api.every_parameter_of_a_server(agent, generate_rsa_keys()[1])
    assert os.get_app().title == "Mine"
    assert all(isinstance(db, Db) for db in api.databases(tmp_path))
    assert api.keys_and_tokens().count(".") == 2


def test_agents_run_in_a_program() -> None:
    said = api.runs_in_a_program()
    assert said[0] == "one"
    assert said.count("RunCompleted") == 2
    assert "three" in said


@pytest.mark.parametrize(
    ("thing", "names"),
    [
        (
            Agent,
            """model id name db tools description instructions system_message markdown
            add_history_to_context num_history_runs add_datetime_to_context session_state
            dependencies output_schema tool_call_limit retries metadata durable""",
        ),
        (
            AgentOS,
            """agents id name description version db authorization authorization_config
            authorizers audit user_isolation cors_allowed_origins base_app lifespan settings
            telemetry""",
        ),
        (AgentOS.serve, "self app host port reload workers access_log log_format"),
    ],
)
def test_the_documented_parameters_are_these(thing: object, names: str) -> None:
    assert callable(thing)
    parameters = inspect.signature(thing).parameters
    assert list(parameters) == names.split()


def modules() -> Iterator[str]:
    for module in pkgutil.walk_packages(licet.__path__, "licet."):
        if module.name not in _SCRIPTS:
            yield module.name


def order(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest: the order that ruff keeps (RUF022)."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("name", ["licet", *modules()])
def test_a_module_can_be_imported_and_what_it_offers_is_there_and_sorted(name: str) -> None:
    module = importlib.import_module(name)
    offered = getattr(module, "__all__", [])
    assert list(offered) == sorted(offered, key=order)
    for each in offered:
        assert getattr(module, each) is not None


@pytest.mark.parametrize(
    "name",
    ["agent", "cli", "compat", "db", "models.openai", "os", "telemetry", "testing", "tools"],
)
def test_packages_say_what_they_offer(name: str) -> None:
    assert importlib.import_module(f"licet.{name}").__all__


HEAVY = {
    "aiohttp",
    "alembic",
    "croniter",
    "dbos",
    "ddgs",
    "jsonschema",
    "openai",
    "opentelemetry",
    "psycopg",
    "sqlalchemy",
    "xllamacpp",
}
FRAMEWORKS = {"cryptography", "fastapi", "jwt", "msgspec", "pydantic", "starlette", "uvicorn"}
THE_SEEDS_IMPORTS = """
from licet.agent import Agent
from licet.db.postgres import PostgresDb
from licet.models.openai import OpenAIChat
from licet.os import AgentOS
from licet.os.config import AuthorizationConfig
from licet.tools.websearch import WebSearchTools
from licet.utils.cryptography import generate_rsa_keys
"""


@pytest.mark.parametrize(
    ("statement", "unwanted"),
    [
        ("import licet", HEAVY | FRAMEWORKS),
        ("import licet.os", HEAVY | {"fastapi", "uvicorn"}),
        ("import licet.agent, licet.tools", HEAVY | {"fastapi", "starlette", "uvicorn"}),
        ("import licet.models.openai", HEAVY - {"aiohttp"}),
        ("import licet.db.in_memory", HEAVY),
        ("import licet.cli", HEAVY | FRAMEWORKS),
        ("import licet.testing", HEAVY | {"fastapi", "starlette", "uvicorn"}),
        (THE_SEEDS_IMPORTS, HEAVY | {"fastapi", "uvicorn"}),
    ],
)
def test_an_import_stays_light(statement: str, unwanted: set[str]) -> None:
    program = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert unwanted & set(json.loads(done.stdout)) == set()
