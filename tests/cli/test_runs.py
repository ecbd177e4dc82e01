"""``licet runs list`` and ``show``: what is known of runs, whoever's they are."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from licet.agent.output import ToolExecution
from licet.cli import runs as module
from licet.cli.run_rows import HEADINGS
from licet.db.records import RunStatus
from tests.cli.conftest import Cli
from tests.cli.programs import guarded, write
from tests.cli.stored_runs import assert_refused, put, register

TWO_DATABASES = """
from licet.agent import Agent
from licet.db.in_memory import InMemoryDb
from licet.db.sqlite import SqliteDb
from licet.os import AgentOS
from licet.testing import ScriptedModel

agent_os = AgentOS(
    agents=[
        Agent(id="alpha", model=ScriptedModel([]), db=SqliteDb("other.db", id="other")),
        Agent(id="beta", model=ScriptedModel([]), db=InMemoryDb()),
    ],
    db=SqliteDb("durable.db", id="main"),
)
"""
HOUR = 3600


def listed(cli: Cli, *options: str) -> list[str]:
    result = cli("runs", "list", "program", "--json", *options)
    assert result.exit_code == 0, result.output
    return [row["run_id"] for row in json.loads(result.stdout)]


class TestList:
    def test_the_newest_come_first_with_their_ages_and_who_works_on_them(
        self, cli: Cli, beside: Path
    ) -> None:
        file = beside / "durable.db"
        register(file, "lives")
        put(file, "done", ago=3 * HOUR, executor_id="gone")
        put(file, "works", ago=2 * HOUR, status=RunStatus.RUNNING, executor_id="lives")
        put(file, "left", ago=HOUR, status=RunStatus.RUNNING, executor_id="gone", user_id=None)
        put(file, "waits", ago=90, status=RunStatus.PENDING)
        result = cli("runs", "list", "program")
        assert result.exit_code == 0
        head, *rows = [re.split(r"  +", line) for line in result.stdout.splitlines()]
        assert tuple(head) == HEADINGS
        assert [row[:3] for row in rows] == [
            ["waits", "PENDING", "1 minute"],
            ["left", "RUNNING", "1 hour"],
            ["works", "RUNNING", "2 hours"],
            ["done", "COMPLETED", "alpha"],
        ]
        assert [row[-1] for row in rows] == ["none yet", "gone (has ended)", "lives", "no"]

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ([], ["d", "c", "b", "a"]),
            (["--status", "ERROR"], ["b"]),
            (["--status", "error", "--status", "cancelled"], ["c", "b"]),
            (["--agent", "beta"], ["c"]),
            (["--session", "t"], ["d"]),
            (["--user", "sten"], ["b"]),
            (["--user", "sten", "--status", "COMPLETED"], []),
            (["--limit", "3"], ["d", "c", "b"]),
        ],
    )
    def test_some_of_them_can_be_asked_for(
        self, cli: Cli, beside: Path, options: list[str], expected: list[str]
    ) -> None:
        file = beside / "durable.db"
        put(file, "a", ago=4)
        put(file, "b", ago=3, status=RunStatus.ERROR, user_id="sten")
        put(file, "c", ago=2, status=RunStatus.CANCELLED, component_id="beta")
        put(file, "d", ago=1, session_id="t")
        assert listed(cli, *options) == expected
        note = cli("runs", "list", "program", *options).stderr
        assert note == ("The latest 3; --limit shows more.\n" if "--limit" in options else "")

    def test_programs_are_told_all_but_what_was_said(self, cli: Cli, beside: Path) -> None:
        put(beside / "durable.db", "r", ago=10, executor_id="e", said={"input": "a secret"})
        result = cli("runs", "list", "program", "--json")
        ((row),) = json.loads(result.stdout)
        assert time.time() - 12 < row.pop("created_at") == row.pop("updated_at") < time.time() - 8
        assert row.pop("db_id").startswith("sqlite-")
        assert row == {
            "run_id": "r",
            "status": "COMPLETED",
            "agent_id": "alpha",
            "session_id": "s",
            "user_id": "olga",
            "durable": False,
            "executor_id": "e",
        }

    def test_all_databases_of_the_program_are_one_list(self, cli: Cli, folder: Path) -> None:
        write(folder, "program.py", TWO_DATABASES)
        put(folder / "durable.db", "old", ago=3)
        put(folder / "other.db", "middle", ago=2)
        put(folder / "durable.db", "new", ago=1)
        result = cli("runs", "list", "program", "--json")
        rows = [(row["run_id"], row["db_id"]) for row in json.loads(result.stdout)]
        assert rows == [("new", "main"), ("middle", "other"), ("old", "main")]
        assert "only its server has them" in result.stderr
        assert listed(cli, "--limit", "2") == ["new", "middle"]

    def test_none_is_an_empty_list_and_a_new_file_is_told(self, cli: Cli, beside: Path) -> None:
        (beside / "durable.db").unlink()
        result = cli("runs", "list", "program", "--json")
        assert result.stdout == "[]\n"
        assert "is this the folder in which the server is started?" in result.stderr


class TestShow:
    def test_it_says_where_the_run_stands_and_what_went_wrong(self, cli: Cli, beside: Path) -> None:
        tools = tuple(
            ToolExecution(
                tool_call_id=name,
                tool_name=name,
                tool_args={"card": "4111"},
                tool_call_error=failed,
                result="a secret",
                metrics={"duration": 0.25},
                created_at=1,
            )
            for name, failed in (("look", False), ("pay", True))
        )
        said = {
            "input": "pay\x1b[2J it",
            "content": "the provider is away",
            "error_type": "model_unavailable",
            "tools": tools,
            "metadata": {"retry_of": "r-0"},
            "request_id": "q-1",
        }
        put(beside / "durable.db", "r-1", status=RunStatus.ERROR, executor_id="e", said=said)
        result = cli("runs", "show", "program", "r-1")
        assert result.exit_code == 0
        pairs = [re.split(r"  +", line, maxsplit=1) for line in result.stdout.splitlines()]
        lines = [(name, value) for name, value in pairs]
        shown = dict(lines)
        begun_at = shown.pop("begun")
        assert shown.pop("ended") == begun_at
        assert "UTC" in begun_at
        assert shown.pop("in").endswith("durable.db'")
        assert [value for name, value in lines if name == "tool"] == [
            "look: completed in 0.250 s",
            "pay: failed in 0.250 s",
        ]
        del shown["tool"]
        assert shown == {
            "run": "r-1",
            "status": "ERROR",
            "agent": "alpha",
            "session": "s",
            "user": "olga",
            "owner": "default|olga",
            "executor": "e",
            "durable": "no",
            "retry of": "r-0",
            "request": "q-1",
            # What a stranger wrote does not move the cursor.
            "input": "pay\\u001b[2J it",
            "error": "model_unavailable: the provider is away",
        }
        assert "a secret" not in result.stdout
        assert "4111" not in result.stdout

    def test_one_that_has_not_ended_says_so(self, cli: Cli, beside: Path) -> None:
        put(beside / "durable.db", "r", status=RunStatus.RUNNING, executor_id="e", owner="")
        shown = cli("runs", "show", "program", "r").stdout
        assert re.search(r"^executor +e \(has ended\)$", shown, re.MULTILINE)
        assert re.search(r"^owner +nobody$", shown, re.MULTILINE)
        assert "last stored" in shown
        assert "\nended" not in shown

    def test_programs_are_told_all_that_is_stored(self, cli: Cli, beside: Path) -> None:
        put(beside / "durable.db", "r", said={"content": "the answer"})
        body = json.loads(cli("runs", "show", "program", "r", "--json").stdout)
        assert (body["run_id"], body["content"], body["status"]) == (
            "r",
            "the answer",
            "COMPLETED",
        )


@pytest.mark.parametrize("command", ["show", "cancel", "retry"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["program", "nothing"], "there is no run 'nothing' in the database '"),
        (["program", "a\nb"], "RUN-ID: 1 to 255 printable characters"),
        (["elsewhere", "r"], "there is no module 'elsewhere'"),
    ],
)
def test_what_is_not_there_is_one_line(
    cli: Cli, beside: Path, command: str, arguments: list[str], message: str
) -> None:
    put(beside / "durable.db", "r")
    assert_refused(cli("runs", command, *arguments), message)


def test_a_status_that_is_none_is_one_line(cli: Cli, beside: Path) -> None:
    result = cli("runs", "list", "program", "--status", "done")
    assert_refused(result, "--status: one of PENDING, RUNNING, PAUSED, COMPLETED,")


def test_the_statuses_that_are_offered_are_all_there_are() -> None:
    assert list(module._STATUSES) == [status.value for status in RunStatus]


def test_runs_that_no_other_process_has_are_refused(cli: Cli, folder: Path) -> None:
    write(folder, "program.py", guarded())
    assert_refused(cli("runs", "list", "program"), "program: its runs are in an InMemoryDb, of")
