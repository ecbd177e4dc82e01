from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.finding import OURS
from benchmarks.smoke import slower
from benchmarks.stage import Conditions
from benchmarks.suites import SUITES, generator, streamed_runs
from tests.benchmarks.test_results import MET, MISSED

ROOT = Path(__file__).parents[2]
BRIEF = Conditions(seconds=0.1, rounds=1, scale=0.001)


def test_every_suite_is_described() -> None:
    readme = (ROOT / "benchmarks" / "README.md").read_text()
    assert [name for name in SUITES if f"`{name}`" not in readme] == []


def test_ours_and_the_limits_are_measured_in_turn() -> None:
    found = streamed_runs.measured(BRIEF, "SQLite")
    assert set(found.figures) == {OURS, streamed_runs.PROXY, streamed_runs.BY_EVENT}
    assert all(rate > 0 for rates in found.figures.values() for rate in rates)


def test_the_load_drives_a_trivial_server_faster_than_anything_that_is_measured() -> None:
    short, _ = generator.measure(BRIEF)
    assert short.spread(generator.TRIVIAL).median > 1000


def test_the_command_prints_a_table_and_tells_what_was_missed_by_its_status() -> None:
    command = [sys.executable, "-m", "benchmarks", "tokens", "--scale", "0", "--rounds", "1"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "| distinct tokens, RS256, one issuer, µs each | – |" in ended.stdout, ended
    assert ended.returncode == ("**no**" in ended.stdout)


def test_a_suite_that_nobody_knows_is_refused() -> None:
    command = [sys.executable, "-m", "benchmarks", "nonsense"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "nonsense" in ended.stderr


def test_the_smoke_test_names_what_is_beyond_its_bound() -> None:
    assert slower([MET]) == []
    assert slower([MET, MISSED]) == ["memory: 90.0, and not ≤ 80"]
