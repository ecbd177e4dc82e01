from __future__ import annotations

import re

from licet.db.in_memory import InMemoryDb
from licet.db.sqlite import SqliteDb
from licet.doctor.checks import CHECKS, KINDS, examine
from licet.doctor.finding import Level
from tests.doctor.deployments import deployed


def test_each_kind_belongs_to_one_check_and_is_something_to_mend() -> None:
    names = [kind.code for kind in KINDS]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)+", name) for name in names)
    assert Level.OK not in {kind.level for kind in KINDS}


async def test_every_check_has_an_outcome_in_the_order_of_the_list(tmp_path: object) -> None:
    outcomes = await examine(deployed(db=SqliteDb(f"{tmp_path}/small.db")))
    assert [outcome.about for outcome in outcomes] == [check.about for check in CHECKS]
    assert [list(outcome.findings) for outcome in outcomes] == [[] for _ in CHECKS]


async def test_findings_stand_with_the_check_that_made_them() -> None:
    outcomes = await examine(deployed(db=InMemoryDb(), workers=2))
    wrong = {o.about: [f.kind.code for f in o.findings] for o in outcomes if o.findings}
    assert wrong == {"storage for so many processes": ["storage_split"]}
