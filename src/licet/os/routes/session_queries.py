"""What the queries of session routes may say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from licet.db.records import RunQuery, RunStatus, SessionQuery
from licet.errors import InvalidInputError
from licet.os import values
from licet.os.routes.session_bodies import MAX_NAME_CHARS

MAX_PAGE = 1_000_000
MAX_LIMIT = 1000
_LAST_EPOCH_SECOND = 253_402_300_799  # the end of the year 9999

SessionType = Literal["agent", "team", "workflow"]
Epoch = Annotated[int | None, Field(ge=0, le=_LAST_EPOCH_SECOND, description="Epoch seconds")]


class Place(BaseModel):
    """Where to look for a session."""

    type: SessionType | None = Field(None, description="Only a session of that type")
    user_id: str | None = Field(None, description="Whose session; for who sees all")
    db_id: str | None = Field(None, description="Which database; the default one when absent")


class RunFilter(Place):
    """Which runs of a session."""

    created_after: Epoch = None
    created_before: Epoch = None
    status: list[str] | None = Field(None, description="Only runs with these statuses")

    def run_query(self) -> RunQuery:
        """The query of the database.

        Raises:
            InvalidInputError: a status that there is not.
        """
        names = [name.upper() for name in self.status or ()]
        if any(name not in RunStatus.__members__ for name in names):
            raise InvalidInputError("query.status", f"one of {', '.join(RunStatus.__members__)}")
        after, before = self.created_after, self.created_before
        return RunQuery(
            statuses=tuple(RunStatus(name) for name in names),
            created_from_us=None if after is None else after * 1_000_000,
            created_to_us=None if before is None else before * 1_000_000 + 999_999,
        )


class Listing(Place):
    """Which sessions, in which order, which page of them. Unknown ``sort_by`` is ``created_at``."""

    component_id: str | None = None
    session_name: str | None = Field(None, description="Part of the name, in any case")
    limit: int = Field(20, ge=1, le=MAX_LIMIT)
    page: int = Field(1, ge=1, le=MAX_PAGE)
    sort_by: str = "created_at"
    sort_order: Literal["asc", "desc"] = "desc"

    def session_query(self, session_ids: frozenset[str] | None) -> SessionQuery:
        """The query of the database; ``session_ids`` are those that the caller's grants reach.

        Raises:
            InvalidInputError: a text that cannot be looked for.
        """
        sort_by = self.sort_by
        return SessionQuery(
            session_type=self.type,
            component_id=_filter(self.component_id, "query.component_id"),
            user_id=_filter(self.user_id, "query.user_id"),
            session_name=_filter(self.session_name, "query.session_name"),
            session_ids=session_ids,
            sort_by=sort_by if sort_by in {"updated_at", "session_name"} else "created_at",  # type: ignore[arg-type]  # one of the three
            descending=self.sort_order == "desc",
            page=self.page,
            limit=self.limit,
        )


def _filter(value: str | None, field: str) -> str | None:
    """A text to filter by; an empty one counts as absent."""
    if not value:
        return None
    if len(value) > MAX_NAME_CHARS:
        raise InvalidInputError(field, f"at most {MAX_NAME_CHARS} characters")
    return values.text(value, field)
