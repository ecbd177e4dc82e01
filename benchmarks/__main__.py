"""``python -m benchmarks``: run suites, print what they found, and write it down."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path

from benchmarks.chart import chart
from benchmarks.machine import machine, versions
from benchmarks.results import Results, table
from benchmarks.stage import Conditions
from benchmarks.suites import SUITES

FOLDER = Path(__file__).parent


def main() -> int:
    """Measure; 1 when a suite failed, or something that must hold did not."""
    chosen = _arguments()
    # Servers have folders of their own. Not resolved: an environment's interpreter is a link.
    peer_python = str(Path(chosen.peer_python).absolute()) if chosen.peer_python else None
    conditions = Conditions(
        seconds=chosen.seconds,
        rounds=chosen.rounds,
        scale=chosen.scale,
        peer_python=peer_python,
    )
    results = Results(
        command=f"python -m benchmarks --seconds {chosen.seconds:g} --rounds {chosen.rounds} "
        f"--scale {chosen.scale:g}",
        date=time.strftime("%Y-%m-%d", time.gmtime()),
        machine=machine(),
        versions=versions(peer_python),
    )
    for name in chosen.suites or SUITES:
        _say(f"{name} …")
        try:
            found = SUITES[name](conditions)
        except Exception as error:  # noqa: BLE001 - the others are measured all the same
            results.failures[name] = f"{type(error).__name__}: {error}"
            _say(f"{name} failed:\n{traceback.format_exc()}")
        else:
            results.findings += found
            _say("\n".join(table(found)))
    if chosen.write:
        notes = FOLDER / "notes.md"
        text = notes.read_text() if notes.exists() else ""
        (FOLDER / "RESULTS.md").write_text(results.markdown(text))
        title = f"Times the rate of AgentOS, {results.date}"
        (FOLDER / "chart.svg").write_text(chart(results.findings, title=title))
    return 0 if results.all_is_well else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("suites", nargs="*", choices=[[], *SUITES], help="all when none is named")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each side in each round")
    parser.add_argument("--rounds", type=int, default=7, help="A B A B …")
    parser.add_argument("--scale", type=float, default=1.0, help="of streams, rows, runs, tokens")
    parser.add_argument("--peer-python", help="an interpreter that has the package agno")
    parser.add_argument("--write", action="store_true", help="RESULTS.md and chart.svg")
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
