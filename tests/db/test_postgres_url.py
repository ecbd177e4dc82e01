from __future__ import annotations

import psycopg.conninfo
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import URL

from licet.db.postgres import PostgresDb
from licet.db.postgres_url import parse_postgres_url
from licet.errors import ConfigurationError


@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "postgresql", "postgres"])
def test_the_seeds_url_is_read(scheme: str) -> None:
    assert parse_postgres_url(f"{scheme}://ai:ai@localhost:5532/ai").parameters == {
        "user": "ai",
        "password": "ai",
        "host": "localhost",
        "port": "5532",
        "dbname": "ai",
    }


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ("h", {"host": "h"}),
        ("h/d", {"host": "h", "dbname": "d"}),
        ("u@h/d", {"user": "u", "host": "h", "dbname": "d"}),
        ("u:p%40s%2Fs@h/d", {"user": "u", "password": "p@s/s", "host": "h", "dbname": "d"}),
        ("u:p@s@h/d", {"user": "u", "password": "p@s", "host": "h", "dbname": "d"}),
        ("u:p/w?x@h/d", {"user": "u", "password": "p/w?x", "host": "h", "dbname": "d"}),
        ("[::1]:5433/d", {"host": "::1", "port": "5433", "dbname": "d"}),
        ("a:1,b:2/d", {"host": "a,b", "port": "1,2", "dbname": "d"}),
        ("a,b:2/d", {"host": "a,b", "port": ",2", "dbname": "d"}),
        ("/d?host=/run/pg", {"dbname": "d", "host": "/run/pg"}),
        (
            "h/d?sslmode=require&options=-c%20a%3Db",
            {
                "host": "h",
                "dbname": "d",
                "sslmode": "require",
                "options": "-c a=b",
            },
        ),
        ("h/a%20b", {"host": "h", "dbname": "a b"}),
    ],
)
def test_parts_are_read(rest: str, expected: dict[str, str]) -> None:
    found = parse_postgres_url(f"postgresql://{rest}").parameters
    assert found == expected
    assert psycopg.conninfo.make_conninfo(**found)


words = st.text(st.characters(min_codepoint=1, exclude_categories=["Cs"]), min_size=1)


@given(user=words, password=words, database=words, port=st.integers(1, 65535))
def test_what_sqlalchemy_writes_is_read_back(
    user: str, password: str, database: str, port: int
) -> None:
    url = URL.create(
        "postgresql+psycopg", user, password, host="db.example", port=port, database=database
    ).render_as_string(hide_password=False)
    # SQLAlchemy writes a database's name as it is; here it is escaped, as the manual of libpq asks.
    if set("%?#\r\n") & set(database):
        return
    found = parse_postgres_url(url).parameters
    assert (found["user"], found["password"]) == (user, password)
    assert (found["dbname"], found["port"]) == (database, str(port))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mysql://u:geheim@h/d",
        "postgresql+asyncpg://u:geheim@h/d",
        "u:geheim@h/d",
        "postgresql://u:geheim@h:port/d",
        "postgresql://u:geheim@h:1:2/d",
    ],
)
def test_another_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"postgresql\+psycopg://") as caught:
        PostgresDb(url)
    assert "geheim" not in str(caught.value)


def test_an_id_is_of_the_place_alone() -> None:
    base = PostgresDb("postgresql://u:geheim@h:5432/d")
    assert base.id == PostgresDb("postgres://other:else@h/d?sslmode=require").id
    assert base.id != PostgresDb("postgresql://u:geheim@h:5433/d").id
    assert base.id != PostgresDb("postgresql://u:geheim@h/e").id
    assert base.id != PostgresDb("postgresql://u:geheim@i/d").id
    assert PostgresDb("postgresql://h/d", id="mine").id == "mine"


def test_the_password_is_in_no_repr() -> None:
    db = PostgresDb("postgresql://u:geheim@h/d")
    shown = [repr(db), repr(vars(db)), repr(parse_postgres_url("postgresql://u:geheim@h/d"))]
    assert not any("geheim" in text for text in shown)
