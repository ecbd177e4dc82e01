"""The chart of the README: how many times what the peer does, as bars. SVG, written as text."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from benchmarks.finding import PEER, Finding

_WIDTH, _LABEL, _ROW, _TOP = 760, 270, 30, 44
_BAR = _WIDTH - _LABEL - 70


def chart(findings: Sequence[Finding], *, title: str) -> str:
    """Bars for the rates that were measured beside the peer, whose own are one times as high."""
    bars = [
        (finding.what.replace("`", ""), finding.ratio(PEER).median)
        for finding in findings
        if PEER in finding.figures and finding.unit == "a second"
    ]
    longest = max((times for _, times in bars), default=1.0)
    scale = _BAR / max(longest, 1.0)
    height = _TOP + _ROW * len(bars) + 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        '<g font-family="sans-serif" font-size="14">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="12" y="24" font-weight="bold">{escape(title)}</text>',
    ]
    for place, (what, times) in enumerate(bars):
        y = _TOP + place * _ROW
        parts += [
            f'<text x="{_LABEL - 8}" y="{y + 15}" text-anchor="end">{escape(what)}</text>',
            f'<rect x="{_LABEL}" y="{y}" width="{times * scale:.0f}" height="20" fill="#2f6f4f"/>',
            f'<rect x="{_LABEL}" y="{y}" width="{scale:.0f}" height="20" fill="#c9a227"/>',
            f'<text x="{_LABEL + times * scale + 6:.0f}" y="{y + 15}">{times:.1f} ×</text>',
        ]
    return "\n".join([*parts, "</g>", "</svg>", ""])
