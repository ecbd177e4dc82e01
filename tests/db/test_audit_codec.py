from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from licet.db import audit_codec
from licet.db.audit_codec import json_of
from licet.errors import StorageError
from tests.contract.audit_rows import batch, record, records


@given(text=st.text(st.sampled_from('\\"u0\0\n'), max_size=12))
def test_a_nul_is_found_and_nothing_else_is_taken_for_one(text: str) -> None:
    of = [record(reason=text)]
    if "\0" in text:
        with pytest.raises(StorageError, match="reason"):
            json_of(batch(of), of)
    else:
        assert json_of(batch(of), of)


def test_records_that_are_fine_are_not_looked_at_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def each(_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(audit_codec, "_check_each", each)
    for path in ("/a", "/\\u0000", "/\\\\u0000", '/"\\', "/\n", "/日本"):
        of = records(1, 3, route=path, subject=None)
        assert json_of(batch(of), of)
