from __future__ import annotations

from benchmarks.hot_spots import baselines, bytecodes, counts, python, regressions


def work(times: int) -> int:
    """Something that takes its time."""
    return sum(place * place for place in range(times))


def test_more_work_is_more_bytecodes_and_the_same_work_the_same() -> None:
    few, many = bytecodes(lambda: work(10)), bytecodes(lambda: work(20))
    assert 0 < few < many < 3 * few
    assert bytecodes(lambda: work(10)) == few


def test_the_counts_of_hot_spots_do_not_vary() -> None:
    first = counts()
    assert counts() == first
    assert min(first.values()) > 10


def test_what_grows_is_named() -> None:
    assert regressions({"encode": 102}, {"encode": 100}) == []
    assert regressions({"encode": 103}, {"encode": 100}) == ["encode: 103 bytecodes, 100 before"]
    assert regressions({"new": 1}, {"encode": 100}) == ["new: not in the baseline"]


def test_the_baseline_is_about_the_hot_spots_that_there_are() -> None:
    known = baselines()
    assert set(known.get(python(), counts())) == set(counts())
