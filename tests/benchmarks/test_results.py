from __future__ import annotations

import xml.etree.ElementTree as ET

from benchmarks.chart import chart
from benchmarks.finding import OURS, PEER, Finding, Must
from benchmarks.results import Results, number, table

MET = Finding(
    what="runs",
    unit="a second",
    figures={OURS: [20, 30], PEER: [2, 2], "proxy": [40, 40], "other": [10, 10]},
    musts=(Must(beside=PEER, at_least=10), Must(beside="proxy", at_least=0.4)),
)
MISSED = Finding(what="memory", unit="KiB", figures={OURS: [90]}, musts=(Must(at_most=80),))
UNBOUND = Finding(what="the load", unit="a second", figures={"trivial": [17_000]})


def results(*findings: Finding, **failures: str) -> Results:
    """What a run came to."""
    return Results(
        command="python -m benchmarks",
        date="2026-11-29",
        machine="2 cores",
        versions={"licet": "Python 3.11"},
        findings=list(findings),
        failures=failures,
    )


def test_a_row_tells_both_ratios_with_their_spread_and_whether_the_bounds_hold() -> None:
    _, _, row, other = table([MET])
    assert row == (
        "| runs, a second | 2.00 | 40.0 (proxy) | 25.0 | 12.5 (10.0 to 15.0) "
        "| 0.625 (0.500 to 0.750) | ≥ 10 × AgentOS; ≥ 0.4 × proxy | yes |"
    )
    assert "10.0 (other)" in other
    assert "2.50 (2.00 to 3.00)" in other


def test_what_was_missed_is_told() -> None:
    assert table([MISSED])[2].endswith("| ≤ 80 | **no** |")
    assert not results(MET, MISSED).all_is_well
    assert results(MET, UNBOUND).all_is_well


def test_what_has_no_bound_was_neither_met_nor_missed() -> None:
    assert table([UNBOUND])[2].endswith("| – | – |")


def test_a_suite_that_failed_is_named_in_the_file() -> None:
    failed = results(MET, tokens="AssertionError: 503")
    assert not failed.all_is_well
    assert "**The suite `tokens` failed**: AssertionError: 503" in failed.markdown("")


def test_notes_stand_at_the_end_of_the_file() -> None:
    text = results(MET).markdown("## Why\n\nBecause.\n")
    assert text.endswith("\n\n## Why\n\nBecause.\n")
    assert "2026-11-29" in text


def test_numbers_have_three_digits() -> None:
    shown = [number(value) for value in (0, 0.12345, 1.5, 99.94, 100.4, 12345.6)]
    assert shown == ["0", "0.123", "1.50", "99.9", "100", "12,346"]


def test_the_chart_has_a_bar_for_each_rate_beside_the_peer() -> None:
    root = ET.fromstring(chart([MET, MISSED, UNBOUND], title="Times <AgentOS>"))
    said = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert said == ["Times <AgentOS>", "runs", "12.5 ×"]
