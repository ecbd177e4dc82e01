"""A served place with schedules, and whoever asks about them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from licet.authn.principal import owner_key
from licet.db.audit_records import AuditQuery, AuditRecord
from licet.db.base import Access
from licet.db.schedule_records import ScheduleQuery, ScheduleRecord
from tests.support.durable_place import DurablePlace
from tests.support.world import OWNER

ALL = ("schedules:read", "schedules:write", "schedules:delete", "agents:run")
EVERYBODY = Access("", sees_all=True)


class SchedulePlace:
    """The place of durable runs, and a client of it; ``headers`` are Olga's."""

    def __init__(self, place: DurablePlace, client: httpx.Client) -> None:
        self.place = place
        self.client = client
        self.headers = self.bearer()

    def bearer(self, subject: str = OWNER, *scopes: str, **claims: Any) -> dict[str, str]:
        """Headers of somebody who may all about schedules, or what is given."""
        return self.place.world.bearer(subject, *(scopes or ALL), **claims)

    def ask(self, method: str, path: str = "", **given: Any) -> httpx.Response:
        """Ask about schedules; as Olga, where no headers are given."""
        return self.client.request(
            method, f"/schedules{path}", **{"headers": self.headers, **given}
        )

    def create(self, message: str = "say hello", **values: Any) -> httpx.Response:
        """Ask for a schedule, on demand where nothing else is said."""
        headers = values.pop("headers", self.headers)
        body = {
            "name": "daily",
            "endpoint": "/agents/alpha/runs",
            "payload": {"message": message},
            **values,
        }
        return self.ask("POST", json=body, headers=headers)

    def made(self, message: str = "say hello", **values: Any) -> str:
        """The id of a new schedule."""
        answer = self.create(message, **values)
        assert answer.status_code == 201, answer.text
        made: str = answer.json()["id"]
        return made

    def trigger(self, schedule_id: str, **given: Any) -> dict[str, Any]:
        """Fire it; answer what came of it."""
        answer = self.ask("POST", f"/{schedule_id}/trigger", **given)
        assert answer.status_code == 200, answer.text
        came: dict[str, Any] = answer.json()
        return came

    def seen(self, schedule_id: str) -> dict[str, Any]:
        """The schedule as it is shown."""
        answer = self.ask("GET", f"/{schedule_id}", headers=self.place.world.admin())
        assert answer.status_code == 200, answer.text
        seen: dict[str, Any] = answer.json()
        return seen

    def runs(self, schedule_id: str) -> list[dict[str, Any]]:
        """What came of it so far, the latest first."""
        answer = self.ask("GET", f"/{schedule_id}/runs", headers=self.place.world.admin())
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["data"]
        return found

    def revoke(self, **what: str) -> None:
        """Take authority back."""
        made = self.client.post("/revocations", json=what, headers=self.place.world.admin())
        assert made.status_code == 201, made.text

    def stored(self, schedule_id: str) -> ScheduleRecord:
        """The schedule as it is stored."""
        found = asyncio.run(self.place.db.schedules(EVERYBODY).get(schedule_id))
        assert found is not None
        return found

    def store(self, schedule: ScheduleRecord) -> None:
        """Store a schedule as no route would."""
        store = self.place.db.schedules(EVERYBODY)
        assert asyncio.run(store.create(schedule, limit=1000))

    def decisions(self, schedule_id: str) -> list[AuditRecord]:
        """What was recorded of its firings, the latest first."""

        async def read() -> list[AuditRecord]:
            found = await self.place.db.audit().find(AuditQuery(limit=1000))
            return [each for each in found if each.kind == "schedule"]

        path = f"/schedules/{schedule_id}"
        return [each for each in asyncio.run(read()) if each.route == path]

    def clear(self) -> None:
        """Delete all schedules."""

        async def delete() -> None:
            store = self.place.db.schedules(EVERYBODY)
            for each in (await store.list_schedules(ScheduleQuery(limit=1000))).schedules:
                await store.delete(each.id)

        asyncio.run(delete())


def owner(subject: str = OWNER) -> str:
    """Whose the rows of somebody are."""
    return owner_key("default", subject)


@contextmanager
def served_schedules(folder: Path, **given: Any) -> Iterator[SchedulePlace]:
    """A place that is served until the block ends."""
    place = DurablePlace(folder)
    with place.served(**given) as client:
        yield SchedulePlace(place, client)
