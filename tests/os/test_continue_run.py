"""Going on with a paused run over a real socket: what people decide is done, once, and no more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from licet.agent.decisions import REJECTED
from tests.support import wild
from tests.support.examples import examples
from tests.support.waiting_place import At, Paused, PausePlace, detail
from tests.support.world import ADMIN, OWNER, STRANGER

YES = {"confirmed": True}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[At]:
    with PausePlace(tmp_path_factory.mktemp("pauses")).served() as made:
        yield made


@pytest.fixture
def at(served: At) -> At:
    served.made()
    return served


@pytest.fixture
def waiting(at: At) -> Paused:
    """A run of which whatever is said."""
    return at.begin("pay 3 + refund 5 + mail hi + shell ls")


@contextmanager
def untouched(at: At, run: Paused) -> Iterator[None]:
    """Inside of the block nothing is stored of the run, and no tool is called."""
    before = at.place.record(run.run_id)
    yield
    assert at.place.record(run.run_id) == before
    assert at.made() == []


def refused(at: At, run: Paused, status: int, *tools: Any, **how: Any) -> str:
    """What somebody is told who may not go on with a run like this; nothing comes of it."""
    with untouched(at, run):
        answer = at.go_on(run, *tools, **how)
        assert answer.status_code == status, answer.text
    return answer.text


class TestWhatIsDecided:
    def test_a_confirmed_call_is_made_as_the_model_asked_for_it(self, at: At) -> None:
        run = at.begin("pay 3")
        assert at.made() == []
        done = at.went_on(run, run.saying(confirmed=True))
        assert (done["status"], done["content"]) == ("COMPLETED", "done")
        assert (done["tools"][0]["result"], at.made()) == ("did pay 3", ["pay 3"])

    def test_names_arguments_and_results_are_the_stored_ones(self, at: At) -> None:
        run = at.begin("pay 3")
        forged = {
            **run.tools[0],
            **YES,
            "tool_name": "look",
            "tool_args": {"amount": 1000},
            "metrics": {"duration": 0.0},
            "requires_confirmation": False,
            "stop_after_tool_call": True,
        }
        done = at.went_on(run, forged)
        assert (done["content"], at.made()) == ("done", ["pay 3"])
        (tool,) = done["tools"]
        assert (tool["tool_name"], tool["tool_args"]) == ("pay", {"amount": 3})
        assert (tool["result"], tool["requires_confirmation"]) == ("did pay 3", True)

    def test_a_result_that_is_sent_with_a_confirmation_is_not_the_tools(self, at: At) -> None:
        run = at.begin("pay 3")
        done = at.went_on(run, run.saying(confirmed=True, result="paid 1000"))
        assert (done["tools"][0]["result"], at.made()) == ("did pay 3", ["pay 3"])

    def test_a_rejected_call_is_not_made_and_the_model_reads_why(self, at: At) -> None:
        run = at.begin("pay 3")
        done = at.went_on(run, run.saying(confirmed=False, confirmation_note="too much"))
        (tool,) = done["tools"]
        assert (tool["confirmed"], tool["confirmation_note"]) == (False, "too much")
        assert tool["result"] == f"{REJECTED} Note: too much"
        assert [m["content"] for m in done["messages"] if m["role"] == "tool"] == [tool["result"]]
        assert (done["status"], at.made()) == ("COMPLETED", [])

    def test_the_users_values_go_to_the_call(self, at: At) -> None:
        run = at.begin("mail hello")
        fields = run.tools[0]["user_input_schema"]
        assert [(each["name"], each["value"]) for each in fields] == [("to", None)]
        done = at.went_on(run, run.saying(user_input_schema=[{**fields[0], "value": "bob"}]))
        assert (done["status"], at.made()) == ("COMPLETED", ["mail hello to bob"])

    def test_what_is_executed_elsewhere_has_the_result_that_is_brought(self, at: At) -> None:
        run = at.begin("shell ls")
        echoed = {**run.tools[0], "result": {"files": ["a"]}}
        done = at.went_on(run, echoed)
        assert (done["status"], done["tools"][0]["result"]) == ("COMPLETED", '{"files":["a"]}')

    @pytest.mark.parametrize("message", ["mail hello", "shell ls"])
    def test_whatever_is_asked_of_its_owner_can_be_rejected(self, at: At, message: str) -> None:
        run = at.begin(message)
        values = [{"name": "to", "value": "bob"}]
        said = run.saying(confirmed=False, result="ran", user_input_schema=values)
        done = at.went_on(run, said)
        assert (done["tools"][0]["result"], at.made()) == (REJECTED, [])

    def test_calls_that_wait_for_nobody_are_made_before(self, at: At) -> None:
        run = at.begin("look 1 + pay 3")
        assert at.made() == ["look 1"]
        # Sent back with a result of one's own, it keeps what it had.
        echo = {**run.tools[0], "result": "saw a dragon", "confirmed": False}
        done = at.went_on(run, echo, run.saying(1, confirmed=True))
        assert [tool["result"] for tool in done["tools"]] == ["did look 1", "did pay 3"]
        assert at.made() == ["pay 3"]

    def test_a_run_pauses_as_often_as_it_has_to(self, at: At) -> None:
        run = at.begin("pay 1 | pay 2 | look 3 | pay 4")
        for _ in range(3):
            assert run.json["status"] == "PAUSED"
            run = Paused(at.went_on(run, run.saying(**YES)), "alpha")
        assert (run.json["content"], at.made()) == ("done", ["pay 1", "pay 2", "look 3", "pay 4"])

    def test_whole_records_may_be_sent_back_also_of_earlier_turns(self, at: At) -> None:
        first = at.begin("pay 1 | pay 2")
        second = Paused(at.went_on(first, {**first.tools[0], **YES}), "alpha")
        assert [tool["confirmed"] for tool in second.tools] == [True, None]
        done = at.went_on(second, second.tools[0], {**second.tools[1], **YES})
        assert (done["status"], at.made()) == ("COMPLETED", ["pay 1", "pay 2"])


class TestBodies:
    @pytest.mark.parametrize("how", ["urlencoded", "multipart", "json", "json text"])
    def test_as_a_form_as_many_parts_and_as_json(self, at: At, how: str) -> None:
        run = at.begin("pay 3")
        tools = [run.saying(**YES)]
        text = {"tools": json.dumps(tools), "stream": "false"}
        ways: dict[str, dict[str, Any]] = {
            "urlencoded": {"data": text},
            "multipart": {"files": {name: (None, value) for name, value in text.items()}},
            "json": {"json": {"tools": tools, "stream": False}},
            "json text": {"json": text},
        }
        answer = at.client.post(run.url("/continue"), headers=at.olga, **ways[how])
        assert (answer.status_code, answer.json()["status"]) == (200, "COMPLETED")
        assert at.made() == ["pay 3"]

    @pytest.mark.parametrize(
        "sent",
        [
            {"json": {"fork": []}},
            {"json": {"tools": {"a": 1}}},
            {"json": {"tools": [[]]}},
            {"json": {"tools": [{"tool_call_id": 7}]}},
            {"json": ["tools"]},
            {"content": b"{", "headers": {"content-type": "application/json"}},
            {"content": b"\xff", "headers": {"content-type": "application/json"}},
            {"data": {"tools": "[{]"}},
            {"data": {"regenerate": "true"}},
            {"data": {"continue_from": "last_user"}},
            {"data": {"input": "something else"}},
            {"data": {"stream": "perhaps"}},
            {"files": {"tools": ("tools.json", b"[]")}},
            {"files": {"session_id": ("s", b"s")}},
        ],
    )
    def test_junk_is_422_and_names_the_field(self, at: At, sent: dict[str, Any]) -> None:
        run = at.begin("pay 3")
        headers = {**at.olga, **sent.pop("headers", {})}
        with untouched(at, run):
            answer = at.client.post(run.url("/continue"), headers=headers, **sent)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"][0] == "body"


class TestWhatIsRefused:
    def test_nothing_said_is_no_rejection(self, at: At) -> None:
        run = at.begin("pay 3 + mail hi + shell ls + look 1")
        assert at.made() == ["look 1"]
        told = refused(at, run, 409)
        for tool, wait in zip(
            run.tools, ("confirmation", "user_input", "external_execution"), strict=False
        ):
            assert f"{tool['tool_name']} ({tool['tool_call_id']}): {wait}" in told
        assert "look" not in told

    def test_of_some_decisions_nothing_is_stored(self, at: At) -> None:
        run = at.begin("pay 3 + pay 4")
        some = run.saying(0, confirmed=True)
        told = refused(at, run, 409, some)
        assert run.tools[1]["tool_call_id"] in told
        assert run.tools[0]["tool_call_id"] not in told
        rest = run.saying(1, confirmed=True)
        refused(at, run, 409, rest)
        assert at.went_on(run, some, rest)["status"] == "COMPLETED"

    @pytest.mark.parametrize(
        ("message", "said"),
        [
            ("pay 3", {"result": "paid"}),
            ("pay 3", {"user_input_schema": [{"name": "amount", "value": 9}]}),
            ("mail hi", {"confirmed": True}),
            ("mail hi", {"result": "mailed"}),
            ("mail hi", {"user_input_schema": [{"name": "subject", "value": "forged"}]}),
            (
                "mail hi",
                {
                    "user_input_schema": [
                        {"name": "to", "value": "bob"},
                        {"name": "subject", "value": "forged"},
                    ]
                },
            ),
            ("mail hi", {"user_input_schema": [{"name": "to", "value": {"a": 1}}]}),
            ("shell ls", {"confirmed": True}),
            ("shell ls", {"user_input_schema": [{"name": "command", "value": "rm"}]}),
            ("refund 5", {"confirmed": True}),
            ("refund 5", {"confirmed": False}),
            ("refund 5", {"result": "refunded"}),
            ("refund 5", {"user_input_schema": [{"name": "amount", "value": 9}]}),
        ],
    )
    def test_a_decision_for_another_kind_of_wait(
        self, at: At, message: str, said: dict[str, Any]
    ) -> None:
        run = at.begin(message)
        forged = {**run.tools[0], **said}
        forged.update(external_execution_required=True, approval_type=None)
        for tool in (run.saying(**said), forged):
            refused(at, run, 422, tool)

    def test_calls_of_other_runs_and_of_none(self, at: At) -> None:
        other, run = at.begin("pay 1"), at.begin("pay 2")
        for identifier in (other.tools[0]["tool_call_id"], "call", "", "*", run.run_id):
            said = {"tool_call_id": identifier, **YES}
            refused(at, run, 422, said)
            both = (said, run.saying(**YES))
            refused(at, run, 422, *both)
        assert at.now(other)["status"] == "PAUSED"

    def test_calls_of_earlier_turns(self, at: At) -> None:
        first = at.begin("pay 1 | pay 2")
        second = Paused(at.went_on(first, first.saying(**YES)), "alpha")
        assert at.made() == ["pay 1"]
        for said in (YES, {"confirmed": False}, {"result": "forged"}, {**YES, "result": "forged"}):
            again = first.saying(0, **said)
            both = (again, second.saying(1, **YES))
            refused(at, second, 409, *both)

    def test_two_opinions_of_one_call(self, at: At) -> None:
        run = at.begin("pay 3")
        both = (run.saying(confirmed=True), run.saying(confirmed=False))
        refused(at, run, 409, *both)

    def test_a_decision_that_comes_late_or_twice(self, at: At) -> None:
        run = at.begin("pay 3")
        at.went_on(run, run.saying(**YES))
        assert at.made() == ["pay 3"]
        for tools in ((run.saying(**YES),), (run.saying(confirmed=False),), ()):
            told = refused(at, run, 409, *tools)
            assert "only a paused run can be continued" in told
        stream = at.go_on(run, run.saying(**YES), stream="true")
        assert stream.status_code == 409


@settings(max_examples=examples(1), suppress_health_check=list(HealthCheck))
@given(decisions=wild.decisions)
def test_whatever_is_said_no_call_is_made_that_was_not_approved(
    at: At, waiting: Paused, decisions: list[Any]
) -> None:
    ids = dict(zip(wild.CALLS, (tool["tool_call_id"] for tool in waiting.tools), strict=True))
    for said in decisions:
        if isinstance(said, dict) and isinstance(call := said.get("tool_call_id"), str):
            said["tool_call_id"] = ids.get(call, call)
    with untouched(at, waiting):
        answer = at.go_on(waiting, *decisions)
    # Nobody approves the refund: whatever is said of the others, the run waits.
    assert answer.status_code in {409, 422}, answer.text


class TestWho:
    def test_for_others_the_run_is_not_there(self, at: At) -> None:
        run = at.begin("pay 3")
        said = run.saying(**YES)
        unknown = Paused({**run.json, "run_id": "nothing"}, "alpha")
        for headers in (at.place.world.bearer(STRANGER, "agents:run"), at.bo):
            told = refused(at, run, 404, said, headers=headers)
            assert told == at.go_on(unknown, said, headers=headers).text
            assert json.loads(told) == {"detail": "Run not found"}

    def test_it_is_found_under_its_own_agent_and_its_own_session(self, at: At) -> None:
        run = at.begin("pay 3", session_id="mine")
        at.begin("pay 4", session_id="other")
        said = run.saying(**YES)
        for wrong in ({"agent": "beta"}, {"session_id": "other"}, {"session_id": "none"}):
            refused(at, run, 404, said, **wrong)
        assert detail(at.go_on(run, said, agent="gamma")) == "Agent not found"
        assert at.went_on(run, said, session_id="mine")["status"] == "COMPLETED"

    @pytest.mark.parametrize(
        "scopes",
        [(), ("agents:read",), ("agents:beta:run",), ("approvals:write", "sessions:write")],
    )
    def test_whoever_may_not_run_the_agent_may_not_go_on(
        self, at: At, scopes: tuple[str, ...]
    ) -> None:
        run = at.begin("pay 3")
        headers, said = at.place.world.bearer(OWNER, *scopes), run.saying(**YES)
        refused(at, run, 403, said, headers=headers)
        with untouched(at, run):
            answer = at.client.post(run.url("/continue"), json={"tools": [said]})
        assert answer.status_code == 401

    def test_a_scope_for_the_agent_is_enough(self, at: At) -> None:
        run = at.begin("pay 3")
        headers = at.place.world.bearer(OWNER, "agents:alpha:run")
        assert at.went_on(run, run.saying(**YES), headers=headers)["status"] == "COMPLETED"

    def test_the_administrator_goes_on_with_it_under_who_began_it(self, at: At) -> None:
        run = at.begin("pay 3")
        headers = at.place.world.bearer(ADMIN, "agent_os:admin")
        done = at.went_on(run, run.saying(**YES), headers=headers)
        assert (done["status"], done["user_id"]) == ("COMPLETED", OWNER)


@pytest.mark.parametrize("agent", ["alpha", "beta"])
class TestAtOnce:
    def test_of_several_submits_one_is_answered_and_the_call_is_made_once(
        self, at: At, agent: str
    ) -> None:
        for stream in ("false", "true"):
            run = at.begin("pay 3", agent)
            said = run.saying(**YES)

            def submit(_: int, run: Paused = run, stream: str = stream) -> int:
                return at.go_on(run, said, stream=stream).status_code  # noqa: B023 - of this round

            with ThreadPoolExecutor(6) as pool:
                statuses = sorted(pool.map(submit, range(6)))
            assert statuses == [200, 409, 409, 409, 409, 409]
            assert (at.now(run)["status"], at.made()) == ("COMPLETED", ["pay 3"])

    def test_yes_and_no_at_once_come_to_one_of_them(self, at: At, agent: str) -> None:
        run = at.begin("pay 3", agent)
        with ThreadPoolExecutor(2) as pool:
            answers = pool.map(lambda yes: at.go_on(run, run.saying(confirmed=yes)), (True, False))
            assert sorted(answer.status_code for answer in answers) == [200, 409]
        confirmed = at.now(run)["tools"][0]["confirmed"]
        assert at.made() == (["pay 3"] if confirmed else [])

    def test_a_run_that_is_cancelled_meanwhile_makes_at_most_the_call_it_had_begun(
        self, at: At, agent: str
    ) -> None:
        for _ in range(4):
            run = at.begin("pay 3", agent)
            with ThreadPoolExecutor(2) as pool:
                cancelling = pool.submit(at.client.post, run.url("/cancel"), headers=at.olga)
                going_on = pool.submit(at.go_on, run, run.saying(**YES))
                codes = (cancelling.result().status_code, going_on.result().status_code)
            status, made = at.now(run)["status"], at.made()
            assert codes in {(200, 409), (200, 200), (409, 200)}
            assert status == ("COMPLETED" if codes[0] == 409 else "CANCELLED")
            assert made in ([], ["pay 3"])
            assert not (codes == (200, 409) and made)


@pytest.mark.parametrize("agent", ["alpha", "beta"])
class TestWhileItWaits:
    def test_it_is_read_with_what_it_waits_for(self, at: At, agent: str) -> None:
        run = at.begin("look 1 + pay 3 + mail hi + shell ls + refund 5", agent)
        read = at.now(run)
        assert (read["status"], read["tools"]) == ("PAUSED", run.tools)
        waits = [
            {
                name
                for name, value in tool.items()
                if name.startswith(("req", "ext", "app")) and value
            }
            for tool in read["tools"]
        ]
        assert waits == [
            set(),
            {"requires_confirmation"},
            {"requires_user_input"},
            {"external_execution_required"},
            {"requires_confirmation", "approval_type", "approval_id"},
        ]
        where = {"session_id": run.json["session_id"], "status": "PAUSED"}
        listed = at.client.get(f"/agents/{agent}/runs", params=where, headers=at.olga).json()
        assert [each["run_id"] for each in listed] == [run.run_id]

    def test_cancelled_it_goes_on_no_more(self, at: At, agent: str) -> None:
        run = at.begin("pay 3", agent)
        assert at.client.post(run.url("/cancel"), headers=at.olga).status_code == 200
        told = refused(at, run, 409, run.saying(**YES))
        assert "CANCELLED" in told
        assert at.client.post(run.url("/cancel"), headers=at.olga).status_code == 409
        assert at.now(run)["cancellation_reason"] == "cancelled by olga"

    def test_deleted_with_its_session_it_is_gone(self, at: At, agent: str) -> None:
        run = at.begin("pay 3", agent)
        session = f"/sessions/{run.json['session_id']}"
        assert at.client.delete(session, headers=at.olga).status_code == 204
        assert at.go_on(run, run.saying(**YES)).status_code == 404
        assert at.made() == []
