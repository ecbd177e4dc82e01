"""Readiness: whether this process can answer, part by part. Asked by whoever sends it requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from licet.db.base import Db
from licet.db.work_records import WORK_TOPIC
from licet.errors import StorageError
from licet.os.own_tasks import OwnTasks
from licet.os.trust import Trust
from licet.runs.runner import Runner

_PATIENCE_SECONDS = 2.0
_KEPT_SECONDS = 0.25
_OK = "ok"


@dataclass(frozen=True, slots=True)
class Readiness:
    """The parts by name: ``ok``, or what is wrong with them, in words that name no host."""

    parts: Mapping[str, str]

    @property
    def ready(self) -> bool:
        """Whether all of them can do their work."""
        return all(state == _OK for state in self.parts.values())


class Databases:
    """Whether all databases answer.

    Anybody may ask, as often as they like, and revocations are followed on the connection that is
    asked. So all who ask within a moment share one answer. For one event loop at a time.

    Args:
        dbs: the databases.
        patience_seconds: how long one of them may take.
        kept_seconds: for how long an answer is given again.
    """

    def __init__(
        self,
        dbs: Iterable[Db],
        *,
        patience_seconds: float = _PATIENCE_SECONDS,
        kept_seconds: float = _KEPT_SECONDS,
    ) -> None:
        self._dbs = tuple(dbs)
        self._patience_seconds = patience_seconds
        self._kept_seconds = kept_seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks = OwnTasks()
        self._answer: tuple[float, str] | None = None

    async def state(self) -> str:
        """What can be said of them."""
        if self._answer is not None and time.monotonic() - self._answer[0] < self._kept_seconds:
            return self._answer[1]
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # What was under way in another one never ends.
            self._loop, self._tasks = loop, OwnTasks()
        # One who leaves does not take the answer from the others.
        return str(await asyncio.shield(self._tasks.run("asking", self._ask)))

    async def _ask(self) -> str:
        try:
            async with asyncio.timeout(self._patience_seconds):
                await asyncio.gather(
                    *(db.watch(WORK_TOPIC, after=-1, timeout_seconds=0) for db in self._dbs)
                )
        except (StorageError, TimeoutError):
            state = "cannot be reached"
        else:
            state = _OK
        self._answer = (time.monotonic(), state)
        return state


async def readiness(*, databases: Databases, runs: Runner, trust: Trust | None) -> Readiness:
    """Ask every part; not for long."""
    database = await databases.state()
    # What is known here is asked last: the server may have begun to stop meanwhile.
    return Readiness({"database": database, "engine": _engine(runs), "keys": _keys(trust)})


def _engine(runs: Runner) -> str:
    if runs.stopping:
        return "is stopping"
    if not all(desk.executor.is_heard for desk in runs.desks.values()):
        return "is not heard of"
    return _OK


def _keys(trust: Trust | None) -> str:
    if trust is None:
        return _OK
    # One issuer whose provider is away is no reason to turn everybody away.
    if not any(source.current().keys for _, source in trust.issuers):
        return "are not there yet"
    return _OK if trust.watch.is_current else "revocations are out of date"
