"""Service accounts that reach for more than they have, and tokens that pose as one of them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from licet.os import TokenSource
from tests.attack.forge import claims, forged
from tests.attack.robots import TOKENS, Robot, admin, create, robot, sent
from tests.attack.target import SCOPE, Answer, Target, Watch, detail, pieces_of, target
from tests.support.world import World

MINTER = "service_accounts:write"


@pytest.fixture(scope="module")
def attacked() -> Iterator[Target]:
    with target(World(tokens=TOKENS), token_source=TokenSource.BOTH) as made:
        yield made


@pytest.fixture
def watch(caplog: pytest.LogCaptureFixture) -> Watch:
    return Watch(caplog, pieces_of(TOKENS.public_key))


def accounts(attacked: Target) -> int:
    """How many there are."""
    answer = attacked.ask(b"Authorization: Bearer " + admin(), path="/service-accounts")
    return int(json.loads(answer.body)["meta"]["total_count"])


@pytest.mark.parametrize(
    "asked", [[], [SCOPE], [MINTER], ["agent_os:admin"], ["agents:run"]], ids=repr
)
@pytest.mark.parametrize("held", [(MINTER, SCOPE), ("agent_os:admin",)], ids=repr)
def test_an_account_makes_no_other(
    attacked: Target, watch: Watch, held: tuple[str, ...], asked: list[str]
) -> None:
    maker = robot(attacked, *held)
    before = accounts(attacked)
    watch.refused(
        attacked,
        lambda: create(attacked, maker.token, *asked),
        sent=maker.token,
        reason="A service account gives no token to another",
        statuses={403},
    )
    assert accounts(attacked) == before


@pytest.mark.parametrize("whose", ["its own", "another's"])
def test_an_account_gives_no_new_token(attacked: Target, watch: Watch, whose: str) -> None:
    maker = robot(attacked, MINTER, SCOPE)
    account = maker if whose == "its own" else robot(attacked)
    watch.refused(
        attacked,
        lambda: sent(attacked, maker.token, f"/service-accounts/{account.id}/rotate", {}),
        sent=maker.token,
        reason="A service account gives no token to another",
        statuses={403},
    )
    watch.let_in(attacked, lambda: attacked.knock(account.token))


MORE = [
    (("agents:run",), "agent_os:admin"),
    (("agents:run",), "agents:read"),
    (("agents:alpha:run",), "agents:run"),
    (("agents:alpha:run",), "agents:*:run"),
    (("agents:alpha:run",), "agents:beta:run"),
    (("sessions:write",), "sessions:delete"),
    (("sessions:s1:write",), "sessions:write"),
    ((), SCOPE),
    ((), "service_accounts:delete"),
    ((), "revocations:write"),
]


@pytest.mark.parametrize(("held", "asked"), MORE, ids=str)
def test_nobody_grants_more_than_they_hold(
    attacked: Target, watch: Watch, held: tuple[str, ...], asked: str
) -> None:
    token = forged(TOKENS, claims(scopes=[MINTER, *held]))
    before = accounts(attacked)
    # Beside what is held it is no better than alone.
    for scopes in ([asked], [*held, asked]):
        answer = watch.refused(
            attacked,
            lambda scopes=scopes: create(attacked, token, *scopes),  # type: ignore[misc]  # bound now
            sent=token,
            reason="Cannot grant scope(s) you do not hold: ",
            statuses={403},
        )
        assert detail(answer).endswith(f": {asked}")
    assert accounts(attacked) == before
    if held:
        assert create(attacked, token, *held).status == 201


@pytest.mark.parametrize(("held", "asked"), MORE, ids=str)
def test_nobody_takes_over_an_account_that_holds_more(
    attacked: Target, watch: Watch, held: tuple[str, ...], asked: str
) -> None:
    account = robot(attacked, asked)
    path = f"/service-accounts/{account.id}/rotate"
    token = forged(TOKENS, claims(scopes=[MINTER, *held]))
    watch.refused(
        attacked,
        lambda: sent(attacked, token, path, {}),
        sent=token,
        reason="Cannot grant scope(s) you do not hold: ",
        statuses={403},
    )
    enough = forged(TOKENS, claims(scopes=[MINTER, asked]))
    assert sent(attacked, enough, path, {}).status == 201


def test_an_accounts_token_in_a_cookie(attacked: Target, watch: Watch) -> None:
    made = robot(attacked)
    watch.let_in(attacked, lambda: attacked.knock(made.token))
    line = b"Cookie: access_token=" + made.token.encode()
    watch.refused(
        attacked, lambda: attacked.ask(line), sent=made.token, reason="not three segments"
    )


RIGHTS = ("agents:run", "sessions:read", "sessions:write", "sessions:delete")


@pytest.fixture(scope="module")
def owner(attacked: Target) -> tuple[Robot, str]:
    """An account, and its session."""
    made, session_id = robot(attacked, *RIGHTS), f"s-{uuid.uuid4()}"
    form = {"message": "the plan", "stream": "false", "session_id": session_id}
    answer = attacked.ask(
        b"Authorization: Bearer " + made.token.encode(),
        b"Content-Type: application/x-www-form-urlencoded",
        method="POST",
        path="/agents/alpha/runs",
        body=urlencode(form).encode(),
    )
    assert answer.status == 200, answer
    return made, session_id


class TestPosingAsAnAccount:
    def test_a_subject_like_an_accounts_is_not_taken(
        self, attacked: Target, watch: Watch, owner: tuple[Robot, str]
    ) -> None:
        for subject in (f"sa:{owner[0].name}", "sa:", "sa:robot", "sa:nobody|x"):
            token = forged(TOKENS, claims(sub=subject, scopes=["agent_os:admin", SCOPE]))
            watch.refused(
                attacked,
                lambda t=token: attacked.knock(t),  # type: ignore[misc]  # bound now
                sent=token,
                reason="the subject has the form that service accounts have",
            )

    @pytest.mark.parametrize(
        "form",
        [
            *("@service|sa:{name}", "service|sa:{name}", "|@service|sa:{name}", " sa:{name}"),
            *("SA:{name}", "Sa:{name}", "s\u0430:{name}", "{name}", "../@service|sa:{name}"),
            *("default|@service|sa:{name}", "sa\uff1a{name}", "@service", "@service|", "%"),
        ],
    )
    def test_a_subject_like_an_owner_reads_nothing(
        self, attacked: Target, watch: Watch, owner: tuple[Robot, str], form: str
    ) -> None:
        account, session_id = owner
        subject = form.format(name=account.name)
        token = forged(TOKENS, claims(sub=subject, scopes=[SCOPE, *RIGHTS]))
        watch.let_in(attacked, lambda: attacked.knock(token))
        for path in (f"/sessions/{session_id}", f"/sessions/{session_id}/runs"):
            for query in (
                "",
                f"?user_id=sa:{account.name}",
                f"?user_id=@service|sa:{account.name}",
            ):
                mine = self.read(attacked, account.token.encode(), path)
                assert (mine.status, self.read(attacked, token, path + query).status) == (200, 404)
        listed = self.read(attacked, token, "/sessions?limit=100")
        assert json.loads(listed.body)["data"] == []
        assert sent(attacked, token, f"/sessions/{session_id}", {}, "DELETE").status == 204
        assert self.read(attacked, account.token.encode(), f"/sessions/{session_id}").status == 200

    def read(self, attacked: Target, token: bytes, path: str) -> Answer:
        return attacked.ask(b"Authorization: Bearer " + token, path=path)
