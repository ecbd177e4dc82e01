"""The public interface as users write it. mypy checks it, and the test beside it runs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import assert_type

from fastapi import FastAPI
from pydantic import BaseModel

from licet.agent import Agent, RunOutput
from licet.agent.events import AgentEvent
from licet.context import RunContext
from licet.db.base import Db
from licet.db.in_memory import InMemoryDb
from licet.db.postgres import PostgresDb
from licet.db.sqlite import SqliteDb
from licet.models.openai import OpenAIChat
from licet.os import AgentOS, AuthorizationConfig, Settings
from licet.telemetry import Telemetry
from licet.testing import CallTools, Say, ScriptedModel, TokenFactory
from licet.tools import Function, Toolkit, tool
from licet.tools.websearch import WebSearchTools
from licet.utils.cryptography import generate_rsa_keys


class Report(BaseModel):
    """What the agent shall answer."""

    title: str
    pages: int


@tool
def add(first: int, second: int = 0) -> int:
    """Add two numbers."""
    return first + second


@tool(name="whoami", stop_after_tool_call=True)
async def who_am_i(context: RunContext) -> str:
    """Tell who asks."""
    return context.principal.subject if context.principal is not None else "nobody"


def plain(city: str) -> dict[str, str]:
    """A function needs no decorator."""
    return {"city": city}


assert_type(add, Function)
assert_type(who_am_i, Function)


def every_parameter_of_an_agent(db: Db) -> Agent:
    """An agent with everything set."""
    return Agent(
        id="researcher",
        name="Researcher",
        model=OpenAIChat(id="gpt-4o", temperature=0.2, api_key="sk-none"),
        db=db,
        tools=[WebSearchTools(), add, who_am_i, plain, Toolkit(name="kit", tools=[plain_two])],
        description="You look things up.",
        instructions=["Be brief.", "Name your sources."],
        system_message=None,
        markdown=True,
        add_history_to_context=True,
        num_history_runs=5,
        add_datetime_to_context=True,
        session_state={"seen": []},
        dependencies={"tenant": None, "today": lambda: "monday"},
        output_schema=Report,
        tool_call_limit=8,
        retries=2,
        metadata={"team": "blue"},
    )


def plain_two(number: float) -> float:
    """Another one."""
    return number


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
    """Runs around the life of the app."""
    yield {"title": app.title}


def every_parameter_of_a_server(agent: Agent, public_key: str) -> AgentOS:
    """A server with everything set."""
    os = AgentOS(
        id="my-os",
        name="My OS",
        description="Serves agents",
        version="1.2",
        db=InMemoryDb("other"),
        agents=[agent],
        authorization=True,
        authorization_config=AuthorizationConfig(
            verification_keys=[public_key], algorithm="RS256", verify_audience=True
        ),
        user_isolation=True,
        cors_allowed_origins=["https://chat.example"],
        base_app=FastAPI(title="Mine"),
        lifespan=lifespan,
        settings=Settings(docs=False, max_body_bytes=1024, log_format="json"),
        telemetry=Telemetry(endpoint="http://127.0.0.1:4318", trust_trace_context=True),
    )
    assert_type(os.get_app(), FastAPI)
    return os


def databases(folder: Path) -> list[Db]:
    """Every database is a Db."""
    return [
        InMemoryDb(),
        SqliteDb(folder / "licet.db"),
        SqliteDb(db_url=f"sqlite:///{folder}/licet.db", id="again"),
        PostgresDb(db_url="postgresql+psycopg://nobody@127.0.0.1/licet"),
        PostgresDb(row_level_security=True, row_role="rows", data_folder=folder / "postgres"),
    ]


def runs_in_a_program() -> list[str]:
    """Agents run without a server too."""
    agent = Agent(
        id="small",
        model=ScriptedModel([CallTools(("add", {"first": 1})), "one", Say("two"), "three", "four"]),
        tools=[add],
    )
    output = agent.run("hi", session_id="s")
    assert_type(output, RunOutput)
    events = agent.run("hi", stream=True)
    assert_type(events, Iterator[AgentEvent])
    said = [str(output.content), *[event.event for event in events]]

    async def later() -> None:
        answer = await agent.arun("hi", user_id="olga")
        assert_type(answer, RunOutput)
        said.append(str(answer.content))
        stream = agent.arun("hi", stream=True)
        assert_type(stream, AsyncIterator[AgentEvent])
        said.extend([event.event async for event in stream])

    asyncio.run(later())
    return said


def keys_and_tokens() -> str:
    """What tests of one's own need."""
    pair = generate_rsa_keys()
    assert_type(pair, tuple[str, str])
    return TokenFactory().token("olga", scopes=["agents:read"], aud="my-os")


def mistakes_that_a_type_checker_finds(agent: Agent) -> None:
    """Each of these lines would be reported: the comment that silences it is needed."""
    Agent(id="no-model")  # type: ignore[call-arg]  # model is required
    Agent(model="gpt-4o")  # type: ignore[arg-type]  # a name is no model
    Agent(model=agent.model, instruction="x")  # type: ignore[call-arg]  # a misspelt parameter
    AgentOS([agent])  # type: ignore[call-arg]  # parameters have names
    AgentOS(agents=agent)  # type: ignore[arg-type]  # a list of them
    agent.id = "other"  # type: ignore[misc]  # an agent does not change
    AuthorizationConfig(verification_keys=b"key")  # type: ignore[arg-type]  # texts
