"""A request with an ``Idempotency-Key`` begins one run, however often it is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.support.durable_place import DurablePlace, begun, post, wait_for
from tests.support.streams import ends, frames, names, until, whole
from tests.support.world import ADMIN, OWNER, STRANGER

FOREGROUND = {"background": "false"}
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "title": "Person"}
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> DurablePlace:
    return DurablePlace(tmp_path_factory.mktemp("once"))


@pytest.fixture(scope="module")
def client(place: DurablePlace) -> Iterator[httpx.Client]:
    with place.served() as made:
        yield made


class Sender:
    """Somebody who sends requests with one key, which nobody else has used."""

    def __init__(self, place: DurablePlace, client: httpx.Client, key: str) -> None:
        self.place = place
        self.client = client
        self.key = key
        self.headers = {**place.bearer(OWNER), "Idempotency-Key": key}

    def by(self, subject: str) -> dict[str, str]:
        """The same key of somebody else."""
        return {**self.headers, **self.place.bearer(subject)}

    def post(self, message: str, agent: str = "alpha", **fields: Any) -> httpx.Response:
        """Ask for a run; in the background unless it is said otherwise, and not streamed."""
        return post(self.client, self.headers, message, agent, **fields)


@pytest.fixture
def sender(place: DurablePlace, client: httpx.Client, request: pytest.FixtureRequest) -> Sender:
    return Sender(place, client, request.node.name[:255])


def asked(sender: Sender, message: str) -> int:
    """How often the model was asked for it."""
    return sender.place.asked[message]


class TestSentAgain:
    @pytest.mark.parametrize("agent", ["alpha", "beta"])
    def test_the_first_run_is_answered(self, sender: Sender, agent: str) -> None:
        message = f"say once to {agent}"
        first, again = (sender.post(message, agent, **FOREGROUND) for _ in range(2))
        assert (again.status_code, again.json()) == (200, first.json())
        assert first.json()["content"] == f"once to {agent}"
        assert asked(sender, message) == 1

    @pytest.mark.parametrize("agent", ["alpha", "beta"])
    def test_one_that_works_is_waited_for(self, sender: Sender, agent: str) -> None:
        message = f"hold {sender.key} one two"
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(sender.post, message, agent, **FOREGROUND)
            wait_for(lambda: asked(sender, message) == 1, "the first to work")
            again = pool.submit(sender.post, message, agent, **FOREGROUND)
            sender.place.hold(sender.key).opened.set()
            assert again.result().json() == first.result().json()
        assert asked(sender, message) == 1

    @pytest.mark.parametrize("background", ["true", "false"])
    def test_a_stream_begins_at_its_first_event(self, sender: Sender, background: str) -> None:
        message = f"hold {sender.key} one two"
        form = {"message": message, "background": background}
        url, headers = "/agents/alpha/runs", sender.headers
        with sender.client.stream("POST", url, data=form, headers=headers) as first:
            stream = frames(first.iter_lines())
            told = until(stream, "RunContent")
            with sender.client.stream("POST", url, data=form, headers=headers) as again:
                replayed = frames(again.iter_lines())
                assert until(replayed, "RunContent") == told
                sender.place.hold(sender.key).opened.set()
                rest = list(stream)
                assert list(replayed) == rest
        # Also when it has ended.
        third = sender.client.post(url, data=form, headers=headers)
        assert whole(third.text) == [*told, *rest]
        assert ends(rest) == ["RunCompleted"]
        assert asked(sender, message) == 1

    def test_a_spare_stream_stays_spare(self, sender: Sender) -> None:
        for background in ("true", "false"):
            sender.headers["Idempotency-Key"] = f"spare-{background}"
            fields = {"stream": "true", "stream_events": "false", "background": background}
            first, again = (sender.post("say one two", **fields) for _ in range(2))
            assert names(whole(again.text)) == ["RunContent", "RunContent", "RunCompleted"]
            assert again.text == first.text

    def test_in_the_background_it_is_told_where_it_stands(self, sender: Sender) -> None:
        message = f"hold {sender.key} one two"
        run_id = begun(sender.post(message))
        wait_for(lambda: sender.place.status(run_id) == "RUNNING", "its turn")
        again = sender.post(message)
        assert (begun(again), again.json()["status"]) == (run_id, "RUNNING")
        sender.place.hold(sender.key).opened.set()
        sender.place.ended(run_id)
        assert sender.post(message).json()["status"] == "COMPLETED"
        assert asked(sender, message) == 1

    @pytest.mark.parametrize("background", ["true", "false"])
    def test_many_at_once_begin_one(self, sender: Sender, background: str) -> None:
        message = f"say at once {background}"
        with ThreadPoolExecutor(8) as pool:
            sent = [pool.submit(sender.post, message, background=background) for _ in range(8)]
            answers = [each.result() for each in sent]
        assert {answer.status_code for answer in answers} == {202 if background == "true" else 200}
        (run_id,) = {answer.json()["run_id"] for answer in answers}
        sender.place.ended(run_id)
        assert asked(sender, message) == 1

    def test_all_that_can_be_asked_is_the_same_when_it_is_sent_again(self, sender: Sender) -> None:
        def send() -> httpx.Response:
            form = {
                "message": "say all",
                "stream": "false",
                "background": "true",
                "session_id": "all",
                "metadata": '{"b": 1, "a": {"y": 2, "x": 3}}',
                "output_schema": json.dumps(SCHEMA),
                "images": json.dumps([{"content": PIXEL, "mime_type": "image/png"}]),
            }
            files = [("files", ("notes.txt", b"some text", "text/plain"))]
            url = "/agents/alpha/runs"
            return sender.client.post(url, data=form, files=files, headers=sender.headers)

        assert begun(send()) == begun(send())

    def test_a_form_and_json_ask_the_same(self, sender: Sender) -> None:
        run_id = begun(sender.post("say form"))
        body = {"message": "say form", "stream": False, "background": True}
        url = "/agents/alpha/runs"
        assert begun(sender.client.post(url, json=body, headers=sender.headers)) == run_id


class TestItsKey:
    @pytest.mark.parametrize(
        "other",
        [
            {"message": "say other"},
            {"session_id": "other"},
            {"stream": "true"},
            {"background": "false"},
            {"metadata": '{"a": 1}'},
            {"output_schema": json.dumps(SCHEMA)},
        ],
        ids=lambda other: next(iter(other)),
    )
    def test_something_else_under_it_is_refused(
        self, sender: Sender, other: dict[str, str]
    ) -> None:
        run_id = begun(sender.post("say this"))
        refused = sender.post(**{"message": "say this", **other})
        assert refused.status_code == 422
        (problem,) = refused.json()["detail"]
        assert problem["loc"] == ["header", "idempotency-key"]
        assert "used before" in problem["msg"]
        assert run_id not in refused.text
        assert begun(sender.post("say this")) == run_id

    @pytest.mark.parametrize("fields", [{}, FOREGROUND], ids=["background", "foreground"])
    def test_it_is_each_owners_own(self, sender: Sender, fields: dict[str, str]) -> None:
        mine = sender.post("say mine", **fields).json()["run_id"]
        sender.headers = sender.by(STRANGER)
        theirs = sender.post("say mine", **fields)
        assert theirs.status_code in {200, 202}
        assert theirs.json()["run_id"] != mine
        # Not even by asking for something else can they find out that it was used.
        sender.headers = sender.by("third")
        assert sender.post("say another thing", **fields).status_code in {200, 202}

    def test_it_is_each_agents_own(self, sender: Sender) -> None:
        assert begun(sender.post("say it", "alpha")) != begun(sender.post("say it", "beta"))

    def test_the_administrators_own_counts_whomever_they_work_for(self, sender: Sender) -> None:
        sender.headers = {**sender.headers, **sender.place.world.admin()}
        run_id = begun(sender.post("say for olga", user_id=OWNER))
        assert begun(sender.post("say for olga", user_id=OWNER)) == run_id
        assert sender.post("say for olga", user_id=ADMIN).status_code == 422
        # It is not hers.
        sender.headers = sender.by(OWNER)
        assert begun(sender.post("say for olga")) != run_id

    def test_without_one_each_request_begins_a_run(self, sender: Sender) -> None:
        del sender.headers["Idempotency-Key"]
        assert begun(sender.post("say twice")) != begun(sender.post("say twice"))

    @pytest.mark.parametrize(
        "keys",
        [[""], ["a" * 256], ["caf\u00e9"], ["a\tb"], ["one", "two"], ["same", "same"]],
        ids=["empty", "too long", "not ASCII", "control", "two", "twice"],
    )
    def test_what_is_none_is_refused_and_begins_nothing(
        self, sender: Sender, keys: list[str]
    ) -> None:
        headers = [(name, value) for name, value in sender.headers.items() if name[0] == "A"]
        headers += [("Idempotency-Key", key.encode("latin-1").decode("latin-1")) for key in keys]
        form = {"message": "say refused", "stream": "false", "background": "true"}
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        answer = sender.client.post("/agents/alpha/runs", data=form, headers=raw)
        assert answer.status_code == 422
        assert answer.json()["detail"][0]["loc"] == ["header", "idempotency-key"]
        assert asked(sender, "say refused") == 0

    @pytest.mark.parametrize("key", ["a", "~", "a" * 255, 'with "quotes" and spaces'])
    def test_visible_text_is_one(self, sender: Sender, key: str) -> None:
        sender.headers["Idempotency-Key"] = key
        assert begun(sender.post("say a key")) == begun(sender.post("say a key"))

    def test_it_is_free_again_when_the_session_was_deleted(self, sender: Sender) -> None:
        run_id = begun(sender.post("say gone", session_id="once-gone"))
        sender.place.ended(run_id)
        gone = sender.client.delete("/sessions/once-gone", headers=sender.headers)
        assert gone.status_code == 204
        assert begun(sender.post("say gone", session_id="once-gone")) != run_id
