"""Every route, in every spelling of its path and its method, for callers without its scope."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from licet.authz.families import DEFAULT_FAMILIES
from licet.authz.permission import Permission
from licet.os.table import Entry
from tests.attack.forge import claims, forged
from tests.attack.target import (
    DENIALS,
    LIVE,
    METHODS,
    PARSER,
    SCOPE,
    VAULT,
    Answer,
    Target,
    Watch,
    pieces_of,
    target,
)
from tests.support.world import CLIENT_ID, ISSUER, RUN_ID, SESSION_ID, IssuerTokens, World

WORLD = World(tokens=IssuerTokens())
CONFIG: dict[str, Any] = {"issuer": ISSUER, "oidc_client_id": CLIENT_ID}
OBJECTS = {"agent_id": "alpha", "session_id": SESSION_ID, "run_id": RUN_ID}
# 400: the HTTP parser; 404: the form is no route's; 405: it is one's, for other methods.
REASONS = {
    401: "Authorization header missing",
    403: "Required scope(s): ",
    404: "Not Found",
    405: "Method Not Allowed",
}
REFUSALS = frozenset((400, *REASONS))


def guarded() -> list[Entry]:
    """The routes of a server that ask for something, and the vault beside them."""
    table = WORLD.agent_os(config=CONFIG).route_table()
    return [entry for entry in table.entries() if entry.rule is not None and not entry.rule.public]


ENTRIES = guarded()


def name(entry: Entry) -> str:
    return f"{entry.methods[0]} {entry.template}"


def permission_of(entry: Entry) -> Permission:
    assert entry.rule is not None
    (permission,) = entry.rule.permissions
    return permission


@pytest.fixture(scope="module")
def attacked() -> Iterator[Target]:
    with target(WORLD, **CONFIG) as made:
        yield made


@pytest.fixture
def watch(caplog: pytest.LogCaptureFixture) -> Watch:
    WORLD.seed()
    account, revocation = WORLD.seed_trust()
    OBJECTS.update(
        service_account_id=account,
        revocation_id=revocation,
        schedule_id=WORLD.seed_schedule(),
        approval_id=WORLD.seed_approval(),
    )
    return Watch(caplog, pieces_of(WORLD.tokens.public_key))


def bearer(*scopes: str) -> bytes:
    return b"Authorization: Bearer " + forged(WORLD.tokens, claims(iss=ISSUER, scopes=list(scopes)))


def everything_but(family: str) -> bytes:
    """The token of somebody who holds each scope that there is, besides those of one family."""
    scopes = [
        f"{known}:{action}"
        for known, its in DEFAULT_FAMILIES.known.items()
        if known != family
        for action in its.actions
    ]
    return bearer(*scopes, SCOPE)


def path_of(entry: Entry) -> str:
    return entry.template.format(**OBJECTS)


Spell = Callable[[str], str]
SPELLINGS: dict[str, Spell] = {
    "as it is": lambda p: p,
    "a slash after it": lambda p: p + "/",
    "two slashes after it": lambda p: p + "//",
    "two slashes before it": lambda p: "/" + p,
    "three slashes before it": lambda p: "//" + p,
    "two slashes within": lambda p: p[0] + p[1:].replace("/", "//", 1),
    "all slashes twice": lambda p: p.replace("/", "//"),
    "a dot before it": lambda p: "/." + p,
    "a dot after it": lambda p: p + "/.",
    "a dot segment within": lambda p: p[0] + p[1:].replace("/", "/./", 1),
    "two dots after it": lambda p: p + "/..",
    "down and up": lambda p: "/x/.." + p,
    "through a public page": lambda p: "/health/.." + p,
    "through the documentation": lambda p: "/docs/.." + p,
    "through the vault": lambda p: VAULT + "/.." + p,
    "up beyond the root": lambda p: "/../.." + p,
    "with encoded dots": lambda p: "/x/%2e%2e" + p,
    "with one encoded dot": lambda p: "/%2e" + p,
    "with doubly encoded dots": lambda p: "/x/%252e%252e" + p,
    "an encoded slash after it": lambda p: p + "%2F",
    "an encoded slash before it": lambda p: "/%2F" + p[1:],
    "an encoded slash within": lambda p: p[0] + p[1:].replace("/", "%2F", 1),
    "encoded slashes": lambda p: p[0] + p[1:].replace("/", "%2f"),
    "through a public page, encoded": lambda p: "/health%2F..%2F" + p[1:],
    "doubly encoded slashes": lambda p: p[0] + p[1:].replace("/", "%252F"),
    "overlong slashes": lambda p: p[0] + p[1:].replace("/", "%c0%af"),
    "its first letter encoded": lambda p: f"/%{ord(p[1]):02x}{p[2:]}",
    "its first letter doubly encoded": lambda p: f"/%25{ord(p[1]):02x}{p[2:]}",
    "its last letter encoded": lambda p: f"{p[:-1]}%{ord(p[-1]):02X}",
    "capitals": str.upper,
    "a capital": lambda p: p[0] + p[1].upper() + p[2:],
    "a capital at the end": lambda p: p[:-1] + p[-1].upper(),
    "wide letters": lambda p: "/%ef%bd%81" + p[2:],
    "a parameter": lambda p: p + ";a=b",
    "an empty parameter": lambda p: p + ";",
    "a parameter before it": lambda p: "/;a=b" + p,
    "a parameter within": lambda p: p[0] + p[1:].replace("/", ";a=b/", 1),
    "two dots and a parameter": lambda p: "/x/..;" + p,
    "an extension": lambda p: p + ".json",
    "a static extension": lambda p: p + "/x.css",
    "a query": lambda p: p + "?scope=agent_os:admin",
    "an empty query": lambda p: p + "?",
    "an encoded query": lambda p: p + "%3Fa=b",
    "a fragment": lambda p: p + "#/health",
    "an encoded fragment": lambda p: p + "%23",
    "a NUL": lambda p: p + "%00",
    "a NUL and more": lambda p: p + "%00.css",
    "a bare NUL": lambda p: p + "\0",
    "a space": lambda p: p + "%20",
    "a tab": lambda p: p + "%09",
    "a line break": lambda p: p + "%0d%0aX-Admin:%201",
    "a backslash": lambda p: p + "\\",
    "backslashes": lambda p: p[0] + p[1:].replace("/", "\\"),
    "an encoded backslash": lambda p: p + "%5C",
    "encoded backslashes": lambda p: p[0] + p[1:].replace("/", "%5c"),
    "half an escape": lambda p: p + "%",
    "an escape that is none": lambda p: p + "%zz",
    "no UTF-8": lambda p: p + "%ff",
    "a surrogate": lambda p: p + "%ed%a0%80",
    "turned around": lambda p: p + "%e2%80%ae",
    "a placeholder": lambda p: p + "/{x}",
    "a star": lambda p: p + "/*",
    "absolute": lambda p: "http://127.0.0.1" + p,
    "absolute, of another host": lambda p: "http://elsewhere.test" + p,
    "absolute, https": lambda p: "https://127.0.0.1:443" + p,
    "absolute, another scheme": lambda p: "file://" + p,
    "of no host": lambda p: "//elsewhere.test" + p,
    "without its slash": lambda p: p[1:],
    "very long": lambda p: p + "/" + "x" * 20_000,
}


@pytest.mark.parametrize("entry", ENTRIES, ids=name)
def test_no_spelling_opens_a_route(attacked: Target, watch: Watch, entry: Entry) -> None:
    weak = everything_but(permission_of(entry).resource)
    for spelling, spell in SPELLINGS.items():
        form = spell(path_of(entry))
        for who in ((), (weak,)):
            answer = refused(attacked, watch, entry.methods[0], form, who)
            assert b"Olga" not in answer.body, spelling
            assert answer.status != 401 or not who, spelling
    assert WORLD.olgas_session() is not None


@pytest.mark.parametrize(
    "entry", [e for e in ENTRIES if permission_of(e).id_param is not None], ids=name
)
def test_no_spelling_takes_one_id_for_another(attacked: Target, watch: Watch, entry: Entry) -> None:
    permission = permission_of(entry)
    assert permission.id_param is not None
    mine = "another"
    who = bearer(f"{permission.resource}:{mine}:{permission.action}")
    theirs = OBJECTS[permission.id_param]
    for form in (
        *(theirs, f"{mine}/../{theirs}", f"{mine}%2F..%2F{theirs}", f"{mine}/%2e%2e/{theirs}"),
        *(f"{mine}%252F..%252F{theirs}", f"{mine};/../{theirs}", f"{mine}/..;/{theirs}"),
        *(f"{mine}%00{theirs}", f"{theirs}%00{mine}", f"{theirs}%20", f"%20{theirs}"),
        *(f"{theirs};{mine}", f"{theirs}%3B{mine}", f"{theirs},{mine}", f"{theirs}%2C{mine}"),
        *(f"{theirs}?{permission.id_param}={mine}&x=", f"./{theirs}", f".%2F{theirs}"),
        *("*", "%2A", "%00", ".", "..", "%2e%2e"),
        *(f"%{ord(theirs[0]):02x}{theirs[1:]}", theirs.capitalize(), f"{theirs}\\..\\{mine}"),
    ):
        path = entry.template.format(**{**OBJECTS, permission.id_param: form})
        refused(attacked, watch, entry.methods[0], path, (who,))


def refused(
    attacked: Target, watch: Watch, method: str, path: str, lines: tuple[bytes, ...] = ()
) -> Answer:
    return watch.refused(
        attacked,
        lambda: attacked.ask(*lines, method=method, path=path),
        sent=b" ".join(line.partition(b"Bearer ")[2] for line in lines),
        reason=REASONS,
        statuses=REFUSALS,
    )


def test_the_table_is_complete() -> None:
    assert len(ENTRIES) == 47
    assert {permission_of(entry).resource for entry in ENTRIES} == {
        *("agents", "approvals", "sessions", "schedules", "config"),
        *("service_accounts", "revocations", "audit", "authz", "telemetry"),
    }


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.methods == ("GET",)], ids=name)
def test_the_right_scope_opens_it(attacked: Target, watch: Watch, entry: Entry) -> None:
    olga = claims(sub="olga", iss=ISSUER, scopes=[permission_of(entry).scope])
    line = b"Authorization: Bearer " + forged(WORLD.tokens, olga)
    for slash in ("", "/"):
        path = f"{path_of(entry)}{slash}?session_id={SESSION_ID}"
        assert attacked.ask(line, path=path).status == 200
    # And what opens nothing here is a good token elsewhere.
    weak = everything_but(permission_of(entry).resource)
    watch.let_in(attacked, lambda: attacked.ask(weak))


OVERRIDES = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")


def overrides(method: str) -> list[tuple[bytes, ...]]:
    lines = [(f"{name}: {method}".encode(),) for name in OVERRIDES]
    rewritten = [
        (f"{name}: /health".encode(),)
        for name in ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "X-Forwarded-Uri")
    ]
    return [*lines, *rewritten]


@pytest.mark.parametrize("entry", ENTRIES, ids=name)
def test_no_header_and_no_field_changes_the_method(
    attacked: Target, watch: Watch, entry: Entry
) -> None:
    method, path = entry.methods[0], path_of(entry)
    weak = everything_but(permission_of(entry).resource)
    # Each once: half of them are the same for every method.
    ways = dict.fromkeys(overrides(method) + overrides("GET"))
    for other in METHODS:
        for lines in ways:
            refused(attacked, watch, other, path, (weak, *lines))
            refused(attacked, watch, other, path, lines)
        refused(attacked, watch, other, f"{path}?_method={method}", (weak,))
        refused(attacked, watch, other, f"/health/../?_method={method}", (weak,))


@pytest.mark.parametrize(
    "entry", [e for e in ENTRIES if e.methods != ("GET",) and "session" in e.template], ids=name
)
def test_who_may_read_deletes_and_changes_nothing_by_another_name(
    attacked: Target, watch: Watch, entry: Entry
) -> None:
    before = WORLD.olgas_session()
    assert before is not None
    reader = forged(WORLD.tokens, claims(sub="olga", iss=ISSUER, scopes=["sessions:read"]))
    line = b"Authorization: Bearer " + reader
    for lines in overrides(entry.methods[0]):
        attacked.ask(line, *lines, path=path_of(entry))
        body = f"_method={entry.methods[0]}".encode()
        answer = attacked.ask(line, *lines, method="POST", path=path_of(entry), body=body)
        assert answer.status in REFUSALS
    refused(attacked, watch, entry.methods[0], path_of(entry), (line,))
    assert WORLD.olgas_session() == before


@pytest.mark.parametrize("entry", ENTRIES, ids=name)
def test_no_other_method_opens_a_route(attacked: Target, watch: Watch, entry: Entry) -> None:
    weak = everything_but(permission_of(entry).resource)
    methods = ("HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "PURGE", "get", "GETS", "*")
    for method in methods:
        for lines in ((), (weak,), (weak, b"Access-Control-Request-Method: GET")):
            answer = refused(attacked, watch, method, path_of(entry), lines)
            assert answer.body == b"" or method != "HEAD"


@pytest.mark.parametrize("path", [VAULT, VAULT + "/", LIVE, "/nowhere"])
def test_a_route_of_ones_own_is_no_easier(attacked: Target, watch: Watch, path: str) -> None:
    weak = bearer("agents:read", "vault:close", "vault:x:open", "files:open")
    for method in (*METHODS, "HEAD", "OPTIONS", "TRACE"):
        for spell in SPELLINGS.values():
            for who in ((), (weak,)):
                refused(attacked, watch, method, spell(path), who)
    good = forged(WORLD.tokens, claims(iss=ISSUER))
    for method in METHODS:
        watch.let_in(attacked, lambda method=method: attacked.knock(good, method=method))  # type: ignore[misc]  # bound now


def test_no_spelling_opens_a_websocket(attacked: Target, watch: Watch) -> None:
    weak = bearer("agents:read", "vault:close", "vault:x:open", "files:open")
    for spelling, spell in SPELLINGS.items():
        path, beyond = spell(LIVE), spelling == "very long"
        for who in ((), (weak,)):
            # The WebSocket library reads no longer line, and so its answer is the only one.
            watch.refused(
                attacked,
                lambda lines=who, path=path: attacked.shake(*lines, path=path),  # type: ignore[misc]  # bound now
                sent=b" ".join(line.partition(b"Bearer ")[2] for line in who),
                reason={**REASONS, 414: "HTTP response sent (414"},
                statuses={414} if beyond else REFUSALS,
                logger=PARSER if beyond else DENIALS,
            )
    good = bearer(SCOPE)
    for path in (LIVE, LIVE + "/", f"{LIVE}?a=b"):
        watch.let_in(attacked, lambda path=path: attacked.shake(good, path=path))  # type: ignore[misc]  # bound now


def test_the_scope_of_the_answer_is_told(attacked: Target, watch: Watch) -> None:
    answer = refused(attacked, watch, "GET", "/agents/", (everything_but("agents"),))
    assert answer.status == 403
    assert json.loads(answer.body)["detail"].endswith("Required scope(s): agents:read")
