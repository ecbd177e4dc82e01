"""``licet runs cancel`` and ``retry``, beside a server that works on runs, and beside none."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from licet.cli import runs as module
from licet.db.records import RunStatus
from tests.cli.conftest import Cli
from tests.cli.stored_runs import assert_refused, put, register
from tests.support.durable_place import DurablePlace, begun, post, wait_for
from tests.support.world import OWNER, STRANGER


class TestBesideAServer:
    """The server works in this process; the commands know nothing but the file."""

    @pytest.fixture
    def place(self, beside: Path) -> DurablePlace:
        return DurablePlace(beside)

    @contextmanager
    def working(self, place: DurablePlace) -> Iterator[tuple[httpx.Client, str]]:
        with place.served() as client:
            run_id = begun(post(client, place.bearer(), "hold works one two", session_id="s"))
            wait_for(lambda: place.status(run_id) == "RUNNING", "its turn")
            yield client, run_id

    def test_what_works_is_marked_with_its_process(self, cli: Cli, place: DurablePlace) -> None:
        with self.working(place) as (_, run_id):
            (row,) = cli("runs", "list", "program").stdout.splitlines()[1:]
            assert row.startswith(f"{run_id}  RUNNING  ")
            record = place.record(run_id)
            assert record is not None
            assert row.endswith(f"  yes      {record.executor_id}")

    def test_what_works_is_asked_to_stop_and_its_end_is_waited_for(
        self, cli: Cli, place: DurablePlace
    ) -> None:
        with self.working(place) as (_, run_id):
            result = cli("runs", "cancel", "program", run_id)
            assert (result.exit_code, result.stdout) == (0, "")
            assert result.stderr == f"Run {run_id} is cancelled.\n"
            assert place.status(run_id) == "CANCELLED"
            again = cli("runs", "cancel", "program", run_id)
            assert_refused(again, "The run has ended already: CANCELLED")

    def test_what_waits_is_cancelled_at_once(self, cli: Cli, place: DurablePlace) -> None:
        with self.working(place) as (client, _):
            waiting = begun(post(client, place.bearer(), "say never", session_id="s"))
            assert cli("runs", "cancel", "program", waiting).exit_code == 0
            assert place.stored(waiting).cancellation_reason == "cancelled by the operator"
            place.open_all()
        assert place.asked["say never"] == 0

    def test_what_failed_is_done_anew_as_another_run(self, cli: Cli, place: DurablePlace) -> None:
        with place.served() as client:
            run_id = begun(post(client, place.bearer(), "fail", metadata='{"order": 7}'))
            assert place.ended(run_id).status == "ERROR"
            place.mended = True
            result = cli("runs", "retry", "program", run_id)
            assert result.exit_code == 0
            new_id = result.stdout.strip()
            assert result.stdout == f"{new_id}\n"
            assert f"in place of {run_id}" in result.stderr
            output = place.ended(new_id)
            before = place.stored(run_id)
        assert (output.status, output.content) == ("COMPLETED", "mended")
        # The program beside the server says what the run's metadata is.
        assert output.metadata == {"order": 7, "retry_of": run_id}
        assert (output.session_id, output.user_id, output.input) == (
            before.session_id,
            before.user_id,
            before.input,
        )
        first, again = place.record(run_id), place.record(new_id)
        assert first is not None
        assert again is not None
        assert (again.owner, again.durable, again.created_at_us > first.created_at_us) == (
            first.owner,
            True,
            True,
        )
        # The first one stays what it was, and can be asked for again.
        assert before.status == "ERROR"

    def test_what_was_cancelled_is_done_anew_too(self, cli: Cli, place: DurablePlace) -> None:
        with self.working(place) as (_, run_id):
            cli("runs", "cancel", "program", run_id)
            new_id = cli("runs", "retry", "program", run_id).stdout.strip()
            place.open_all()
            assert place.ended(new_id).content == "one two"

    def test_a_retry_is_under_the_authority_of_whoever_asked(
        self, cli: Cli, place: DurablePlace
    ) -> None:
        with place.served() as client:
            run_id = begun(post(client, place.bearer(OWNER), "fail"))
            place.ended(run_id)
            client.post("/revocations", json={"subject": OWNER}, headers=place.world.admin())
            new_id = cli("runs", "retry", "program", run_id).stdout.strip()
            output = place.ended(new_id)
            assert (output.status, output.error_type) == ("CANCELLED", "revoked")
            # Theirs alone: somebody else does not see it.
            where = {"session_id": output.session_id}
            url = f"/agents/alpha/runs/{new_id}"
            assert client.get(url, params=where, headers=place.bearer(STRANGER)).status_code == 404

    def test_the_authority_counts_from_when_it_was_taken(
        self, cli: Cli, place: DurablePlace
    ) -> None:
        with place.served(config={"authority_ttl": timedelta(seconds=1)}) as client:
            run_id = begun(post(client, place.bearer(), "fail"))
            asked_at = time.monotonic()
            assert place.ended(run_id).status == "ERROR"
            wait_for(lambda: time.monotonic() > asked_at + 1, "the end of its authority")
            new_id = cli("runs", "retry", "program", run_id).stdout.strip()
            output = place.ended(new_id)
        assert output.cancellation_reason == (
            "the authority under which the run was started has expired"
        )

    def test_the_retry_of_a_retry_says_which(self, cli: Cli, place: DurablePlace) -> None:
        with place.served() as client:
            run_id = begun(post(client, place.bearer(), "fail"))
            place.ended(run_id)
            second = cli("runs", "retry", "program", run_id).stdout.strip()
            place.ended(second)
            third = cli("runs", "retry", "program", second).stdout.strip()
            metadata = place.ended(third).metadata
        assert metadata is not None
        assert metadata["retry_of"] == second
        shown = cli("runs", "show", "program", third).stdout
        assert re.search(rf"^retry of +{second}$", shown, re.MULTILINE)

    def test_no_client_can_say_that_its_run_is_a_retry(self, place: DurablePlace) -> None:
        with place.served() as client:
            answer = post(client, place.bearer(), "say x", metadata='{"retry_of": "r"}')
            assert answer.status_code == 422
            assert "which the server sets" in answer.text

    @pytest.mark.parametrize("message", ["say done", "hold works one two"])
    def test_what_did_not_fail_is_not_done_anew(
        self, cli: Cli, place: DurablePlace, message: str
    ) -> None:
        with place.served() as client:
            run_id = begun(post(client, place.bearer(), message))
            status = "COMPLETED" if message.startswith("say") else "RUNNING"
            wait_for(lambda: place.status(run_id) == status, "it to come so far")
            result = cli("runs", "retry", "program", run_id)
        how = "has not failed" if status == "COMPLETED" else "has not ended"
        assert_refused(result, f"run {run_id!r} {how}: it is {status}")

    def test_a_foreground_run_cannot_be_done_anew(self, cli: Cli, place: DurablePlace) -> None:
        with place.served() as client:
            answer = post(client, place.bearer(), "fail", background="false")
            run_id = answer.json()["run_id"]
            result = cli("runs", "retry", "program", run_id)
        assert_refused(result, f"run {run_id!r} is not durable: of a foreground run nothing is")

    def test_a_run_of_an_agent_that_is_gone_cannot_be_done_anew(
        self, cli: Cli, place: DurablePlace
    ) -> None:
        with place.served() as client:
            run_id = begun(post(client, place.bearer(), "fail", "beta"))
            place.ended(run_id)
            result = cli("runs", "retry", "program", run_id)
        assert_refused(result, "the program has no agent 'beta'")


class TestBesideNoServer:
    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.2)

    def test_what_a_dead_process_left_ends_when_somebody_sees_to_it(
        self, cli: Cli, beside: Path
    ) -> None:
        file = beside / "durable.db"
        put(file, "left", status=RunStatus.RUNNING, executor_id="dead")
        result = cli("runs", "cancel", "program", "left")
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == (
            "Run left was asked to stop, but the process that worked on it has ended (dead): it "
            "ends when a server of this program sees to it.\n"
        )

    def test_a_process_that_does_not_hear_is_named(self, cli: Cli, beside: Path) -> None:
        file = beside / "durable.db"
        register(file, "deaf")
        put(file, "held", status=RunStatus.RUNNING, executor_id="deaf")
        result = cli("runs", "cancel", "program", "held")
        assert result.exit_code == 1
        assert result.stderr.startswith("Run held was asked to stop 0.2 seconds ago, and is at")
        assert "in deaf:" in result.stderr

    def test_what_is_paused_is_cancelled_at_once(self, cli: Cli, beside: Path) -> None:
        put(beside / "durable.db", "paused", status=RunStatus.PAUSED)
        assert cli("runs", "cancel", "program", "paused").exit_code == 0
        shown = cli("runs", "show", "program", "paused").stdout
        assert re.search(r"^reason +cancelled by the operator$", shown, re.MULTILINE)
