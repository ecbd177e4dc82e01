"""Several issuers: each speaks for its own users only, and nobody speaks for them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from licet.os.config import TrustedIssuer
from licet.testing import TokenFactory
from tests.attack.forge import claims, forged, header_of, with_text
from tests.attack.target import Answer, Target, Watch, pieces_of, target
from tests.support.world import OS_ID, World

ACME, BETA = TokenFactory(), TokenFactory("ES256")
MALLORY = TokenFactory(fresh_key=True)
AT_ACME, AT_BETA = "https://sso.acme.test", "https://sso.beta.test/realms/main"
RIGHTS = ["agents:run", "agents:read", "sessions:read", "sessions:write", "sessions:delete"]


@pytest.fixture(scope="module")
def attacked() -> Iterator[Target]:
    trusted = [
        TrustedIssuer(alias="acme", issuer=AT_ACME, verification_keys=[ACME.public_key]),
        TrustedIssuer(
            alias="beta",
            issuer=AT_BETA,
            verification_keys=[BETA.public_key],
            algorithm="ES256",
            audience="beta-api",
        ),
    ]
    with target(World(tokens=ACME), issuers=trusted) as made:
        yield made


@pytest.fixture(scope="module")
def pinned() -> Iterator[Target]:
    """A server of one issuer that says who it is."""
    with target(World(tokens=ACME), issuer=AT_ACME) as made:
        yield made


@pytest.fixture
def watch(caplog: pytest.LogCaptureFixture) -> Watch:
    return Watch(caplog, [*pieces_of(ACME.public_key), *pieces_of(BETA.public_key)])


def refused(attacked: Target, watch: Watch, token: bytes, reason: str) -> None:
    watch.refused(attacked, lambda: attacked.knock(token), sent=token, reason=reason)


def test_each_is_taken(attacked: Target, watch: Watch) -> None:
    watch.let_in(attacked, lambda: attacked.knock(forged(ACME, claims(iss=AT_ACME))))
    watch.let_in(attacked, lambda: attacked.knock(forged(BETA, claims(iss=AT_BETA))))


ANOTHERS: dict[str, tuple[TokenFactory, str, str | None, str]] = {
    "beta's key in acme's name": (BETA, AT_ACME, None, "'ES256' is not allowed here"),
    "beta's key as RS256": (BETA, AT_ACME, "RS256", "does not match any key"),
    "acme's key in beta's name": (ACME, AT_BETA, None, "'RS256' is not allowed here"),
    "acme's key as ES256": (ACME, AT_BETA, "ES256", "does not match any key"),
    "a stranger's key in acme's name": (MALLORY, AT_ACME, None, "does not match any key"),
}


@pytest.mark.parametrize("which", ANOTHERS)
def test_nobody_signs_in_anothers_name(attacked: Target, watch: Watch, which: str) -> None:
    tokens, name, says, reason = ANOTHERS[which]
    header = header_of(tokens, alg=says or tokens.algorithm)
    refused(attacked, watch, forged(tokens, claims(iss=name), header), reason)


UNKNOWN: dict[str, str] = {
    "a stranger": '"https://evil.test"',
    "a slash after it": json.dumps(AT_ACME + "/"),
    "no slash after it": json.dumps(AT_BETA.rpartition("/")[0]),
    "other letters": json.dumps(AT_ACME.upper()),
    "other letters in its host": '"https://SSO.acme.test"',
    "http": json.dumps(AT_ACME.replace("https", "http")),
    "a port": json.dumps(AT_ACME + ":443"),
    "a path": json.dumps(AT_ACME + "/realms/evil"),
    "somebody in front": '"https://sso.acme.test@evil.test"',
    "a fragment": json.dumps(AT_ACME + "#"),
    "a space": json.dumps(AT_ACME + " "),
    "its alias": '"acme"',
    "the usual alias": '"default"',
    "empty": '""',
    "null": "null",
    "a list": json.dumps([AT_ACME]),
    "both": json.dumps([AT_ACME, AT_BETA]),
    "an object": json.dumps({"iss": AT_ACME}),
    "true": "true",
    "a number": "0",
}


@pytest.mark.parametrize("which", UNKNOWN)
def test_a_name_that_is_not_trusted(
    attacked: Target, pinned: Target, watch: Watch, which: str
) -> None:
    for tokens in (ACME, BETA):
        token = forged(tokens, with_text(claims(), iss=UNKNOWN[which]))
        refused(attacked, watch, token, "an issuer that is not trusted (iss)")
    token = forged(ACME, with_text(claims(), iss=UNKNOWN[which]))
    watch.let_in(pinned, lambda: pinned.knock(forged(ACME, claims(iss=AT_ACME))))
    refused(pinned, watch, token, "iss")


def test_a_name_is_needed(attacked: Target, pinned: Target, watch: Watch) -> None:
    for tokens in (ACME, BETA):
        refused(attacked, watch, forged(tokens, claims()), "an issuer that is not trusted (iss)")
    header = {**header_of(ACME), "iss": AT_ACME}
    refused(attacked, watch, forged(ACME, claims(), header), "an issuer that is not trusted (iss)")
    refused(pinned, watch, forged(ACME, claims()), "from another issuer (iss)")


def test_an_issuer_that_is_named_twice(attacked: Target, watch: Watch) -> None:
    for first, last in ((AT_ACME, AT_BETA), (AT_BETA, AT_ACME)):
        text = f'{json.dumps(first)},"iss":{json.dumps(last)}'
        refused(attacked, watch, forged(ACME, with_text(claims(), iss=text)), "a member twice")


def test_each_has_its_own_audience(attacked: Target, watch: Watch) -> None:
    ours = forged(BETA, claims(iss=AT_BETA, aud="beta-api"))
    watch.let_in(attacked, lambda: attacked.knock(ours))
    for tokens, name, audience in ((ACME, AT_ACME, "beta-api"), (BETA, AT_BETA, OS_ID)):
        token = forged(tokens, claims(iss=name, aud=audience))
        refused(attacked, watch, token, "for another audience")


class TestTheSameSubjectTwice:
    """Two people, whom two issuers happen to call the same."""

    def bearer(self, tokens: TokenFactory, name: str, *scopes: str) -> bytes:
        made = forged(tokens, claims(sub="alice", iss=name, scopes=list(scopes) or RIGHTS))
        return b"Authorization: Bearer " + made

    @pytest.fixture
    def alices(self) -> tuple[bytes, bytes]:
        return self.bearer(ACME, AT_ACME), self.bearer(BETA, AT_BETA)

    def run(self, attacked: Target, who: bytes, session_id: str, message: str) -> dict[str, Any]:
        form = {"message": message, "stream": "false", "session_id": session_id}
        answer = attacked.ask(
            who,
            b"Content-Type: application/x-www-form-urlencoded",
            method="POST",
            path="/agents/alpha/runs",
            body=urlencode(form).encode(),
        )
        assert answer.status == 200, answer
        made: dict[str, Any] = json.loads(answer.body)
        return made

    def test_neither_reads_or_changes_the_others(
        self, attacked: Target, alices: tuple[bytes, bytes]
    ) -> None:
        acme, beta = alices
        session_id, text = f"s-{uuid.uuid4()}", f"a secret {uuid.uuid4()}"
        run_id = self.run(attacked, acme, session_id, text)["run_id"]
        session, run = f"/sessions/{session_id}", f"/agents/alpha/runs/{run_id}"
        readings = [
            *(session, f"{session}/runs", f"{session}/run-previews", f"{session}/runs/{run_id}"),
            *(f"{run}?session_id={session_id}", f"/agents/alpha/runs?session_id={session_id}"),
        ]
        for path in readings:
            assert attacked.ask(acme, path=path).status == 200, path
            # The user's name is no way in, nor are the owner's names in the database.
            for more in ("", "user_id=alice", "user_id=acme%7Calice", "user_id=default%7Calice"):
                asked = f"{path}{'&' if '?' in path else '?'}{more}"
                foreign = attacked.ask(beta, path=asked)
                assert foreign.status == 404, asked
                assert text.encode() not in foreign.body
        assert text not in self.everything(attacked, beta)
        self.change(attacked, beta, session)
        assert attacked.ask(acme, path=session).status == 200
        assert text in self.everything(attacked, acme)

    def everything(self, attacked: Target, who: bytes) -> str:
        """What a list of all sessions shows."""
        return attacked.ask(who, path="/sessions?limit=100").body.decode()

    def change(self, attacked: Target, who: bytes, session: str) -> None:
        """Rename and delete what may not exist."""

        def sent(method: str, path: str, body: object) -> Answer:
            kind, content = b"Content-Type: application/json", json.dumps(body).encode()
            return attacked.ask(who, kind, method=method, path=path, body=content)

        assert sent("PATCH", session, {"session_name": "mine"}).status == 404
        assert sent("POST", f"{session}/rename", {"session_name": "mine"}).status == 404
        assert attacked.ask(who, method="DELETE", path=session).status == 204
        ids = {"session_ids": [session.rpartition("/")[2]], "session_types": ["agent"]}
        assert sent("DELETE", "/sessions", ids).status == 204

    def test_one_session_id_is_two_sessions(
        self, attacked: Target, alices: tuple[bytes, bytes]
    ) -> None:
        session_id = f"s-{uuid.uuid4()}"
        runs = [self.run(attacked, who, session_id, "hi")["run_id"] for who in alices]
        for who, run_id in zip(alices, runs, strict=True):
            answer = attacked.ask(who, path=f"/sessions/{session_id}/runs")
            assert [run["run_id"] for run in json.loads(answer.body)] == [run_id]

    def test_a_revocation_at_one_is_none_at_the_other(self, attacked: Target, watch: Watch) -> None:
        admin = self.bearer(ACME, AT_ACME, "agent_os:admin")
        name = f"bob-{uuid.uuid4()}"
        body = json.dumps({"subject": name, "issuer": "acme"}).encode()
        answer = attacked.ask(admin, method="POST", path="/revocations", body=body)
        assert answer.status == 201, answer
        token = forged(ACME, claims(sub=name, iss=AT_ACME))
        refused(attacked, watch, token, "was revoked")
        other = forged(BETA, claims(sub=name, iss=AT_BETA))
        watch.let_in(attacked, lambda: attacked.knock(other))
