from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import pytest
from typer.testing import CliRunner, Result

from licet.cli.app import app
from licet.cli.files import write_new
from licet.db.sqlite import SqliteDb
from licet.db.trust_base import TrustStore
from licet.utils.cryptography import generate_rsa_keys
from tests.cli.programs import APP, stored, write
from tests.cli.stored_runs import PROGRAM
from tests.support.sqlite import migrated

Cli = Callable[..., Result]
T = TypeVar("T")


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Call the command line in this process: ``cli("keys", "generate")``."""
    monkeypatch.delenv("JWT_SIGNING_KEY", raising=False)
    monkeypatch.delenv("JWT_VERIFICATION_KEY", raising=False)

    def call(
        *arguments: str | Path, input: str | None = None, env: Mapping[str, str] | None = None
    ) -> Result:
        return CliRunner().invoke(app, [str(part) for part in arguments], input=input, env=env)

    return call


@pytest.fixture(scope="session")
def key_pair() -> tuple[str, str]:
    """The private and the public key that lie in each ``folder``: making one takes 0.1 s."""
    return generate_rsa_keys()


@pytest.fixture
def folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key_pair: tuple[str, str]
) -> Iterator[Path]:
    """The current folder, with a key pair; what is imported from it is forgotten afterwards."""
    private_pem, public_pem = key_pair
    write_new(tmp_path / "private.pem", private_pem, mode=0o600, force=False)
    write_new(tmp_path / "public.pem", public_pem, mode=0o644, force=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).is_relative_to(tmp_path):
            del sys.modules[name]


@pytest.fixture
def program(folder: Path) -> Path:
    """``small``: a program in the current folder, whose database is the file ``small.db``."""
    migrated(folder / "small.db")
    write(folder, "small.py", stored() + APP)
    return folder


@pytest.fixture
def beside(folder: Path) -> Path:
    """``program``, whose runs are in ``durable.db`` of the current folder."""
    migrated(folder / "durable.db")
    write(folder, "program.py", PROGRAM)
    return folder


def ask_store(folder: Path, question: Callable[[TrustStore], Awaitable[T]]) -> T:
    """Ask what ``small.db`` holds, as another process would."""

    async def asked() -> T:
        db = SqliteDb(folder / "small.db")
        try:
            return await question(db.trust())
        finally:
            await db.close()

    return asyncio.run(asked())
