from __future__ import annotations

from typing import Any

import pytest

from licet.cli.account_rows import HEADINGS, account_table
from licet.db.trust_records import ServiceAccountRecord

NOW = 1_800_000_000.0
BOB: dict[str, Any] = {"rotator_alias": "corp", "rotator_subject": "bob"}


def row(**given: Any) -> dict[str, str]:
    usual: dict[str, Any] = {
        "id": "id-1",
        "name": "robot",
        "scopes": (),
        "token_digest": "digest",
        "token_prefix": "licet_sa_abcd",
        "created_at_us": 1_000_000,
    }
    (cells,) = account_table([ServiceAccountRecord(**{**usual, **given})], now=NOW)
    return dict(zip(HEADINGS, cells, strict=True))


def test_it_shows_who_made_an_account_and_who_rotated_it() -> None:
    assert row()["BY"] == "the operator"
    made = row(creator_alias="corp", creator_subject="alice", **BOB)
    assert (made["BY"], made["ROTATED BY"]) == ("corp|alice", "corp|bob")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({}, ""),
        ({"old_token_digest": "old"}, "the operator"),
        ({"old_token_digest": "old", **BOB}, "corp|bob"),
        (BOB, "corp|bob"),
    ],
)
def test_an_account_that_was_never_rotated_has_no_rotator(
    given: dict[str, Any], shown: str
) -> None:
    assert row(**given)["ROTATED BY"] == shown


def test_an_account_whose_token_was_ended_shows_that_it_has_none() -> None:
    assert row()["TOKEN"] == "licet_sa_abcd"
    assert row(token_digest=None, token_prefix="")["TOKEN"] == "none"
