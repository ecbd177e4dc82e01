"""``licet audit tail``: what was decided, the latest last; and what is decided from now on."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from licet.cli.serve import TARGET

if TYPE_CHECKING:
    from licet.cli.program_db import ProgramDb
    from licet.db.audit_base import AuditStore
    from licet.db.audit_records import AuditCursor, AuditQuery, AuditRecord

_DECISIONS = ("allow", "deny")
_POLL_SECONDS = 0.5
_PAGE = 500
# Writers' clocks differ, and batches come late: what is that young is looked at again.
_OVERLAP_US = 5_000_000


def tail(
    target: Annotated[str, TARGET],
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, max=10_000, help="How many.")] = 20,
    decision: Annotated[
        str | None, typer.Option(help="Only these: allow, deny.", show_default=False)
    ] = None,
    issuer: Annotated[
        str | None,
        typer.Option(metavar="ALIAS", help="Only of this issuer.", show_default=False),
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="Only of this subject.", show_default=False)
    ] = None,
    action: Annotated[
        str | None, typer.Option(help="Only of this permission.", show_default=False)
    ] = None,
    request_id: Annotated[
        str | None, typer.Option(help="Only of this request.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON each.")] = False,
) -> None:
    """Print what was decided, the latest last."""
    from licet.cli.program_db import in_program_db
    from licet.db.audit_records import AuditQuery
    from licet.errors import InvalidInputError

    if decision is not None and decision not in _DECISIONS:
        raise InvalidInputError("--decision", f"one of {', '.join(_DECISIONS)}, not {decision!r}")
    query = AuditQuery(
        decision=decision,
        issuer_alias=issuer,
        subject=subject,
        action=action,
        request_id=request_id,
        limit=lines,
    )

    async def shown(program_db: ProgramDb) -> None:
        store = program_db.db.audit()
        # What is there now is not shown as new: so this comes before the lines.
        follower = Follower(store, query)
        if follow:
            await follower.start()
        for record in reversed(await store.find(query) if lines else ()):
            _print(record, as_json=as_json)
            follower.mark(record)
        while follow:
            await asyncio.sleep(_POLL_SECONDS)
            for record in await follower.news():
                _print(record, as_json=as_json)

    with contextlib.suppress(KeyboardInterrupt):
        in_program_db(target, shown)


class Follower:
    """Finds what is new, each record once.

    Args:
        store: where it is looked for.
        query: what is looked for.
    """

    def __init__(self, store: AuditStore, query: AuditQuery) -> None:
        self._store = store
        self._query = replace(query, oldest_first=True, limit=_PAGE)
        self._since_us = 0
        self._seen: set[AuditCursor] = set()

    async def start(self) -> None:
        """From now on: what is there already is not new."""
        latest = replace(self._query, oldest_first=False, limit=1)
        self._since_us = _newest_us(await self._store.find(latest)) or _now_us()
        await self.news()

    def mark(self, record: AuditRecord) -> None:
        """Take a record for known."""
        self._seen.add(record.cursor)

    async def news(self) -> Sequence[AuditRecord]:
        """What was not there before, the oldest first."""
        since_us = self._since_us - _OVERLAP_US
        page: AuditQuery | None = replace(self._query, since_us=since_us)
        new: list[AuditRecord] = []
        while page is not None:
            found = await self._store.find(page)
            new += [record for record in found if record.cursor not in self._seen]
            self._seen.update(record.cursor for record in found)
            self._since_us = max(self._since_us, _newest_us(found))
            page = replace(page, after=found[-1].cursor) if len(found) == _PAGE else None
        self._seen = {place for place in self._seen if place.time_us >= since_us}
        return new


def _newest_us(records: Sequence[AuditRecord]) -> int:
    """The latest of their times, 0 of none. What a clock that is ahead wrote hides no others."""
    now_us = _now_us()
    return max((record.time_us for record in records if record.time_us <= now_us), default=0)


def _now_us() -> int:
    import time

    return time.time_ns() // 1000


def _print(record: AuditRecord, *, as_json: bool) -> None:
    from licet.cli.output import printable
    from licet.os.routes.audit import audit_view, shown_time

    if as_json:
        typer.echo(json.dumps(audit_view(record), separators=(",", ":"), default=str))
        return
    who = "nobody" if record.subject is None else f"{record.issuer_alias}|{record.subject}"
    what = record.action or "-"
    if record.resource_id is not None:
        what += f" on {record.resource_id}"
    status = "" if record.status is None else f" {record.status}"
    line = (
        f"{shown_time(record.time_us)} {record.decision}{status} {who} {what} "
        f"{record.method} {record.route} [{record.rule}] {record.reason} "
        f"from {record.client or 'nowhere'} {record.request_id}"
    )
    typer.echo(printable(line))
