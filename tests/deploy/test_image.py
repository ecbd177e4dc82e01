"""The image definition: its steps are run in a plain folder, and what comes of it is served.

What serves has no rights: another user, where the tests run as root, that can write no file.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from licet.db.embedded.install import _installs
from licet.testing import TokenFactory
from tests.deploy.parts import DEPLOY, ROOT, SECRETS_FOLDER, read_yaml
from tests.support.image import PlainBuild, Stage, build_context
from tests.support.openai import scripted_openai
from tests.support.postgres import EmbeddedPostgres, reachable_folder
from tests.support.process import Process, free_port, running
from tests.support.unprivileged import USER, base_python, close_to_writing, without_rights

pytestmark = pytest.mark.timeout(300)

TOKENS = TokenFactory()
ANSWER = {"otherwise": {"text": "A key opens what is locked."}}
PYTHON = base_python()
ENVIRONMENT = read_yaml(DEPLOY / "compose" / "compose.yaml")["services"]["licet"]["environment"]


@dataclass(frozen=True)
class Built:
    """The last stage, and the folder of the secrets that containers get."""

    stage: Stage
    secrets: Path

    @property
    def packages(self) -> Path:
        (found,) = self.stage.path("/opt/licet/lib").glob("python*/site-packages")
        return found

    def files(self) -> set[Path]:
        return set(self.stage.root.rglob("*"))


@pytest.fixture(scope="module")
def built() -> Iterator[Built]:
    with reachable_folder() as folder:
        context = build_context(ROOT, folder / "context")
        build = PlainBuild(
            DEPLOY / "Dockerfile",
            context=context,
            folder=folder,
            python=PYTHON,
            outside=os.environ,
        )
        stage = build.build()
        close_to_writing(stage.root)
        yield Built(stage, secrets(folder / "compose", folder / "secrets"))


def secrets(folder: Path, mounted: Path) -> Path:
    """The secrets as ``secrets.sh`` makes them, and as they are mounted into containers."""
    folder.mkdir()
    shutil.copy(DEPLOY / "compose" / "secrets.sh", folder)
    for _ in range(2):
        done = subprocess.run(
            ["sh", "secrets.sh"], cwd=folder, capture_output=True, text=True, check=True
        )
        missing = [line.rpartition("/")[2] for line in done.stdout.splitlines()]
        assert missing == ["jwt_verification_key", "openai_api_key"]
    made = folder / "secrets"
    assert made.stat().st_mode & 0o777 == 0o700
    (made / "jwt_verification_key").write_text(TOKENS.public_key)
    (made / "openai_api_key").write_text("sk-scripted\n")
    assert subprocess.check_output(["sh", "secrets.sh"], cwd=folder, text=True) == ""
    shutil.copytree(made, mounted)
    mounted.chmod(0o755)
    return mounted


@pytest.fixture(scope="module")
def database(built: Built) -> Iterator[None]:
    """A server that was set up by ``role.sql``, at the address in the secret."""
    port = free_port()
    with reachable_folder() as folder, EmbeddedPostgres(folder / "postgres", port=port) as server:
        known = server.parameters("postgres", database="postgres")
        subprocess.run(
            [
                *(max(_installs()).program("psql"), "--no-psqlrc", "--quiet"),
                *("--set", f"password_file={built.secrets / 'licet_password'}"),
                *("--file", str(DEPLOY / "compose" / "role.sql")),
            ],
            env={
                "PATH": os.environ["PATH"],
                "PGHOST": known["host"],
                "PGPORT": known["port"],
                "PGUSER": known["user"],
                "PGPASSWORD": known["password"],
                "PGDATABASE": known["dbname"],
            },
            check=True,
        )
        url = built.secrets / "database_url"
        url.chmod(0o644)
        url.write_text(url.read_text().replace("@postgres/", f"@127.0.0.1:{port}/"))
        yield


def in_container(stage: Stage, command: Sequence[str], **environ: str) -> Sequence[str]:
    """A command of a stage, as a container runs it."""
    return without_rights(command, python=PYTHON, env={**stage.env, **environ})


@contextmanager
def serving(built: Built, **environ: str) -> Iterator[tuple[str, Process]]:
    """The command of the last stage, on a port of this machine."""
    port = free_port()
    stage = built.stage
    mounted = {n: v.replace(SECRETS_FOLDER, str(built.secrets)) for n, v in ENVIRONMENT.items()}
    command = [*stage.command, "--host", "127.0.0.1", "--port", str(port)]
    isolated = in_container(stage, command, **{**mounted, **environ})
    with running(isolated, cwd=stage.path(stage.cwd)) as process:
        process.wait_until_serving(f"http://127.0.0.1:{port}/health/live")
        yield f"http://127.0.0.1:{port}", process


def test_it_serves_without_rights_and_writes_nothing(built: Built, database: None) -> None:
    before = built.files()
    with (
        scripted_openai(ANSWER) as model,
        serving(built, OPENAI_BASE_URL=f"{model}/v1") as (url, process),
    ):
        assert httpx.get(f"{url}/health/live").json() == {"status": "live"}
        process.wait_for(lambda: httpx.get(f"{url}/health/ready").is_success, what="readiness")
        assert httpx.post(f"{url}/agents/assistant/runs").status_code == 401
        token = TOKENS.token("uma", scopes=["agents:run"], aud="my-os")
        ran = httpx.post(
            f"{url}/agents/assistant/runs",
            data={"message": "What is a key?", "stream": "false"},
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )
        assert (ran.status_code, ran.json()["content"]) == (200, ANSWER["otherwise"]["text"])
        check = [part.replace("7777", url.rpartition(":")[2]) for part in built.stage.check]
        subprocess.run(in_container(built.stage, check), check=True)
        process.popen.terminate()
        # As uvicorn ends: once all has ended, by the signal itself.
        assert process.popen.wait(20) == -signal.SIGTERM
    assert built.files() == before
    for secret in built.secrets.iterdir():
        assert secret.read_text().strip() not in process.output


def test_nothing_answers_the_check_of_a_server_that_is_not_there(built: Built) -> None:
    check = [part.replace("7777", str(free_port())) for part in built.stage.check]
    done = subprocess.run(in_container(built.stage, check), capture_output=True, check=False)
    assert done.returncode != 0


def test_a_secret_that_is_missing_is_one_line(built: Built) -> None:
    command = in_container(built.stage, built.stage.command, OPENAI_API_KEY_FILE="/none")
    done = subprocess.run(
        command,
        cwd=built.stage.path(built.stage.cwd),
        capture_output=True,
        text=True,
        check=False,
    )
    said = "licet: OPENAI_API_KEY_FILE: '/none' cannot be read: No such file or directory\n"
    assert (done.returncode, done.stderr) == (2, said)


def test_the_last_stage_holds_what_is_locked_and_nothing_that_builds(built: Built) -> None:
    locked = (ROOT / "requirements" / "server.lock").read_text()
    names = {name.lower() for name in re.findall(r"^([\w.-]+)==", locked, re.MULTILINE)}
    installed = {
        folder.name.partition("-")[0].replace("_", "-").lower()
        for folder in built.packages.glob("*.dist-info")
    }
    assert installed - names == {"licet"}
    assert not built.stage.path("/opt/build").exists()
    assert not list(built.packages.glob("pip*"))


def test_it_is_compiled_since_nobody_could_do_so_later(built: Built) -> None:
    sources = {file.stem for file in (built.packages / "licet").glob("*.py")}
    compiled = (built.packages / "licet" / "__pycache__").glob("*.pyc")
    assert {file.name.partition(".")[0] for file in compiled} == sources


def test_it_runs_as_a_user_that_is_named_by_number(built: Built) -> None:
    assert built.stage.said["USER"] == f"{USER.uid}:{USER.gid}"


@pytest.mark.parametrize("lock", ["build.lock", "server.lock"])
def test_what_is_installed_is_pinned_by_digests_and_names_no_index(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text()
    pins = re.findall(r"^[\w.-]+==\S+.*?(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    assert pins
    assert all("--hash=sha256:" in pin for pin in pins)
    assert "index-url" not in text


def test_what_serves_is_what_is_tested() -> None:
    server, dev = (
        set(
            re.findall(
                r"^([\w.-]+==[\w.]+)", (ROOT / "requirements" / lock).read_text(), re.MULTILINE
            )
        )
        for lock in ("server.lock", "dev.lock")
    )
    assert server
    assert server <= dev
