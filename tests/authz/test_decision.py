from __future__ import annotations

import pytest

from licet.authz.decision import Decision, Verdict, allow, deny, no_opinion


def test_whatever_was_forgotten_is_a_denial() -> None:
    assert Verdict(0) is Verdict.DENY
    forgotten = Decision()
    assert forgotten.verdict is Verdict.DENY
    assert not forgotten.allowed
    assert forgotten.reason
    assert not forgotten.failed


@pytest.mark.parametrize(
    ("decision", "verdict", "allowed"),
    [
        (allow("why", "rule"), Verdict.ALLOW, True),
        (deny("why", "rule"), Verdict.DENY, False),
        (no_opinion("why", "rule"), Verdict.NO_OPINION, False),
    ],
)
def test_only_allow_allows(decision: Decision, verdict: Verdict, *, allowed: bool) -> None:
    assert (decision.verdict, decision.allowed) == (verdict, allowed)
    assert (decision.reason, decision.rule) == ("why", "rule")


@pytest.mark.parametrize("decision", [allow("", ""), deny("", ""), no_opinion("", "")])
def test_a_decision_is_neither_true_nor_false(decision: Decision) -> None:
    with pytest.raises(TypeError, match=r"decision\.allowed"):
        bool(decision)
