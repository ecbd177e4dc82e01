"""How many durable runs work at once, and how many wait; each server has a file of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from licet.os import RunQueue
from tests.support.durable_place import DurablePlace, begun, post, wait_for
from tests.support.world import OWNER, STRANGER


def test_what_waits_is_bounded(tmp_path: Path) -> None:
    place = DurablePlace(tmp_path)
    queue = RunQueue(per_process=1, waiting=1)
    with place.served(queue=queue) as client:
        headers = place.bearer()
        working = begun(post(client, headers, "hold a one two"))
        wait_for(lambda: place.status(working) == "RUNNING", "the first to work")
        waiting = begun(post(client, headers, "hold a one two"))
        for fields in ({}, {"stream": "true"}):
            refused = post(client, headers, "say refused", **fields)
            assert refused.status_code == 429
            assert refused.headers["retry-after"].isdigit()
            assert "1 runs wait already" in refused.json()["detail"]
        # What does not wait for its turn is not refused.
        assert post(client, headers, "say now", background="false").status_code == 200
        place.open_all()
        assert place.ended(working).status == place.ended(waiting).status == "COMPLETED"
        assert place.ended(begun(post(client, headers, "say room"))).content == "room"
    assert place.asked["say refused"] == 0


def test_one_principal_works_on_so_many_at_once_and_others_are_not_kept_waiting(
    tmp_path: Path,
) -> None:
    place = DurablePlace(tmp_path)
    with place.served(queue=RunQueue(per_principal=1)) as client:
        olga, sten = place.bearer(OWNER), place.bearer(STRANGER)
        first = begun(post(client, olga, "hold a one two"))
        second = begun(post(client, olga, "hold a one two"))
        other = begun(post(client, sten, "say mine"))
        assert place.ended(other).content == "mine"
        assert (place.status(first), place.status(second)) == ("RUNNING", "PENDING")
        place.open_all()
        assert place.ended(second).status == "COMPLETED"


@pytest.mark.parametrize("queue", [RunQueue(overall=2), RunQueue(per_process=2)], ids=str)
def test_so_many_work_at_once_in_all(tmp_path: Path, queue: RunQueue) -> None:
    place = DurablePlace(tmp_path)
    with place.served(queue=queue) as client:
        people = [place.bearer(name) for name in ("a", "b", "c")]
        runs = [begun(post(client, who, f"hold {at} one")) for at, who in enumerate(people)]
        wait_for(
            lambda: [place.status(run) for run in runs] == ["RUNNING", "RUNNING", "PENDING"],
            "two to work",
        )
        place.hold("0").opened.set()
        assert place.ended(runs[0]).status == "COMPLETED"
        wait_for(lambda: place.asked["hold 2 one"] == 1, "the third to follow")
        place.open_all()
        for run in runs:
            assert place.ended(run).status == "COMPLETED"


def test_a_request_that_was_refused_has_not_used_its_key(tmp_path: Path) -> None:
    place = DurablePlace(tmp_path)
    with place.served(queue=RunQueue(per_process=1, waiting=1)) as client:
        headers = place.bearer()
        for _ in range(2):
            run_id = begun(post(client, headers, "hold full one two"))
            wait_for(lambda: place.asked["hold full one two"] == 1, "the first to work")
        once = {**headers, "Idempotency-Key": "k"}
        assert post(client, once, "say later").status_code == 429
        place.open_all()
        place.ended(run_id)
        assert place.ended(begun(post(client, once, "say later"))).content == "later"
