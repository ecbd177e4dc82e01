"""A small world for tests of the server: two agents, one database, an auth server's key."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from licet.agent import Agent
from licet.agent.output import RunInput, RunOutput
from licet.authn.principal import owner_key
from licet.db.approval_records import ApprovalRecord
from licet.db.base import Access, Db
from licet.db.in_memory import InMemoryDb
from licet.db.records import RunRecord, RunStatus, Saving, SessionQuery, SessionRecord
from licet.db.schedule_records import ScheduleQuery, ScheduleRecord, ScheduleRunRecord
from licet.db.trust_records import RevocationKind, RevocationRecord, ServiceAccountRecord
from licet.models.message import Message
from licet.os import AgentOS, AuthorizationConfig, Settings
from licet.testing import Say, ScriptedModel, TokenFactory

OS_ID = "test-os"
OWNER, STRANGER, ADMIN = "olga", "sten", "ada"
SESSION_ID, RUN_ID = "s1", "r1"
FAMILIES = (
    "agents",
    "approvals",
    "sessions",
    "schedules",
    "config",
    "service_accounts",
    "revocations",
    "audit",
    "authz",
    "telemetry",
)
_WAITING = "waiting"
ISSUER, CLIENT_ID = "https://sso.test", "licet-at-sso"


class IssuerTokens(TokenFactory):
    """An auth server that says who it is."""

    def claims(self, subject: str, **given: Any) -> dict[str, Any]:
        return super().claims(subject, **{"iss": ISSUER, **given})

    def logout_token(self, **claims: Any) -> str:
        """A logout token, of a subject or a session."""
        event: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}
        usual = {"aud": CLIENT_ID, "jti": str(uuid.uuid4()), "events": event, "sub": None}
        given = {**self.claims(""), **usual, **claims}
        said = {name: value for name, value in given.items() if value is not None}
        return self.sign(said, headers={"typ": "logout+jwt"})


@dataclass(kw_only=True)
class World:
    """Agents ``alpha`` and ``beta``; the session ``s1`` with the run ``r1`` is Olga's."""

    tokens: TokenFactory = field(default_factory=TokenFactory)
    db: Db = field(default_factory=InMemoryDb)
    model: Any = field(
        default_factory=lambda: ScriptedModel(
            [Say("Hello from the model")], when_exhausted="repeat_last"
        )
    )
    agents: Sequence[Agent] = ()

    def agent_os(self, **given: Any) -> AgentOS:
        """An AgentOS that trusts ``tokens``."""
        config = given.pop("config", {})
        # Tests fail to authenticate far oftener than anybody may, and all from one address.
        given.setdefault("settings", Settings(max_failed_authentications=1_000_000))
        agents = self.agents or [
            Agent(id=name, name=name.title(), model=self.model, db=self.db)
            for name in ("alpha", "beta")
        ]
        return AgentOS(
            id=OS_ID,
            agents=agents,
            db=self.db,
            authorization=True,
            authorization_config=AuthorizationConfig(
                verification_keys=[self.tokens.public_key], **config
            ),
            **given,
        )

    def bearer(self, subject: str, *scopes: str, **claims: Any) -> dict[str, str]:
        """Headers with a token of these scopes."""
        token = self.tokens.token(subject, scopes=scopes, **claims)
        return {"Authorization": f"Bearer {token}"}

    def admin(self) -> dict[str, str]:
        """Headers with the administrator's token."""
        return self.bearer(ADMIN, "agent_os:admin")

    def seed(self) -> None:
        """Let Olga's session and run exist, unchanged, and nothing else."""
        asyncio.run(self._seed())

    async def _seed(self) -> None:
        everybody = self.db.store(Access("", sees_all=True))
        old = await everybody.list_sessions(SessionQuery(limit=1000))
        await everybody.delete_sessions([session.key for session in old.sessions])
        owner = owner_key("default", OWNER)
        store = self.db.store(Access(owner))
        output = RunOutput(
            run_id=RUN_ID,
            session_id=SESSION_ID,
            agent_id="alpha",
            agent_name="Alpha",
            status=RunStatus.COMPLETED,
            created_at=1,
            user_id=OWNER,
            input=RunInput("Olga's secret question"),
            content="Olga's secret answer",
            messages=(Message(role="user", content="Olga's secret question"),),
        )
        run = RunRecord(
            owner=owner,
            session_id=SESSION_ID,
            run_id=RUN_ID,
            component_id="alpha",
            user_id=OWNER,
            status=RunStatus.RUNNING,
            body=output.to_json(),
            created_at_us=1_000_000,
            updated_at_us=1_000_000,
        )
        await store.begin_run(
            SessionRecord(
                owner=owner,
                session_id=SESSION_ID,
                component_id="alpha",
                user_id=OWNER,
                first_input="Olga's secret question",
                created_at_us=1_000_000,
                updated_at_us=1_000_000,
            ),
            run,
            history_runs=0,
        )
        await store.save_run(replace(run, status=RunStatus.COMPLETED), session_state=None)

    def seed_schedule(self) -> str:
        """Let Olga have one schedule, which was fired once, and nobody another; its id."""
        return asyncio.run(self._seed_schedule())

    async def _seed_schedule(self) -> str:
        store = self.db.schedules(Access("", sees_all=True))
        for old in (await store.list_schedules(ScheduleQuery(limit=1000))).schedules:
            await store.delete(old.id)
        schedule = ScheduleRecord(
            id=str(uuid.uuid4()),
            owner=owner_key("default", OWNER),
            user_id=OWNER,
            name="Olga's schedule",
            agent_id="alpha",
            payload={"message": "Olga's secret question"},
            created_at_us=1_000_000,
            updated_at_us=1_000_000,
        )
        assert await store.create(schedule, limit=1000)
        fired = ScheduleRunRecord(
            id=RUN_ID,
            schedule_id=schedule.id,
            owner=schedule.owner,
            agent_id="alpha",
            run_id=RUN_ID,
            session_id=SESSION_ID,
            triggered_at_us=1_000_000,
            created_at_us=1_000_000,
        )
        assert await store.begin_run(fired) is not None
        return schedule.id

    def seed_approval(self) -> str:
        """Let somebody's run wait for one approval, and nobody's for another; its id."""
        return asyncio.run(self._seed_approval())

    async def _seed_approval(self) -> str:
        everybody = self.db.store(Access("", sees_all=True))
        old = await everybody.find_sessions(_WAITING)
        await everybody.delete_sessions([session.key for session in old])
        owner, approval = owner_key("default", "tess"), str(uuid.uuid4())
        output = RunOutput(
            run_id=f"run-{approval}",
            session_id=_WAITING,
            agent_id="alpha",
            agent_name="Alpha",
            status=RunStatus.PAUSED,
            created_at=1,
            input=RunInput("Tess's secret question"),
        )
        run = RunRecord(
            owner=owner,
            session_id=_WAITING,
            run_id=output.run_id,
            component_id="alpha",
            status=RunStatus.RUNNING,
            body=output.to_json(),
            created_at_us=1_000_000,
            updated_at_us=1_000_000,
        )
        session = SessionRecord(
            owner=owner,
            session_id=_WAITING,
            component_id="alpha",
            user_id="tess",
            created_at_us=1_000_000,
            updated_at_us=1_000_000,
        )
        await everybody.begin_run(session, run, history_runs=0)
        waits = ApprovalRecord(
            id=approval,
            run_id=run.run_id,
            owner=owner,
            session_id=_WAITING,
            component_id="alpha",
            user_id="tess",
            tool_call_id="call_0_0",
            tool_name="refund",
            arguments='{"amount":5}',
            requested_by=owner,
            continues=False,
            created_at_us=1_000_000,
        )
        paused = replace(run, status=RunStatus.PAUSED)
        saving = await everybody.pause_run(paused, session_state=None, job=None, approvals=[waits])
        assert saving is Saving.SAVED
        return approval

    def seed_trust(self) -> tuple[str, str]:
        """A new service account and a new revocation, neither of anybody here; their ids."""
        return asyncio.run(self._seed_trust())

    async def _seed_trust(self) -> tuple[str, str]:
        account, revocation = str(uuid.uuid4()), str(uuid.uuid4())
        store = self.db.trust()
        await store.create_service_account(
            ServiceAccountRecord(
                id=account,
                name=f"robot-{account[:8]}",
                scopes=(),
                token_digest=account,
                token_prefix="licet_sa_none",
                created_at_us=1_000_000,
            )
        )
        await store.add_revocations(
            [
                RevocationRecord(
                    id=revocation,
                    kind=RevocationKind.TOKEN,
                    issuer_alias="default",
                    value=revocation,
                    issued_before_us=1_000_000,
                    expires_at_us=4_000_000_000_000_000,
                    created_at_us=1_000_000,
                )
            ]
        )
        return account, revocation

    def olgas_session(self) -> SessionRecord | None:
        """Olga's session as it is stored now."""
        owner = owner_key("default", OWNER)

        async def find() -> SessionRecord | None:
            found = await self.db.store(Access(owner)).find_sessions(SESSION_ID)
            return found[0] if found else None

        return asyncio.run(find())
