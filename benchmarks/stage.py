"""Stage: what a suite starts, each thing as one process, and how long it measures."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from benchmarks.finding import OURS, PEER
from benchmarks.process import Server, free_port, serving
from licet.db.embedded import EmbeddedPostgres
from licet.testing import TokenFactory

PROGRAMS = Path(__file__).with_name("programs")
TOKENS = 50
Database = Literal["SQLite", "PostgreSQL"]
DATABASES: tuple[Database, ...] = ("SQLite", "PostgreSQL")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How much is measured.

    Args:
        seconds: for each side in each round.
        rounds: A B A B …
        scale: of what is large (streams, rows, runs of a session, tokens); 1 is what counts.
        peer_python: an interpreter that has AgentOS; None: measured without.
    """

    seconds: float = 3.0
    rounds: int = 7
    scale: float = 1.0
    peer_python: str | None = None

    def scaled(self, number: float, *, least: int = 1) -> int:
        """A large number, or as much of it as is asked for."""
        return max(least, round(number * self.scale))


class Stage:
    """A place for servers, which ends them all when it is left, and takes what they have stored.

    Args:
        conditions: how much is measured.
        env: more of the environment of every process.

    Attributes:
        tokens: signs the tokens that the servers trust.
    """

    def __init__(self, conditions: Conditions, *, env: Mapping[str, str] | None = None) -> None:
        self.conditions = conditions
        self._more_env = dict(env or {})
        self.tokens = TokenFactory()
        self._stack = ExitStack()
        self._postgres: EmbeddedPostgres | None = None
        self._servers: dict[int, ExitStack] = {}
        self._databases = 0
        self._folder = Path()

    def __enter__(self) -> Self:
        # Also for the user that PostgreSQL runs as, where this one is root.
        self._folder = Path(tempfile.mkdtemp(prefix="licet-bench-"))
        self._folder.chmod(0o711)
        self._stack.callback(shutil.rmtree, self._folder)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def token(self, subject: str = "bench", **claims: Any) -> str:
        """A token for agents and sessions."""
        scopes = claims.pop("scopes", ("agents:read", "agents:run", "sessions:read"))
        return self.tokens.token(subject, scopes=scopes, **claims)

    def model(self, *, tokens: int = TOKENS, tokens_a_second: float = 0.0) -> str:
        """Start a model server (``programs/model.py``); the base URL to ask it at."""
        server = self._serve(sys.executable, "model.py", str(tokens), str(tokens_a_second))
        return f"http://127.0.0.1:{server.port}/v1"

    def scripted_model(self, script: Mapping[str, Any]) -> str:
        """Start the scripted model server of ``licet.testing``; the base URL to ask it at."""
        file = self._folder / "script.json"
        file.write_text(json.dumps(script))
        port = free_port()
        command = [sys.executable, "-m", "licet.testing.openai_server", "--port", str(port)]
        self._start([*command, "--script", str(file)], port=port, env={})
        return f"http://127.0.0.1:{port}/v1"

    def sides(self, model: str, database: Database) -> dict[str, Server]:
        """Start ours, and the peer where there is one; each with a database of its own."""
        ours = self.licet("served.py", "licet", model=model, database=self.database(database))
        if self.conditions.peer_python is None:
            return {OURS: ours}
        return {OURS: ours, PEER: self.peer(model=model, database=self.database(database))}

    def peer(self, *, model: str, database: Mapping[str, str]) -> Server:
        """Start the peer; there has to be one."""
        assert self.conditions.peer_python is not None
        env = self._env(model, database)
        return self._serve(self.conditions.peer_python, "served.py", "agno", env=env)

    def licet(
        self, program: str, *arguments: str, model: str, database: Mapping[str, str]
    ) -> Server:
        """Start one of ours."""
        return self._serve(sys.executable, program, *arguments, env=self._env(model, database))

    def limit(
        self, kind: Literal["proxy", "proxy_by_event", "route"], *, model: str = ""
    ) -> Server:
        """Start a limit: a bare proxy, or a bare route (``programs/limit.py``)."""
        return self._serve(sys.executable, "limit.py", kind, env={"OPENAI_BASE_URL": model})

    def trivial(self) -> Server:
        """Start the server that does nothing."""
        return self._serve(sys.executable, "trivial.py")

    def end(self, server: Server) -> None:
        """End a server before the others."""
        self._servers[server.pid].close()

    def database(self, kind: Database) -> dict[str, str]:
        """A new and empty database, as the programs are told of it."""
        self._databases += 1
        name = f"bench_{self._databases}"
        if kind == "SQLite":
            return {"BENCH_SQLITE": str(self._folder / f"{name}.db")}
        if self._postgres is None:
            server = EmbeddedPostgres(self._folder / "postgres")
            self._postgres = self._stack.enter_context(server)
        self._postgres.create_role_and_database(name)
        return {"BENCH_POSTGRES": self._postgres.url(name)}

    def _env(self, model: str, database: Mapping[str, str]) -> dict[str, str]:
        return {
            "BENCH_PUBLIC_KEY": self.tokens.public_key,
            "OPENAI_API_KEY": "sk-scripted",
            "OPENAI_BASE_URL": model,
            "AGNO_TELEMETRY": "false",
            **database,
        }

    def _serve(
        self, python: str, program: str, *arguments: str, env: Mapping[str, str] | None = None
    ) -> Server:
        port = free_port()
        # -P: what lies beside a program is not meant to be imported by it.
        command = [python, "-P", str(PROGRAMS / program), str(port), *arguments]
        return self._start(command, port=port, env=env or {})

    def _start(self, command: Sequence[str], *, port: int, env: Mapping[str, str]) -> Server:
        own = self._stack.enter_context(ExitStack())
        env = {**self._more_env, **env}
        server = own.enter_context(serving(command, port=port, folder=self._folder, env=env))
        self._servers[server.pid] = own
        return server
