"""The reads of trust, in SQLAlchemy Core: what changed, lists, single accounts."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, case, func, or_, select
from sqlalchemy.engine import Connection

from licet.db.codec import MAX_INTEGER, storable, within_columns
from licet.db.tables import changes, revocations, service_accounts
from licet.db.trust_codec import (
    REVOCATION_COLUMNS,
    SERVICE_ACCOUNT_COLUMNS,
    revocation_record,
    service_account_record,
)
from licet.db.trust_records import (
    TRUST_TOPIC,
    RevocationPage,
    RevocationQuery,
    ServiceAccountPage,
    ServiceAccountQuery,
    TrustChanges,
)
from licet.db.watching import no_such_topic

_revocation_values = [revocations.c[name] for name in REVOCATION_COLUMNS]
_account_values = [service_accounts.c[name] for name in SERVICE_ACCOUNT_COLUMNS]
# Made once: every process asks it several times a second.
_NUMBER = select(changes.c.number).where(changes.c.topic == bindparam("topic"))


def topic_number(connection: Connection, topic: str) -> int:
    """The number that a topic has reached.

    Raises:
        StorageError: there is no such topic.
    """
    number = None
    if storable(topic):
        number = connection.execute(_NUMBER, {"topic": topic}).scalar_one_or_none()
    if number is None:
        raise no_such_topic(topic)
    return int(number)


def trust_changes(connection: Connection, *, after: int) -> TrustChanges:
    """What changed after a number."""
    # The number first: a row that is committed after it is read once more the next time.
    number = topic_number(connection, TRUST_TOPIC)
    changed = connection.execute(
        select(*_revocation_values)
        .where(revocations.c.change_number > within_columns(after))
        .order_by(revocations.c.change_number, revocations.c.id)
    )
    changed_accounts = connection.execute(
        select(*_account_values)
        .where(service_accounts.c.change_number > within_columns(after))
        .order_by(service_accounts.c.change_number, service_accounts.c.id)
    )
    return TrustChanges(
        number=number,
        revocations=tuple(map(revocation_record, changed)),
        service_accounts=tuple(map(service_account_record, changed_accounts)),
    )


def revocation_page(connection: Connection, query: RevocationQuery) -> RevocationPage:
    """One page of the revocations in force."""
    wanted = [
        revocations.c.deleted_at_us.is_(None),
        revocations.c.expires_at_us > within_columns(query.now_us),
    ]
    for column, value in (
        (revocations.c.kind, None if query.kind is None else query.kind.value),
        (revocations.c.issuer_alias, query.issuer_alias),
        (revocations.c.value, query.value),
    ):
        if value is not None:
            wanted.append(column == value)
    latest_first = (revocations.c.created_at_us.desc(), revocations.c.id.desc())
    page = select(*_revocation_values).where(*wanted).order_by(*latest_first)
    rows = connection.execute(_paged(page, query.page, query.limit))
    return RevocationPage(
        revocations=tuple(map(revocation_record, rows)),
        total_count=_count(connection, revocations.c.id, wanted),
    )


def service_account_page(connection: Connection, query: ServiceAccountQuery) -> ServiceAccountPage:
    """One page of service accounts."""
    wanted: list[ColumnElement[bool]] = []
    if not query.include_revoked:
        wanted.append(service_accounts.c.revoked_at_us.is_(None))
    if query.ids is not None:
        wanted.append(service_accounts.c.id.in_(filter(storable, query.ids)))
    by = service_accounts.c["name" if query.sort_by == "name" else f"{query.sort_by}_us"]
    # The databases do not agree where NULL stands.
    missing_last = case((by.is_(None), 1), else_=0)
    order = (missing_last, by.desc() if query.descending else by.asc(), service_accounts.c.id)
    page = select(*_account_values).where(*wanted).order_by(*order)
    rows = connection.execute(_paged(page, query.page, query.limit))
    return ServiceAccountPage(
        service_accounts=tuple(map(service_account_record, rows)),
        total_count=_count(connection, service_accounts.c.id, wanted),
    )


def account_of_id(account_id: str) -> Select[Any]:
    """The account of that id."""
    return select(*_account_values).where(service_accounts.c.id == account_id)


def accounts_of_digest(token_digest: str) -> Select[Any]:
    """The accounts whose token, or old token, has that digest: the current one's first."""
    current = service_accounts.c.token_digest == token_digest
    return (
        select(*_account_values)
        .where(or_(current, service_accounts.c.old_token_digest == token_digest))
        .order_by(case((current, 0), else_=1), service_accounts.c.id)
    )


def _paged(statement: Select[Any], page: int, limit: int) -> Select[Any]:
    limit = within_columns(max(0, limit))
    return statement.limit(limit).offset(min(MAX_INTEGER, max(0, page - 1) * limit))


def _count(
    connection: Connection, column: ColumnElement[str], wanted: list[ColumnElement[bool]]
) -> int:
    return int(connection.execute(select(func.count(column)).where(*wanted)).scalar_one())
