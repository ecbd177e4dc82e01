from __future__ import annotations

import json
from pathlib import Path

import pytest
from fastapi import FastAPI

from licet.cli.route_rows import Access, RouteRow, markdown_table, route_rows
from licet.os.table import RouteTable
from tests.cli.conftest import Cli
from tests.cli.programs import APP, UNDECLARED_ROUTE, guarded, write

MAPPED = 'scope_mappings={"GET /reports": ["agents:read"]}'


def test_an_undeclared_route_fails_the_check_and_is_named(cli: Cli, folder: Path) -> None:
    write(folder, "small.py", guarded() + APP + UNDECLARED_ROUTE)
    result = cli("routes", "small:app", "--check")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(
        "GET /reports is undeclared: closed to everyone but agent_os:admin."
    )


def test_a_front_end_is_named_with_the_way_to_open_it(cli: Cli, folder: Path) -> None:
    (folder / "index.html").write_text("hello")
    write(folder, "small.py", guarded() + APP + 'app.frontend("/", directory=".")\n')
    result = cli("routes", "small:app", "--check")
    assert result.exit_code == 1
    assert result.stderr.startswith("GET /{path:path} is undeclared: closed to everyone but")
    assert "app.mount(path, StaticFiles(directory=..., html=True))" in result.stderr


def test_a_mapped_route_passes_the_check(cli: Cli, folder: Path) -> None:
    write(folder, "small.py", guarded(MAPPED) + APP + UNDECLARED_ROUTE)
    result = cli("routes", "small:app", "--check")
    assert result.exit_code == 0
    assert result.stderr.endswith(" routes, each declared\n")


def test_a_mapping_that_belongs_to_no_route_fails_the_check(cli: Cli, folder: Path) -> None:
    write(folder, "small.py", guarded(MAPPED) + APP)
    result = cli("routes", "small", "--check")
    assert result.exit_code == 1
    assert result.stderr == "GET /reports is mapped, but no route answers to it\n"


def test_every_route_is_listed_with_what_it_needs(cli: Cli, folder: Path) -> None:
    write(folder, "small.py", guarded() + APP + UNDECLARED_ROUTE)
    result = cli("routes", "small:app")
    assert result.exit_code == 0
    rows = {
        line.split("  ")[0] + " " + line.split()[1]: line
        for line in result.stdout.split("\n")
        if line
    }
    assert "METHOD PATH" in rows
    assert "public" in rows["GET /health"]
    assert "agents:run or agents:{agent_id}:run" in rows["POST /agents/{agent_id}/runs"]
    assert "agents:read or agents:<id>:read (lists what is reached)" in rows["GET /agents"]
    assert "undeclared: agent_os:admin only" in rows["GET /reports"]
    assert rows["GET /reports"].endswith("  nowhere")


def test_the_admin_scope_is_the_servers_own(cli: Cli, folder: Path) -> None:
    write(folder, "small.py", guarded('admin_scope="root:admin"') + APP + UNDECLARED_ROUTE)
    assert "undeclared: root:admin only" in cli("routes", "small:app").stdout


def test_json_holds_the_same_routes(cli: Cli, folder: Path) -> None:
    write(folder, "small.py", guarded() + APP + UNDECLARED_ROUTE)
    result = cli("routes", "small:app", "--json", "--check")
    assert result.exit_code == 1
    rows = {f"{row['method']} {row['path']}": row for row in json.loads(result.stdout)}
    assert rows["GET /reports"] == {
        "method": "GET",
        "path": "/reports",
        "access": "undeclared",
        "needs": [],
        "filtered": False,
        "source": None,
    }
    run = rows["POST /agents/{agent_id}/runs"]
    assert run["needs"] == [["agents:run", "agents:{agent_id}:run"]]
    assert run["source"] == "route"


def test_markdown_is_a_table_for_documents(cli: Cli, folder: Path) -> None:
    write(folder, "small.py", guarded() + APP)
    lines = cli("routes", "small:app", "--markdown").stdout.splitlines()
    assert lines[:2] == ["| Method | Path | Needs |", "| --- | --- | --- |"]
    assert "| GET | `/health` | public |" in lines
    run = "`agents:run` or `agents:{agent_id}:run`"
    assert f"| POST | `/agents/{{agent_id}}/runs` | {run} |" in lines


def test_two_formats_at_once_are_refused(cli: Cli, folder: Path) -> None:
    write(folder, "small.py", guarded() + APP)
    result = cli("routes", "small", "--json", "--markdown")
    assert result.exit_code == 2
    assert result.stderr == "licet: --json and --markdown exclude each other\n"


def test_a_program_that_is_not_there_is_one_line(cli: Cli, folder: Path) -> None:
    result = cli("routes", "nothing:app")
    assert result.exit_code == 2
    assert result.stderr.startswith("licet: there is no module 'nothing'")
    assert result.stderr.count("\n") == 1


async def endpoint() -> None:
    """Answer nothing."""


def test_rows_tell_each_sort_of_rule() -> None:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    for path in ("/two", "/token", "/open", "/none", "/one/{x}"):
        app.get(path)(endpoint)
    table = RouteTable(
        app.router,
        scope_mappings={
            "GET /two": ["agents:read", "sessions:read"],
            "GET /token": [],
            "GET /one/{x}": ["agents:{x}:read"],
        },
        public_paths=["/open"],
    )
    needs = {row.path: row.needs(admin_scope="adm:in") for row in route_rows(table)}
    assert needs == {
        "/none": "undeclared: adm:in only",
        "/one/{x}": "agents:read or agents:{x}:read",
        "/open": "public",
        "/token": "any verified token",
        "/two": "agents:read and sessions:read",
    }


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (
            RouteRow(
                method="GET",
                path="/a",
                access=Access.SCOPES,
                demands=(("agents:read",),),
                filtered=True,
            ),
            "| GET | `/a` | `agents:read` (lists what is reached) |",
        ),
        (
            RouteRow(method="GET", path="/a", access=Access.UNDECLARED),
            "| GET | `/a` | undeclared: `adm:in` only |",
        ),
    ],
)
def test_a_row_in_markdown_quotes_its_scopes(row: RouteRow, line: str) -> None:
    assert markdown_table([row], admin_scope="adm:in").splitlines()[-1] == line
