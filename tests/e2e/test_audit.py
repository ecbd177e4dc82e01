"""Servers on one PostgreSQL write audit chains; whoever tampers with them is found and named."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from typer.testing import Result

from licet.testing import TokenFactory
from tests.support.command import called
from tests.support.postgres import EmbeddedPostgres, fresh_schema
from tests.support.process import Process, free_port, licet, running

TOKENS = TokenFactory()
AUDIT_PAIR, OTHER = (TokenFactory("EdDSA", fresh_key=True) for _ in range(2))
KEYS = {"Ed25519": AUDIT_PAIR.private_key, "HMAC": "correct horse battery staple, and more"}
ANCHORS = "anchors.jsonl"
TABLES = ("licet_audit", "licet_audit_batches", "licet_audit_writers")
REQUESTS = 40
COLUMNS = """
SELECT column_name FROM information_schema.columns
WHERE table_name = 'licet_audit' AND table_schema = current_schema() ORDER BY ordinal_position
"""

PROGRAM = """
from licet.agent import Agent
from licet.audit import AnchorFile, AuditConfig
from licet.db.postgres import PostgresDb
from licet.os import AgentOS, AuthorizationConfig
from licet.testing import Say, ScriptedModel

db = PostgresDb(db_url={url!r})
model = ScriptedModel([Say("Hello")], when_exhausted="repeat_last")
agent_os = AgentOS(
    id="os",
    agents=[Agent(id="helper", model=model, db=db)],
    db=db,
    authorization=True,
    authorization_config=AuthorizationConfig(verification_keys=[{key!r}]),
    audit=AuditConfig(anchors=[AnchorFile({anchors!r})], anchor_seconds=0.1, batch_seconds=0.02),
)
app = agent_os.get_app()
"""


@dataclass
class Place:
    """A program in a folder, its database, and the key that signs its audit trail."""

    folder: Path
    url: str
    key: str

    @property
    def env(self) -> Mapping[str, str]:
        return {"LICET_AUDIT_KEY": self.key}

    @contextmanager
    def serving(self) -> Iterator[str]:
        """A serving process, and its address."""
        port = free_port()
        command = licet("serve", "program:app", "--port", str(port))
        with running(command, cwd=self.folder, env=self.env) as process:
            url = f"http://127.0.0.1:{port}"
            process.wait_until_serving(f"{url}/health")
            yield url

    @contextmanager
    def command(self, *arguments: str) -> Iterator[Process]:
        """``licet audit …`` that goes on."""
        with running(licet("audit", *arguments), cwd=self.folder, env=self.env) as process:
            yield process

    def process(
        self, *arguments: str, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """``licet audit …``, as an operator calls it."""
        return subprocess.run(
            licet("audit", *arguments),
            cwd=self.folder,
            env={**os.environ, **(self.env if env is None else env)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def audit(self, *arguments: str, env: Mapping[str, str] | None = None) -> Result:
        """The same without a process of its own."""
        return called("audit", *arguments, cwd=self.folder, env=self.env if env is None else env)

    def verifying(self, *options: str) -> tuple[list[str], Mapping[str, str]]:
        """How it is verified. Of Ed25519 whoever audits has the public key alone."""
        if self.key == KEYS["HMAC"]:
            return ["verify", "program", *options], self.env
        (self.folder / "audit.pem").write_text(AUDIT_PAIR.public_key)
        return ["verify", "program", "--key-file", "audit.pem", *options], {"LICET_AUDIT_KEY": ""}

    def verify(self, *options: str) -> Result:
        """``licet audit verify``, without a process of its own."""
        arguments, env = self.verifying(*options)
        return self.audit(*arguments, env=env)

    def found(self, *options: str) -> list[dict[str, Any]]:
        """What is found, by default with the anchors."""
        done = self.verify("--json", *(options or ("--anchors", ANCHORS)))
        findings: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
        assert done.exit_code == (1 if findings else 0)
        return findings

    def do(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run SQL, as somebody who can write the database."""
        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as connection:
            cursor = connection.execute(sql.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def tampering(self) -> Iterator[None]:
        """What is changed in the block is as it was afterwards."""
        for table in TABLES:
            self.do(f"CREATE TABLE saved_{table} AS TABLE {table}")
        try:
            yield
        finally:
            for table in TABLES:
                self.do(f"TRUNCATE {table}")
                self.do(f"INSERT INTO {table} TABLE saved_{table}")
                self.do(f"DROP TABLE saved_{table}")

    def writers(self) -> list[str]:
        """The ids of the writers, by their numbers."""
        return [row[0] for row in self.do("SELECT id FROM licet_audit_writers ORDER BY number")]


def bearer(subject: str, *scopes: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS.token(subject, scopes=scopes)}"}


def ask_many(url: str, name: str) -> None:
    """Requests to one server, some at once; every other one is refused."""
    with httpx.Client(base_url=url, timeout=30) as client, ThreadPoolExecutor(8) as pool:

        def ask(number: int) -> int:
            scopes = ("agents:read",) if number % 2 else ("config:read",)
            headers = {**bearer(name, *scopes), "X-Request-ID": f"{name}-{number}"}
            return client.get("/agents", headers=headers).status_code

        statuses = list(pool.map(ask, range(REQUESTS)))
    assert statuses == [403, 200] * (REQUESTS // 2)


@contextmanager
def place(folder: Path, server: EmbeddedPostgres, key: str) -> Iterator[Place]:
    with fresh_schema(server) as url:
        text = PROGRAM.format(url=url, key=TOKENS.public_key, anchors=ANCHORS)
        (folder / "program.py").write_text(text)
        yield Place(folder, url, key)


@pytest.fixture(scope="module", params=KEYS)
def written(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: EmbeddedPostgres,
) -> Iterator[Place]:
    """What two servers wrote side by side, and a third one after them; all have ended."""
    folder = tmp_path_factory.mktemp("audit")
    with place(folder, postgres_server, KEYS[request.param]) as made:
        with ExitStack() as stack:
            urls = [stack.enter_context(made.serving()) for _ in range(2)]
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(ask_many, urls, ("olga", "sten")))
            # Also while they write.
            assert made.found() == []
        with made.serving() as url:
            ask_many(url, "oda")
        yield made


class TestVerifying:
    def test_what_the_servers_wrote_is_sound(self, written: Place) -> None:
        arguments, env = written.verifying("--anchors", ANCHORS)
        done = written.process(*arguments, env=env)
        assert done.returncode == 0, done.stdout
        assert done.stdout.startswith(f"Sound: {3 * REQUESTS} records of 3 writers in ")
        # Nothing was left out: no signature, no anchor.
        assert done.stderr == ""

    def test_a_changed_byte_is_found_and_named(self, written: Place) -> None:
        writer = written.writers()[1]
        with written.tampering():
            written.do(
                "UPDATE licet_audit SET subject = 'x' || substr(subject, 2) "
                "WHERE writer_id = %s AND seq = 7",
                writer,
            )
            done = written.verify("--anchors", ANCHORS)
        assert done.exit_code == 1
        assert re.search(rf"changed_record +{writer} +7 ", done.stdout)
        assert "NOT SOUND: 1 findings" in done.stdout

    def test_a_removed_record_is_found_and_named(self, written: Place) -> None:
        writer = written.writers()[0]
        with written.tampering():
            written.do("DELETE FROM licet_audit WHERE writer_id = %s AND seq = 20", writer)
            (finding,) = written.found()
        assert (finding["code"], finding["writer_id"]) == ("missing_records", writer)
        assert (finding["first_seq"], finding["last_seq"]) == (20, 20)

    def test_a_cut_tail_is_found_and_named_up_to_the_last_anchor(self, written: Place) -> None:
        writer = written.writers()[2]
        ((kept,),) = written.do(
            "SELECT last_seq FROM licet_audit_batches WHERE writer_id = %s AND number = 1", writer
        )
        with written.tampering():
            written.do("DELETE FROM licet_audit WHERE writer_id = %s AND seq > %s", writer, kept)
            written.do(
                "DELETE FROM licet_audit_batches WHERE writer_id = %s AND number > 1", writer
            )
            (finding,) = written.found()
            assert written.verify().exit_code == 0
        assert (finding["code"], finding["writer_id"]) == ("cut_off", writer)
        assert (finding["first_seq"], finding["last_seq"]) == (kept + 1, REQUESTS)

    @pytest.mark.parametrize("number", [2, 3])
    def test_a_missing_writer_is_found_and_named(self, written: Place, number: int) -> None:
        writer = written.writers()[number - 1]
        with written.tampering():
            for table in TABLES:
                column = "id" if table.endswith("writers") else "writer_id"
                written.do(f"DELETE FROM {table} WHERE {column} = %s", writer)  # noqa: S608 - constants
            (finding,) = written.found()
        assert (finding["code"], finding["writer_id"]) == ("missing_writer", writer)
        assert f"number {number} is missing, with at least {REQUESTS} records" in finding["text"]

    def test_inserted_records_are_found_and_named(self, written: Place) -> None:
        writer = written.writers()[0]
        columns = [row[0] for row in written.do(COLUMNS)]
        with written.tampering():
            for seq, name in ((REQUESTS + 1, writer), (1, "nobody")):
                values = [f"'{name}'", str(seq), *columns[2:]]
                written.do(
                    f"INSERT INTO licet_audit ({', '.join(columns)}) "  # noqa: S608 - ours
                    f"SELECT {', '.join(values)} FROM licet_audit WHERE writer_id = %s AND seq = 1",
                    writer,
                )
            findings = written.found()
        assert [(f["code"], f["writer_id"], f["first_seq"]) for f in findings] == [
            ("inserted_records", writer, REQUESTS + 1),
            ("inserted_records", "nobody", 1),
        ]

    def test_another_key_than_the_one_that_signed_is_told(self, written: Place) -> None:
        other, codes = {
            KEYS["Ed25519"]: (OTHER.private_key, {"bad_anchor", "unknown_key"}),
            KEYS["HMAC"]: ("x" * 32, {"bad_anchor", "bad_signature"}),
        }[written.key]
        given = ("--json", "--anchors", ANCHORS)
        done = written.audit("verify", "program", *given, env={"LICET_AUDIT_KEY": other})
        assert done.exit_code == 1
        assert {finding["code"] for finding in json.loads(done.stdout)["findings"]} == codes

    def test_no_key_and_no_token_is_in_the_trail_or_the_anchors(self, written: Place) -> None:
        text = (written.folder / ANCHORS).read_text()
        for table in TABLES:
            text += repr(written.do(f"SELECT * FROM {table}"))  # noqa: S608 - constants
        assert "olga-1" in text
        assert "eyJ" not in text
        for line in written.key.splitlines():
            assert line not in text


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: EmbeddedPostgres
) -> Iterator[tuple[Place, list[str]]]:
    """Two servers that go on."""
    folder = tmp_path_factory.mktemp("served")
    with place(folder, postgres_server, KEYS["HMAC"]) as made, ExitStack() as stack:
        urls = [stack.enter_context(made.serving()) for _ in range(2)]
        for url, name in zip(urls, ("olga", "sten"), strict=True):
            ask_many(url, name)
        yield made, urls


def names_of(lines: list[str]) -> list[str]:
    """The request ids at the ends of lines."""
    return [line.rpartition(" ")[2] for line in lines]


class TestTail:
    def test_shows_the_decisions_of_all_servers(self, served: tuple[Place, list[str]]) -> None:
        made, _ = served
        done = made.process("tail", "program", "--lines", "1000", "--action", "agents:read")
        assert done.returncode == 0, done.stderr
        names = names_of(done.stdout.splitlines())
        assert {f"{n}-{i}" for n in ("olga", "sten") for i in range(REQUESTS)} <= set(names)

    @pytest.mark.parametrize(
        ("options", "count"),
        [
            (["--subject", "olga"], REQUESTS),
            (["--subject", "olga", "--decision", "deny"], REQUESTS // 2),
            (["--subject", "olga", "--issuer", "default", "--lines", "3"], 3),
            (["--request-id", "sten-7"], 1),
            (["--subject", "nobody"], 0),
        ],
    )
    def test_as_json_with_filters(
        self, served: tuple[Place, list[str]], options: list[str], count: int
    ) -> None:
        made, _ = served
        done = made.audit("tail", "program", "--json", "--lines", "500", *options)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(rows) == count
        if "deny" in options:
            assert {(row["decision"], row["status"]) for row in rows} == {("deny", 403)}

    def test_follow_shows_what_is_new_and_only_that(self, served: tuple[Place, list[str]]) -> None:
        made, urls = served
        options = ("--lines", "1", "--follow", "--subject", "otto")
        httpx.get(f"{urls[0]}/agents", headers={**bearer("otto"), "X-Request-ID": "otto-before"})
        wait_for = ("tail", "program", *options)
        with made.command(*wait_for) as process:
            process.wait_for(lambda: "otto-before" in process.output, what="the last line")
            for number, url in enumerate(urls):
                headers = {**bearer("otto"), "X-Request-ID": f"otto-{number}"}
                assert httpx.get(f"{url}/agents", headers=headers).status_code == 403
                process.wait_for(
                    lambda n=number: f"otto-{n}" in process.output,  # type: ignore[misc]  # bound now
                    what="the new line",
                )
            names = names_of(process.lines)
        assert names == ["otto-before", "otto-0", "otto-1"]


class TestTheRoute:
    def get(self, url: str, *scopes: str, **params: Any) -> httpx.Response:
        return httpx.get(f"{url}/audit", params=params, headers=bearer("ada", *scopes), timeout=30)

    def test_each_server_shows_what_all_of_them_decided(
        self, served: tuple[Place, list[str]]
    ) -> None:
        _, urls = served
        for url in urls:
            for name in ("olga", "sten"):
                answer = self.get(url, "audit:read", subject=name, decision="allow", limit=500)
                rows = answer.json()["data"]
                assert len(rows) == REQUESTS // 2
                assert len({row["writer"] for row in rows}) == 1

    def test_pages_show_each_once_whoever_answers_them(
        self, served: tuple[Place, list[str]]
    ) -> None:
        _, urls = served
        found: list[str] = []
        before: dict[str, str] = {}
        for number in range(100):
            url = urls[number % 2]
            answer = self.get(url, "audit:read", subject="sten", limit=7, **before).json()
            found += [row["request_id"] for row in answer["data"]]
            if answer["meta"]["next"] is None:
                break
            before = {"before": answer["meta"]["next"]}
        assert sorted(found) == sorted(f"sten-{n}" for n in range(REQUESTS))

    def test_only_for_who_may_read_it(self, served: tuple[Place, list[str]]) -> None:
        _, urls = served
        assert self.get(urls[0], "agents:read", "sessions:read").status_code == 403
        assert httpx.get(f"{urls[0]}/audit").status_code == 401
        assert self.get(urls[0], "agent_os:admin").status_code == 200
