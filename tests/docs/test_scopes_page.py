from __future__ import annotations

from scripts.write_scopes import PAGE, page


def test_the_scope_page_is_what_the_routes_say() -> None:
    assert PAGE.read_text() == page(), "stale: python scripts/write_scopes.py"
