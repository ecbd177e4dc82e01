"""Database URLs in SQLAlchemy's form, as parameters of libpq."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from licet.errors import ConfigurationError

_SCHEMES = ("postgresql+psycopg", "postgresql", "postgres")
_EXPECTED = "expected postgresql+psycopg://user:password@host:port/database"
_URL = re.compile(
    r"(?P<scheme>[a-z0-9+]+)://"
    # A password may hold an unescaped '@': the last one ends it.
    r"(?:(?P<user>[^:/?#]*?)(?::(?P<password>.*))?@)?"
    r"(?P<hosts>[^@/?#]*)"
    r"(?:/(?P<database>[^?#]*))?"
    r"(?:\?(?P<options>.*))?"
)
_HOST = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>\d{1,5}))?")


@dataclass(frozen=True, slots=True)
class PostgresAddress:
    """Where a database is. ``parameters`` are libpq's, and hold the password: never shown."""

    parameters: dict[str, str] = field(repr=False)

    @property
    def digest(self) -> str:
        """Twelve characters for the server and the database; who connects is no part of it."""
        known = self.parameters
        where = (known.get("host", ""), known.get("port", "5432"), known.get("dbname", ""))
        return hashlib.sha256("\0".join(where).encode()).hexdigest()[:12]


def parse_postgres_url(url: str) -> PostgresAddress:
    """Read ``postgresql+psycopg://``, ``postgresql://`` or ``postgres://``.

    Several hosts may stand in it, separated by commas; the query holds further parameters of libpq
    (PostgreSQL documentation, section "Connection URIs").

    Raises:
        ConfigurationError: it is none of these. The message holds no part of the URL.
    """
    match = _URL.fullmatch(url)
    if match is None or match["scheme"] not in _SCHEMES:
        raise ConfigurationError(f"PostgresDb: db_url cannot be read; {_EXPECTED}")
    parameters = {
        "user": match["user"],
        "password": match["password"],
        "dbname": match["database"],
    }
    hosts, ports = [], []
    for part in match["hosts"].split(","):
        address = _HOST.fullmatch(part)
        if address is None:
            raise ConfigurationError(f"PostgresDb: the host in db_url cannot be read; {_EXPECTED}")
        hosts.append(address["host"].strip("[]"))
        ports.append(address["port"] or "")
    parameters["host"] = ",".join(hosts)
    parameters["port"] = ",".join(ports) if any(ports) else None
    given = {name: unquote(value) for name, value in parameters.items() if value}
    return PostgresAddress({**given, **dict(parse_qsl(match["options"] or ""))})
