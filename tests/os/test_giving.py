"""What lasts is given to nobody who is revoked before it is written, or while it is."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable

import pytest

from licet.authn.principal import Principal
from licet.errors import StorageError, StorageUnavailableError
from licet.os.authority import AuthorityLostError
from licet.os.giving import Giving

OLGA = Principal(issuer_alias="default", issuer=None, subject="olga")


class Vault:
    """Gives gold. ``answers`` are what the checks raise, one after the other; None: nothing."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.given = 0
        self.opened = asyncio.Event()
        self.opened.set()
        self.giving = Giving(self.check)

    async def check(self, principal: Principal) -> None:
        assert principal is OLGA
        answer = self.answers.pop(0)
        if answer is not None:
            raise answer

    async def make(self) -> str:
        self.given += 1
        await self.opened.wait()
        return "gold"

    async def take_back(self, made: str) -> None:
        assert made == "gold"
        self.given -= 1

    async def give(self) -> str:
        return await self.giving.give(OLGA, self.make, take_back=self.take_back)


async def until(found: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not found():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.001)


async def test_who_has_authority_all_the_time_gets_it() -> None:
    vault = Vault(None, None)
    assert await vault.give() == "gold"
    assert vault.given == 1


@pytest.mark.parametrize("error", [AuthorityLostError("gone"), StorageUnavailableError("away")])
async def test_for_who_has_none_before_nothing_is_made(error: Exception) -> None:
    vault = Vault(error)
    with pytest.raises(type(error)):
        await vault.give()
    assert vault.given == 0


@pytest.mark.parametrize("error", [AuthorityLostError("gone"), StorageUnavailableError("away")])
async def test_from_who_has_none_after_it_is_taken_back(error: Exception) -> None:
    vault = Vault(None, error)
    with pytest.raises(type(error)):
        await vault.give()
    assert vault.given == 0
    assert vault.answers == []


async def test_what_cannot_be_made_is_not_taken_back() -> None:
    async def broken() -> str:
        raise StorageError("no")

    vault = Vault(None, None)
    with pytest.raises(StorageError):
        await vault.giving.give(OLGA, broken, take_back=vault.take_back)
    assert (vault.given, len(vault.answers)) == (0, 1)


async def test_it_is_taken_back_also_from_a_caller_who_was_cut_off(
    caplog: pytest.LogCaptureFixture,
) -> None:
    vault = Vault(None, AuthorityLostError("gone"))
    vault.opened.clear()
    asking = asyncio.create_task(vault.give())
    await until(lambda: vault.given == 1)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    vault.opened.set()
    await until(lambda: vault.given == 0)
    await asyncio.sleep(0)
    gc.collect()
    # Nobody is left who could be told; it is no error that nobody was.
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
