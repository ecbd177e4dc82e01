from __future__ import annotations

import pytest

from licet.audit.policy import Keep

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "WEBSOCKET", "get", "BREW")
CHANGING = ("POST", "PUT", "PATCH", "DELETE", "WEBSOCKET", "get", "BREW")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("keep", Keep)
def test_a_denial_is_always_kept(keep: Keep, method: str) -> None:
    assert keep.keeps(allowed=False, method=method)


@pytest.mark.parametrize(
    ("keep", "kept"), [(Keep.ALL, METHODS), (Keep.MUTATIONS, CHANGING), (Keep.DENIALS, ())]
)
def test_of_what_was_allowed_the_policy_says_what_is_kept(
    keep: Keep, kept: tuple[str, ...]
) -> None:
    found = tuple(method for method in METHODS if keep.keeps(allowed=True, method=method))
    assert found == kept
