"""Server: what the routes of one AgentOS work with. Prepared once, shared by all requests."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from licet.agent.agent import Agent
from licet.authn.issuer import TrustedIssuer
from licet.authn.principal import Principal
from licet.authz.permission import Permission
from licet.db.base import Db, Store
from licet.errors import (
    ConfigurationError,
    NotFoundError,
    StorageError,
    StorageUnavailableError,
)
from licet.os.auditing import Auditing
from licet.os.authority import AuthorityLostError
from licet.os.caller import Caller
from licet.os.config import DEFAULT_AUTHORITY_TTL, Settings
from licet.os.giving import Giving
from licet.os.observer import UNOBSERVED_SERVER, Load, Observer
from licet.os.open_requests import OpenRequests
from licet.os.open_streams import OpenStreams
from licet.os.policy import Policy
from licet.os.readiness import Databases
from licet.os.revocations import Revoking
from licet.os.run_decisions import RunDecisions
from licet.os.schedule_authority import ScheduleAuthority
from licet.os.scheduled_runs import AgentsRuns
from licet.os.sse import EventStream
from licet.os.trust import Trust
from licet.runs.run_authority import RunAuthority
from licet.runs.runner import Runner, RunnerSettings

if TYPE_CHECKING:
    from licet.os.explaining import Explainer

logger = logging.getLogger(__name__)

# A run that is stopped tells so on its stream: that has this long to reach the client.
_LAST_WORDS_SECONDS = 0.2
# What it takes to stop runs, beside the time that they have to end by themselves.
_STOPPING_SECONDS = 10.0
_LAST_WORDS_AT_THE_END_SECONDS = 1.0


@dataclass(eq=False, kw_only=True)
class Server:
    """The parts of a running AgentOS. ``policy`` and ``trust`` None: authorization is off.

    ``policy``, ``trust`` and ``explainer`` are given before the app starts, and stay.
    """

    id: str
    name: str | None
    description: str | None
    version: str
    agents: Mapping[str, Agent]
    default_db: Db
    settings: Settings
    auditing: Auditing
    observer: Observer = UNOBSERVED_SERVER
    policy: Policy | None = None
    trust: Trust | None = None
    authority_ttl: timedelta = DEFAULT_AUTHORITY_TTL
    self_approval: bool = False
    explainer: Explainer | None = None
    instantiated_at: float = field(default_factory=time.time)
    _runner: Runner | None = field(default=None, init=False, repr=False)
    _runs_waiting: int | None = field(default=None, init=False, repr=False)

    @cached_property
    def dbs(self) -> Mapping[str, Db]:
        """Every database by its id, the default one first. What has one id is one database."""
        found = {self.default_db.id: self.default_db}
        for agent in self.agents.values():
            if agent.db is not None and found.setdefault(agent.db.id, agent.db) is not agent.db:
                logger.warning(
                    "agent %r uses the database %r that was named first: "
                    "give one object to both, or each an id of its own",
                    agent.id,
                    agent.db.id,
                )
        return found

    @cached_property
    def open_requests(self) -> OpenRequests:
        """What is being answered."""
        return OpenRequests(self.lost)

    @cached_property
    def databases(self) -> Databases:
        """Whether they answer."""
        return Databases(self.dbs.values())

    @property
    def runs(self) -> Runner:
        """The runs of this process. Made in the process that serves, and anew for each start."""
        if self._runner is None:
            self._runner = self._new_runner()
        return self._runner

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Inside of the block, runs are taken on; at its end they end, or are left to others."""
        try:
            await self.runs.start()
            yield
        finally:
            await self.runs.close()
            # Runs have ended, and said so: that has still to reach their clients.
            await self.streams.end(timeout_seconds=_LAST_WORDS_AT_THE_END_SECONDS)
            self._runner = None

    def _new_runner(self) -> Runner:
        settings = self.settings
        decisions = RunDecisions(self.policy, auditing=self.auditing, lost=self.lost)
        return Runner(
            agents=self.agents,
            dbs=self.dbs,
            authority=RunAuthority(
                may_go_on=decisions.may_go_on, lost=self.lost, ttl=self.authority_ttl
            ),
            scheduled=self.scheduled_runs,
            settings=RunnerSettings(
                queue=settings.run_queue,
                heartbeat=settings.heartbeat,
                grace_seconds=settings.shutdown_grace_seconds,
                events_kept_seconds=settings.events_kept_seconds,
            ),
            observer=self.observer,
        )

    def lost(self, principal: Principal | None) -> str | None:
        """Why the authority of a principal is gone, as far as is known here; None: it is not."""
        return None if self.trust is None else self.trust.authority.lost(principal)

    @cached_property
    def streams(self) -> OpenStreams:
        """The event streams that are being sent."""
        patience_seconds = self.settings.shutdown_grace_seconds + _STOPPING_SECONDS
        return OpenStreams(patience_seconds=patience_seconds)

    def stream(self, body: AsyncIterator[bytes]) -> EventStream:
        """An answer of events."""
        return EventStream(body, streams=self.streams)

    def load(self) -> Load:
        """What is under way, as far as it is known without asking a database."""
        runner = self._runner
        return Load(
            runs_at_work=0 if runner is None else runner.at_work,
            runs_waiting=self._runs_waiting,
            open_streams=self.streams.count,
        )

    async def refresh_load(self) -> None:
        """Count the runs that wait. Where that cannot be read it is not known any more."""
        if self._runner is None:
            return
        try:
            self._runs_waiting = await self._runner.waiting()
        except StorageError as error:
            logger.warning("the runs that wait cannot be counted at present: %s", error)
            self._runs_waiting = None

    def end_revoked(self) -> None:
        """End what principals have going whose authority is gone: first runs, then requests."""
        self.runs.stop_revoked()
        revoked = self.open_requests.revoked()
        if revoked:
            loop = asyncio.get_running_loop()
            loop.call_later(_LAST_WORDS_SECONDS, self.open_requests.cut, revoked)

    async def refresh_trust(self) -> None:
        """Take over at once what this request has changed of revocations and service accounts."""
        if self.trust is not None:
            await self.trust.watch.refresh()

    async def visible(
        self, caller: Caller, permission: Permission, ids: Collection[str]
    ) -> Collection[str]:
        """Those of some objects that a list may show to a caller."""
        return ids if self.policy is None else await self.policy.visible(caller, permission, ids)

    async def check_authority(self, principal: Principal | None) -> None:
        """Refuse whoever was revoked by what the database says now, also if we have not heard yet.

        Raises:
            AuthorityLostError: they were.
            StorageUnavailableError: nobody can say.
        """
        if self.trust is None or principal is None:
            return
        if not await self.trust.watch.refresh():
            raise StorageUnavailableError("the revocations cannot be read at present")
        reason = self.trust.authority.lost(principal)
        if reason is not None:
            raise AuthorityLostError(reason)

    @property
    def schedule_authority(self) -> ScheduleAuthority:
        """Whether schedules may be made, and may fire."""
        return ScheduleAuthority(
            self.policy,
            auditing=self.auditing,
            check=self.check_authority,
            ttl=self.authority_ttl,
        )

    @property
    def scheduled_runs(self) -> AgentsRuns:
        """The runs that schedules begin."""
        return AgentsRuns(
            agents=self.agents,
            db_of=self.db_of,
            default_db=self.default_db,
            runs=lambda: self.runs,
            limits=self.settings.run_queue.limits,
            authority=self.schedule_authority,
        )

    @cached_property
    def giving(self) -> Giving:
        """What outlives a request is given away through it."""
        return Giving(self.check_authority)

    @property
    def issuers(self) -> Sequence[TrustedIssuer]:
        """The auth servers whose tokens are taken."""
        return () if self.trust is None else [issuer for issuer, _ in self.trust.issuers]

    @property
    def revoking(self) -> Revoking:
        """Revokes, in this server's database."""
        outlives_seconds = 0.0 if self.trust is None else self.trust.outlives_seconds
        return Revoking(self.default_db.trust(), self.issuers, outlives_seconds=outlives_seconds)

    def agent(self, agent_id: str) -> Agent:
        """The agent of that id.

        Raises:
            NotFoundError: there is none.
        """
        agent = self.agents.get(agent_id)
        if agent is None:
            raise NotFoundError("Agent", agent_id, "Agent not found")
        return agent

    def db_of(self, agent: Agent) -> Db:
        """Where an agent's sessions and runs are."""
        return self.default_db if agent.db is None else self.dbs[agent.db.id]

    def db(self, db_id: str) -> Db:
        """The database of that id.

        Raises:
            NotFoundError: there is none.
        """
        db = self.dbs.get(db_id)
        if db is None:
            raise NotFoundError("database", db_id, f"No database found with id {db_id!r}")
        return db

    def store(self, caller: Caller, db_id: str | None = None) -> Store:
        """The rows that a caller reaches, in the database of that id or the default one.

        Raises:
            NotFoundError: there is no such database.
        """
        db = self.default_db if db_id is None else self.db(db_id)
        return db.store(caller.access)


def agents_by_id(agents: Sequence[Agent]) -> dict[str, Agent]:
    """Agents by id.

    Raises:
        ConfigurationError: two have the same.
    """
    found: dict[str, Agent] = {}
    for agent in agents:
        if agent.id in found:
            raise ConfigurationError(f"two agents have the id {agent.id!r}")
        found[agent.id] = agent
    return found
