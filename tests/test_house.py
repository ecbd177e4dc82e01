"""What everybody can hold in their head stays small: who asks, what they may, what was decided."""

from __future__ import annotations

from pathlib import Path

import licet

SOURCE = Path(licet.__file__).parent
MOST_LINES = 400


def test_no_file_of_authn_authz_or_audit_is_longer_than_400_lines() -> None:
    lines = {
        file.relative_to(SOURCE): len(file.read_text().splitlines())
        for package in ("authn", "authz", "audit")
        for file in (SOURCE / package).rglob("*.py")
    }
    assert {file.parts[0] for file in lines} >= {"authn", "authz"}
    assert {file: count for file, count in lines.items() if count > MOST_LINES} == {}
