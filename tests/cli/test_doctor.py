"""Programs as users have them, each with one thing wrong: that is found, and nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from licet.db.postgres import PostgresDb
from tests.cli.conftest import Cli
from tests.cli.programs import APP, guarded, write
from tests.support.logins import Login, do, new_login, new_role, superuser
from tests.support.oidc import OidcProvider, oidc_provider
from tests.support.postgres import postgres_server, postgres_url
from tests.support.process import licet

__all__ = ["new_login", "new_role", "postgres_server", "postgres_url", "superuser"]

PROGRAM = """
import os

from licet.agent import Agent
from licet.db.in_memory import InMemoryDb
from licet.db.postgres import PostgresDb
from licet.db.sqlite import SqliteDb
from licet.os import AgentOS, AuthorizationConfig, Settings
from licet.testing import Say, ScriptedModel

given = {{
    "db": PostgresDb(os.environ["DATABASE_URL"]),
    "authorization": True,
    "authorization_config": AuthorizationConfig(
        issuer=os.environ["ISSUER"], discovery=True, verify_audience=True
    ),
    "settings": Settings(docs=False),
}}
given |= {{{changes}}}
agent_os = AgentOS(
    id="shop", agents=[Agent(id="helper", model=ScriptedModel([Say("Hello")]))], **given
)
app = agent_os.get_app()
{after}
"""
NOWHERE = "http://127.0.0.1:9"
PASSWORD = "hunter2-hunter2"
AUDIT_KEY = "an audit key of thirty-two bytes"
OPEN_TO_ALL = '"authorization": False, "authorization_config": None'
NO_KEYS = '"authorization_config": AuthorizationConfig()'
ANY_AUDIENCE = (
    '"authorization_config": AuthorizationConfig(issuer=os.environ["ISSUER"], discovery=True)'
)
GUARDED = '"db": PostgresDb(os.environ["DATABASE_URL"], row_level_security=True)'
UNDECLARED = '@app.get("/reports")\nasync def reports() -> str:\n    return "all of them"\n'


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """What is different from the right deployment: in the program, around it, or in how it runs."""

    changes: str = ""
    after: str = ""
    options: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    provider: Callable[[OidcProvider], None] = lambda _: None
    database: Callable[[str], None] = lambda _: None
    login: str | None = None


def publish_nothing(provider: OidcProvider) -> None:
    provider.published = []


def run_ahead(provider: OidcProvider) -> None:
    provider.ahead_seconds = 300


def have_newer_tables(url: str) -> None:
    open_and_close(url)
    do(url, "UPDATE licet_revision SET version_num = '9999'")


def open_and_close(url: str) -> None:
    async def opened() -> None:
        db = PostgresDb(url)
        await db.open()
        await db.close()

    asyncio.run(opened())


WRONG: Mapping[str, Wrong] = {
    "authorization_off": Wrong(changes=OPEN_TO_ALL),
    "startup_refused": Wrong(changes=NO_KEYS),
    "route_undeclared": Wrong(after=UNDECLARED),
    "audience_optional": Wrong(changes=ANY_AUDIENCE),
    "keys_unreachable": Wrong(environment={"ISSUER": NOWHERE}),
    "keys_unusable": Wrong(provider=publish_nothing),
    "issuer_clock": Wrong(provider=run_ahead),
    "storage_split": Wrong(changes='"db": InMemoryDb()'),
    "storage_of_one_machine": Wrong(
        changes='"db": SqliteDb("shop.db")', options=["--replicas", "3", "--workers", "1"]
    ),
    "database_unreachable": Wrong(
        environment={"DATABASE_URL": f"postgresql://shop:{PASSWORD}@127.0.0.1:9/shop"}
    ),
    "tables_newer": Wrong(database=have_newer_tables),
    "rights_missing": Wrong(login="NOINHERIT"),
    "row_security_void": Wrong(changes=GUARDED, login="SUPERUSER"),
    "connections_too_few": Wrong(options=["--workers", "64"]),
    "audit_unsigned": Wrong(environment={"LICET_AUDIT_KEY": ""}),
}


@dataclass(frozen=True, eq=False)
class Deployment:
    """What stands around the program: a right one, until it becomes another."""

    environment: dict[str, str]
    provider: OidcProvider
    new_login: Callable[[str], Login]

    def become(self, wrong: Wrong) -> None:
        """Have one thing wrong."""
        if wrong.login is not None:
            self.environment["DATABASE_URL"] = self.new_login(wrong.login).url
        wrong.provider(self.provider)
        wrong.database(self.environment["DATABASE_URL"])
        self.environment.update(wrong.environment)


@pytest.fixture
def deployment(
    environment: dict[str, str], new_login: Callable[[str], Login]
) -> Iterator[Deployment]:
    with oidc_provider() as provider:
        environment["ISSUER"] = provider.url
        yield Deployment(environment, provider, new_login)


@pytest.fixture
def environment(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What a program needs, but for an issuer. Nothing else says how it is set up."""
    for name in list(os.environ):
        if name.startswith(("JWT_", "LICET_")):
            monkeypatch.delenv(name)
    return {"DATABASE_URL": postgres_url, "LICET_AUDIT_KEY": AUDIT_KEY}


SERVED = ("doctor", "shop.py", "--host", "0.0.0.0", "--workers", "4")  # noqa: S104
"""The program is looked at as it is served: for everybody, by four processes."""


def examined(
    folder: Path, environment: Mapping[str, str], *options: str
) -> subprocess.CompletedProcess[str]:
    """What the command says of the program, as a process of its own."""
    return subprocess.run(
        licet(*SERVED, *options),
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def codes(report: str) -> list[str]:
    """The codes in a report for programs."""
    checks = json.loads(report)["checks"]
    return [finding["code"] for check in checks for finding in check["findings"]]


def test_nothing_is_found_in_a_right_deployment(tmp_path: Path, deployment: Deployment) -> None:
    write(tmp_path, "shop.py", PROGRAM.format(changes="", after=""))
    open_and_close(deployment.environment["DATABASE_URL"])
    done = examined(tmp_path, deployment.environment)
    assert (done.returncode, done.stderr) == (0, "")
    *checks, verdict = done.stdout.splitlines()
    assert len(checks) == 7
    assert all(line.startswith("ok        ") for line in checks)
    assert verdict == "Nothing to mend"


@pytest.mark.parametrize(("code", "wrong"), WRONG.items(), ids=WRONG)
def test_what_is_wrong_is_found_and_nothing_else(
    cli: Cli, folder: Path, deployment: Deployment, code: str, wrong: Wrong
) -> None:
    deployment.become(wrong)
    write(folder, "shop.py", PROGRAM.format(changes=wrong.changes, after=wrong.after))
    done = cli(*SERVED, *wrong.options, "--json", env=deployment.environment)
    assert codes(done.stdout) == [code], done.stderr
    assert done.exit_code == 1
    for secret in (PASSWORD, AUDIT_KEY, "secret@"):
        assert secret not in done.output


def test_a_secret_is_in_nothing_that_a_process_says(tmp_path: Path, deployment: Deployment) -> None:
    wrong = WRONG["database_unreachable"]
    deployment.become(wrong)
    write(tmp_path, "shop.py", PROGRAM.format(changes=wrong.changes, after=wrong.after))
    done = examined(tmp_path, deployment.environment, "--json")
    assert (codes(done.stdout), done.returncode) == (["database_unreachable"], 1)
    assert PASSWORD not in done.stdout + done.stderr


SMALL = """
from {package}.agent import Agent
from {package}.db.in_memory import InMemoryDb
from {package}.os import AgentOS
from {package}.models.openai import OpenAIChat

agent_os = AgentOS(agents=[Agent(id="helper", model=OpenAIChat(id="m"))], db=InMemoryDb())
"""


def test_a_program_under_another_name_is_looked_at(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    write(tmp_path, "shop.py", SMALL.format(package="agno"))
    done = examined(tmp_path, environment, "--as", "agno", "--json")
    assert codes(done.stdout) == ["authorization_off", "storage_split"]


@pytest.fixture
def small(folder: Path) -> Path:
    write(folder, "small.py", SMALL.format(package="licet"))
    return folder


@pytest.mark.usefixtures("small")
def test_on_a_laptop_there_is_nothing_to_mend(cli: Cli) -> None:
    assert cli("doctor", "small").exit_code == 0


@pytest.mark.usefixtures("small")
def test_what_is_found_says_where_and_what_to_do(cli: Cli) -> None:
    result = cli("doctor", "small.py", "--workers", "2")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    place = lines.index("problem   storage_split: database 'in-memory'")
    assert lines[place + 1].startswith("          each of 2 processes has its own")
    assert lines[place + 2].startswith("          → give AgentOS a SqliteDb")
    assert lines[-1] == "To mend: 1"


@pytest.mark.usefixtures("small")
def test_what_is_accepted_is_shown_and_counts_as_nothing(cli: Cli) -> None:
    options = ["small", "--workers", "2", "--accept", "storage_split"]
    result = cli("doctor", *options)
    assert result.exit_code == 0
    assert "accepted  storage_split: database 'in-memory'" in result.stdout
    assert "→" not in result.stdout
    report = json.loads(cli("doctor", *options, "--json").stdout)
    (check,) = [check for check in report["checks"] if check["findings"]]
    assert report["ok"] is True
    assert check["level"] == "problem"
    assert check["findings"][0]["accepted"] is True


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.py"], "there is no file 'nothing.py'"),
        (["small:nothing"], "small has no attribute 'nothing'"),
        (["small", "--accept", "storage_spilt"], "--accept storage_spilt: there is no such code"),
    ],
)
def test_what_cannot_be_looked_at_is_one_line(cli: Cli, arguments: list[str], message: str) -> None:
    result = cli("doctor", *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"licet: {message}")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import surely_not_installed\n", "No module named 'surely_not_installed'"),
        ("from licet.errors import StorageError\n\nraise StorageError('away')\n", "licet: away"),
    ],
)
def test_a_program_that_fails_could_not_be_looked_at(
    cli: Cli, folder: Path, capsys: pytest.CaptureFixture[str], program: str, said: str
) -> None:
    write(folder, "broken.py", program)
    result = cli("doctor", "broken.py")
    assert result.exit_code == 2
    assert said in result.stderr + capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ('jwks_file="missing.json"', "No such file"),
        ('audience="shop", jwks_url="http://a.test/keys"', "is not https"),
        ('algorithm="HS256"', "can serve"),
        ('public_paths=["/nowhere"]', "routes that do not exist: * /nowhere"),
        ('roles={"analyst": ["agent:read"]}', "grants nothing"),
    ],
)
def test_what_the_program_refuses_is_told_as_it_says_it(
    cli: Cli, folder: Path, config: str, said: str
) -> None:
    write(folder, "small.py", guarded(f"{config}, verify_audience=True, "))
    result = cli("doctor", "small.py", "--json", env={"LICET_AUDIT_KEY": AUDIT_KEY})
    assert result.exit_code == 1
    (finding,) = [f for check in json.loads(result.stdout)["checks"] for f in check["findings"]]
    assert finding["code"] == "startup_refused"
    assert said in finding["what"]


def test_an_app_that_is_guarded_by_hand_could_not_be_looked_at(cli: Cli, folder: Path) -> None:
    by_hand = "from licet.os.middleware import JWTMiddleware\n\napp.add_middleware(JWTMiddleware)\n"
    write(folder, "small.py", SMALL.format(package="licet") + APP + by_hand)
    result = cli("doctor", "small")
    assert result.exit_code == 2
    assert result.stderr.startswith("licet: this app is guarded by JWTMiddleware")


def test_statements_to_be_run_stand_in_lines_of_their_own(cli: Cli, folder: Path) -> None:
    refused = (
        "from licet.errors import ConfigurationError\n\nraise ConfigurationError('a\\n\\tb;')\n"
    )
    write(folder, "refuses.py", refused)
    result = cli("doctor", "refuses.py")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[:3] == [
        "problem   startup_refused: refuses.py",
        "          a",
        "              b;",
    ]
