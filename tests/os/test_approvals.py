"""Approvals over a real socket: the organisation's, decided once, and by nobody for themselves."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from licet.agent.decisions import REJECTED
from tests.support.audited import BLOCKING, Trail
from tests.support.durable_place import wait_for
from tests.support.waiting_place import BOSS, At, Paused, PausePlace, detail
from tests.support.world import OWNER

BOTH = pytest.mark.parametrize("agent", ["alpha", "beta"])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[At]:
    with PausePlace(tmp_path_factory.mktemp("pauses")).served(audit=BLOCKING) as made:
        yield made


@pytest.fixture
def at(served: At) -> At:
    served.made()
    return served


def status(at: At, approval_id: str) -> str:
    answer = at.client.get(f"/approvals/{approval_id}/status", headers=at.bo)
    assert answer.status_code == 200, answer.text
    found: str = answer.json()["status"]
    return found


def what_counts(trail: Trail) -> list[str]:
    """What the trail says was decided about approvals, less what came too late."""
    decided = [each for each in trail.news() if each.kind == "approval"]
    late = [each for each in decided if each.rule == "decided_before"]
    assert all((each.decision, each.status) == ("deny", 409) for each in late)
    named = [each.decision for each in decided if each.rule == "approval"]
    for each in late:
        # Whoever was late had said so first.
        wish = "allow" if each.reason.startswith("not approved") else "deny"
        named.remove(wish)
    return named


def ended(at: At, run: Paused) -> dict[str, Any]:
    """What a run came to that goes on by itself."""
    wait_for(lambda: at.now(run)["status"] in {"COMPLETED", "CANCELLED", "ERROR"}, "its end")
    return at.now(run)


class TestWhatIsSeen:
    def test_the_call_and_its_arguments_and_nothing_of_what_was_said(self, at: At) -> None:
        run = at.begin("refund 5", session_id="s1")
        (found,) = at.approvals(run)
        (tool,) = run.tools
        expected = {
            "id": tool["approval_id"],
            "run_id": run.run_id,
            "session_id": "s1",
            "status": "pending",
            "source_type": "agent",
            "source_name": "alpha",
            "approval_type": "required",
            "pause_type": "confirmation",
            "agent_id": "alpha",
            "user_id": OWNER,
            "tool_name": "refund",
            "tool_call_id": tool["tool_call_id"],
            "tool_args": {"amount": 5},
            "requirements": [],
            "run_status": "PAUSED",
        }
        assert {name: found[name] for name in expected} == expected
        assert set(found) - set(expected) == {"created_at", "updated_at", "expires_at"}
        assert abs(found["created_at"] - run.json["created_at"]) <= 1
        assert 29 * 86_400 < found["expires_at"] - found["created_at"] <= 30 * 86_400
        one = at.client.get(f"/approvals/{found['id']}", headers=at.bo)
        assert (one.status_code, one.json()) == (200, found)

    def test_what_is_decided_is_told_with_who_did_it(self, at: At) -> None:
        run = at.begin("refund 5")
        identifier = at.approval(run)
        where = f"/approvals/{identifier}/status"
        undecided = {"approval_id": identifier, "status": "pending", "run_id": run.run_id}
        asked = at.client.get(where, headers=at.bo).json()
        assert asked == {**undecided, "resolved_at": None, "resolved_by": None}
        decided = at.resolve(identifier, resolution_data={"note": "fine", "ticket": 7}).json()
        assert (decided["status"], decided["resolved_by"]) == ("approved", BOSS)
        assert decided["resolution_data"] == {"note": "fine", "ticket": 7}
        assert decided["updated_at"] == decided["resolved_at"]
        assert at.client.get(where, headers=at.bo).json() == {
            **undecided,
            "status": "approved",
            "resolved_at": decided["resolved_at"],
            "resolved_by": BOSS,
        }

    def test_who_decided_is_what_the_token_says(self, at: At) -> None:
        identifier = at.approval(at.begin("refund 5"))
        decided = at.resolve(identifier, resolved_by="the president").json()
        assert decided["resolved_by"] == BOSS

    def test_unknown_ones_are_not_there(self, at: At) -> None:
        for identifier in ("none", "%00", "x" * 300, "%ed%a0%80", "%F0%9F%98%80", "..%2F"):
            for what in ("", "/status"):
                answer = at.client.get(f"/approvals/{identifier}{what}", headers=at.bo)
                assert answer.status_code in {404, 422}, answer.text
            assert at.resolve(identifier).status_code in {404, 422}
        assert detail(at.client.get("/approvals/none", headers=at.bo)) == "Approval not found"
        assert at.client.delete("/approvals/none", headers=at.bo).status_code == 204


class TestDeciding:
    def test_an_approved_call_is_made_when_its_owner_goes_on(self, at: At) -> None:
        run = at.begin("refund 5")
        assert at.resolve(at.approval(run)).status_code == 200
        assert (at.now(run)["status"], at.made()) == ("PAUSED", [])
        done = at.went_on(run)
        assert (done["status"], at.made()) == ("COMPLETED", ["refund 5"])
        assert done["tools"][0]["confirmed"] is True

    def test_a_durable_run_goes_on_by_itself(self, at: At) -> None:
        run = at.begin("refund 5", "beta")
        assert at.resolve(at.approval(run)).status_code == 200
        assert (ended(at, run)["status"], at.made()) == ("COMPLETED", ["refund 5"])

    @BOTH
    def test_a_rejected_call_is_not_made_and_the_model_reads_the_note(
        self, at: At, agent: str
    ) -> None:
        run = at.begin("refund 5", agent)
        data = {"note": "too much"}
        assert at.resolve(at.approval(run), "rejected", resolution_data=data).status_code == 200
        done = at.went_on(run) if agent == "alpha" else ended(at, run)
        (tool,) = done["tools"]
        assert (tool["confirmed"], tool["result"]) == (False, f"{REJECTED} Note: too much")
        assert (done["status"], at.made()) == ("COMPLETED", [])

    @BOTH
    def test_with_the_last_of_several_it_goes_on(self, at: At, agent: str) -> None:
        run = at.begin("refund 1 + refund 2", agent)
        first, second = (each["id"] for each in at.approvals(run))
        assert at.resolve(first).status_code == 200
        refused = at.go_on(run)
        assert (refused.status_code, at.now(run)["status"]) == (409, "PAUSED")
        assert "refund" in detail(refused)
        assert at.resolve(second, "rejected").status_code == 200
        done = at.went_on(run) if agent == "alpha" else ended(at, run)
        amounts = {each["id"]: each["tool_args"]["amount"] for each in at.approvals(run)}
        assert (done["status"], at.made()) == ("COMPLETED", [f"refund {amounts[first]}"])

    @BOTH
    def test_where_its_owner_decides_too_both_are_waited_for(self, at: At, agent: str) -> None:
        run = at.begin("refund 5 + pay 3", agent)
        yes = run.saying(1, confirmed=True)
        refused = at.go_on(run, yes)
        assert (refused.status_code, "approval" in detail(refused)) == (409, True)
        assert at.resolve(at.approval(run)).status_code == 200
        assert (at.go_on(run).status_code, at.now(run)["status"]) == (409, "PAUSED")
        assert at.went_on(run, yes)["status"] == "COMPLETED"
        assert sorted(at.made()) == ["pay 3", "refund 5"]

    @BOTH
    def test_it_is_decided_once(self, at: At, agent: str) -> None:
        run = at.begin("refund 5", agent)
        identifier = at.approval(run)
        assert at.resolve(identifier, "rejected").status_code == 200
        for again in ("approved", "rejected"):
            answer = at.resolve(identifier, again)
            assert answer.status_code == 409
            assert detail(answer) == "Approval is already 'rejected' and cannot be resolved"

    @BOTH
    def test_of_several_at_once_one_decides_and_the_call_is_made_at_most_once(
        self, at: At, agent: str
    ) -> None:
        run = at.begin("refund 5", agent)
        identifier = at.approval(run)
        trail = Trail(at.place.db)
        with ThreadPoolExecutor(6) as pool:
            wishes = ["approved", "rejected"] * 3
            answers = list(pool.map(lambda wish: at.resolve(identifier, wish), wishes))
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409, 409]
        (decided,) = (answer.json() for answer in answers if answer.status_code == 200)
        assert what_counts(trail) == ["allow" if decided["status"] == "approved" else "deny"]
        done = at.went_on(run) if agent == "alpha" else ended(at, run)
        assert done["tools"][0]["confirmed"] is (decided["status"] == "approved")
        assert at.made() == (["refund 5"] if decided["status"] == "approved" else [])

    def test_of_two_calls_that_are_approved_at_once_each_is_made_once(self, at: At) -> None:
        for _ in range(4):
            run = at.begin("refund 1 + refund 2", "beta")
            with ThreadPoolExecutor(2) as pool:
                answers = pool.map(at.resolve, [each["id"] for each in at.approvals(run)])
                assert [answer.status_code for answer in answers] == [200, 200]
            assert ended(at, run)["status"] == "COMPLETED"
            assert sorted(at.made()) == ["refund 1", "refund 2"]

    @BOTH
    def test_a_decision_and_a_cancel_at_once_come_to_one_of_them(self, at: At, agent: str) -> None:
        for _ in range(4):
            run = at.begin("refund 5", agent)
            identifier = at.approval(run)
            with ThreadPoolExecutor(2) as pool:
                deciding = pool.submit(at.resolve, identifier)
                cancelling = pool.submit(at.client.post, run.url("/cancel"), headers=at.olga)
                codes = (deciding.result().status_code, cancelling.result().status_code)
            assert codes in {(200, 200), (409, 200), (200, 409)}
            if codes == (409, 200):
                assert status(at, identifier) == "cancelled"
            wanted = {200: "CANCELLED", 409: "COMPLETED"}[codes[1]]
            assert ended(at, run)["status"] == wanted
            assert at.made() in ([[], ["refund 5"]] if codes[0] == 200 else [[]])

    @BOTH
    def test_what_its_run_waits_for_no_more_is_cancelled(self, at: At, agent: str) -> None:
        run = at.begin("refund 5", agent)
        identifier = at.approval(run)
        assert at.client.post(run.url("/cancel"), headers=at.olga).status_code == 200
        (found,) = at.approvals(run)
        assert (found["status"], found["run_status"]) == ("cancelled", "CANCELLED")
        assert at.approvals(run, status="cancelled") == [found]
        assert at.approvals(run, status="pending") == []
        answer = at.resolve(identifier)
        assert (answer.status_code, "'cancelled'" in answer.text) == (409, True)
        assert at.made() == []

    @pytest.mark.parametrize(
        "sent",
        [
            {"json": {}},
            {"json": {"status": None}},
            {"json": {"status": "pending"}},
            {"json": {"status": "cancelled"}},
            {"json": {"status": "APPROVED"}},
            {"json": {"status": ["approved"]}},
            {"json": {"status": {"approved": 1}}},
            {"json": {"status": True}},
            {"json": ["approved"]},
            {"json": {"status": "approved", "resolved_by": 1}},
            {"json": {"status": "approved", "resolved_by": "a\0"}},
            {"json": {"status": "approved", "resolution_data": []}},
            {"json": {"status": "approved", "resolution_data": {"note": "\0"}}},
            {"json": {"status": "approved", "resolution_data": {"note": "x" * 2_001}}},
            {"json": {"status": "approved", "resolution_data": {"a": "x" * 300_000}}},
            {"content": b'{"status": "approved", "resolution_data": ' + b"[" * 10_000},
            {"content": b"status=approved"},
            {"content": b""},
            {"content": b"\xff"},
            {"data": {"status": "approved"}},
        ],
    )
    def test_junk_is_422_and_decides_nothing(self, at: At, sent: dict[str, Any]) -> None:
        run = at.begin("refund 5")
        identifier = at.approval(run)
        answer = at.client.post(f"/approvals/{identifier}/resolve", headers=at.bo, **sent)
        assert answer.status_code == 422, answer.text
        assert answer.json()["detail"][0]["loc"][0] == "body"
        assert status(at, identifier) == "pending"


class TestDeleting:
    @BOTH
    def test_what_is_decided_counts_until_its_run_has_ended(self, at: At, agent: str) -> None:
        run = at.begin("refund 5 + pay 3", agent)
        where = f"/approvals/{at.approval(run)}"
        for _ in range(2):
            refused = at.client.delete(where, headers=at.bo)
            assert refused.status_code == 409
            assert "has not ended" in detail(refused)
            at.resolve(at.approval(run), "rejected")
        assert at.went_on(run, run.saying(1, confirmed=True))["status"] == "COMPLETED"
        assert at.client.delete(where, headers=at.bo).status_code == 204
        assert at.client.get(where, headers=at.bo).status_code == 404
        assert at.client.delete(where, headers=at.bo).status_code == 204

    def test_with_its_session_goes_what_it_waited_for(self, at: At) -> None:
        run = at.begin("refund 5")
        identifier = at.approval(run)
        session = f"/sessions/{run.json['session_id']}"
        assert at.client.delete(session, headers=at.olga).status_code == 204
        assert at.client.get(f"/approvals/{identifier}", headers=at.bo).status_code == 404
        assert at.resolve(identifier).status_code == 404


class TestTrail:
    """What the audit trail holds of it."""

    def test_a_decision_has_its_record(self, at: At) -> None:
        identifier = at.approval(at.begin("refund 5"))
        trail = Trail(at.place.db)
        assert at.resolve(identifier).status_code == 200
        let_in = trail.news()[0]
        assert (let_in.kind, let_in.decision, let_in.subject) == ("request", "allow", BOSS)
        assert (let_in.action, let_in.resource_id) == ("approvals:write", identifier)
        assert let_in.route == "/approvals/{approval_id}/resolve"

    @pytest.mark.parametrize(("wish", "decision"), [("approved", "allow"), ("rejected", "deny")])
    def test_so_has_what_was_decided_about_which_call(
        self, at: At, wish: str, decision: str
    ) -> None:
        run = at.begin("refund 5")
        identifier = at.approval(run)
        trail = Trail(at.place.db)
        answer = at.resolve(identifier, wish, headers={**at.bo, "x-request-id": "r-9"})
        assert answer.status_code == 200
        (record,) = (each for each in trail.news() if each.kind == "approval")
        assert (record.decision, record.status, record.subject) == (decision, None, BOSS)
        assert (record.request_id, record.client) == ("r-9", "127.0.0.1")
        assert (record.action, record.resource_id) == ("approvals:write", identifier)
        assert record.route == f"/approvals/{identifier}/resolve"
        digest = hashlib.sha256(b'{"amount":5}').hexdigest()
        call = f"refund ({run.tools[0]['tool_call_id']}) of run {run.run_id}"
        assert record.reason == f"{wish} {call}, arguments sha256:{digest}"

    def test_what_is_decided_too_late_has_none(self, at: At) -> None:
        identifier = at.approval(at.begin("refund 5"))
        trail = Trail(at.place.db)
        assert at.resolve(identifier).status_code == 200
        assert at.resolve(identifier, "rejected").status_code == 409
        assert what_counts(trail) == ["allow"]

    def test_so_has_the_refusal_of_ones_own(self, at: At) -> None:
        run = at.begin("refund 5", headers=at.bo)
        identifier = at.approval(run)
        trail = Trail(at.place.db)
        assert at.resolve(identifier).status_code == 403
        let_in, refused = trail.news()
        assert (let_in.decision, refused.decision) == ("allow", "deny")
        assert (refused.kind, refused.rule) == ("grant", "self_approval")
        assert (refused.status, refused.subject) == (403, BOSS)
        assert refused.route == f"/approvals/{identifier}/resolve"

    def test_and_that_somebody_went_on_with_a_run(self, at: At) -> None:
        run = at.begin("pay 3")
        trail = Trail(at.place.db)
        at.went_on(run, run.saying(confirmed=True))
        record = trail.news()[0]
        assert (record.decision, record.subject, record.action) == ("allow", OWNER, "agents:run")
        assert record.route == "/agents/{agent_id}/runs/{run_id}/continue"


def test_without_the_scope_nothing_is_seen_and_nothing_decided(at: At) -> None:
    identifier = at.approval(at.begin("refund 5"))
    asked: list[tuple[str, str]] = [
        ("GET", ""),
        ("GET", "/count"),
        ("GET", f"/{identifier}"),
        ("GET", f"/{identifier}/status"),
        ("POST", f"/{identifier}/resolve"),
        ("DELETE", f"/{identifier}"),
    ]
    weak = ("approvals:another:write", "approvals:another:delete", "agents:run", "sessions:read")
    for method, path in asked:
        for headers, code in (({}, 401), (at.place.world.bearer(BOSS, *weak), 403)):
            answer: httpx.Response = at.client.request(
                method, f"/approvals{path}", headers=headers, json={"status": "approved"}
            )
            assert answer.status_code == code, (method, path)
            assert "refund" not in json.dumps(answer.json())
    reader = at.place.world.bearer(BOSS, "approvals:read")
    assert at.resolve(identifier, headers=reader).status_code == 403
    writer = at.place.world.bearer(BOSS, f"approvals:{identifier}:write")
    assert at.resolve(identifier, headers=writer).status_code == 200
