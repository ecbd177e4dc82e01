"""The environment completes a program: real processes, each variable, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from licet.testing import TokenFactory
from tests.authn.web import Page, web
from tests.support.process import Process, free_port, licet, running

TOKENS = TokenFactory(fresh_key=True, key_id="one")
OTHERS = TokenFactory(fresh_key=True, key_id="one")
ISSUER, AUDIENCE = "https://sso.test", "the-api"
NAMES = {"JWT_ISSUER": ISSUER, "JWT_AUDIENCE": AUDIENCE}
KEY_SET = json.dumps({"keys": [TOKENS.jwk]})

PROGRAM = """
from licet.agent import Agent
from licet.db.in_memory import InMemoryDb
from licet.os import AgentOS, AuthorizationConfig, TrustedIssuer
from licet.testing import ScriptedModel

agent_os = AgentOS(
    id="os",
    agents=[Agent(id="helper", model=ScriptedModel([]))],
    db=InMemoryDb(),
    authorization=True,
    authorization_config=AuthorizationConfig({config}),
)
app = agent_os.get_app()
"""


@contextmanager
def serving(folder: Path, config: str, **environ: str) -> Iterator[tuple[str, Process]]:
    (folder / "program.py").write_text(PROGRAM.format(config=config))
    port = free_port()
    command = licet("serve", "program:app", "--port", str(port))
    with running(command, cwd=folder, env=environ) as process:
        url = f"http://127.0.0.1:{port}"
        process.wait_until_serving(f"{url}/health")
        yield url, process


@contextmanager
def key_set_at(variable: str, folder: Path) -> Iterator[dict[str, str]]:
    """What the variable says, for a key set that is there."""
    if variable == "JWT_JWKS_FILE":
        (folder / "jwks.json").write_text(KEY_SET)
        yield {variable: str(folder / "jwks.json")}
        return
    with web() as site:
        site.pages["/jwks"] = Page(body=KEY_SET.encode())
        yield {variable: f"{site.url}/jwks"}


def answered(url: str, tokens: TokenFactory = TOKENS, **claims: Any) -> tuple[int, str]:
    given = {"iss": ISSUER, "aud": AUDIENCE, **claims}
    token = tokens.token("olga", scopes=["agents:read"], **given)
    answer = httpx.get(f"{url}/agents", headers={"Authorization": f"Bearer {token}"})
    return answer.status_code, "" if answer.is_success else answer.json()["detail"]


@pytest.mark.parametrize("variable", ["JWT_JWKS_FILE", "JWT_JWKS_URL"])
def test_it_names_the_keys_the_issuer_and_the_audience(tmp_path: Path, variable: str) -> None:
    with (
        key_set_at(variable, tmp_path) as keys,
        serving(tmp_path, "", **keys, **NAMES) as (url, process),
    ):
        assert answered(url) == (200, "")
        assert answered(url, OTHERS)[0] == 401
        assert "another issuer (iss)" in answered(url, iss="https://evil.test")[1]
        assert "another issuer (iss)" in answered(url, iss=None)[1]
        # The server's own id is the audience no more.
        assert "another audience (aud)" in answered(url, aud="os")[1]
    for name in (variable, *NAMES):
        assert f"is taken from {name}" in process.output


def test_the_program_stands_above_it_and_the_log_says_so(tmp_path: Path) -> None:
    config = f'verification_keys=[{TOKENS.public_key!r}], issuer="https://mine.test", audience="me"'
    with serving(tmp_path, config, **NAMES) as (url, process):
        assert answered(url, iss="https://mine.test", aud="me") == (200, "")
        assert answered(url)[0] == 401
    for name in NAMES:
        assert f"{name} is not looked at" in process.output


@pytest.mark.parametrize("variable", NAMES)
def test_where_it_would_hold_for_nobody_the_server_does_not_start(
    tmp_path: Path, variable: str
) -> None:
    partner = f'TrustedIssuer(alias="partner", verification_keys=[{TOKENS.public_key!r}])'
    program = PROGRAM.format(config=f"issuers=[{partner}]")
    (tmp_path / "program.py").write_text(program)
    with running(licet("serve", "program:app"), cwd=tmp_path, env={variable: "x"}) as process:
        assert process.popen.wait(60) == 2
    assert f"{variable} is set in the environment" in process.output
    assert "Traceback" not in process.output
