"""Colours and letters. Each colour has its value on white paper and on black, where it is read with ease (WCAG AA).

The light value stands as an attribute, so that a viewer without style sheets shows a right picture; the style sheet
changes it where the reader's screen is dark. Values and gradients differ in lightness too, for grey print.
"""

from __future__ import annotations

from typing import NamedTuple


class Colour(NamedTuple):
    light: str
    dark: str


PALETTE = {
    "paper": Colour("#ffffff", "#12161c"),
    "ink": Colour("#1d2127", "#e8ebf0"),
    "soft": Colour("#59626f", "#a9b2be"),  # remarks, outlines of parameters
    "value": Colour("#0a3a8c", "#9ac4ff"),
    "gradient": Colour("#b04a00", "#ffad5c"),
    "bad": Colour("#c4001a", "#ff8f8f"),
    "alarm": Colour("#ffe9e9", "#4a1519"),  # behind a number that is none
    "layer": Colour("#e9eff8", "#232d3b"),
    "operator": Colour("#ffffff", "#1b222c"),
    "parameter": Colour("#f5f0e1", "#2e2a1c"),
}
TEXT = "Helvetica, Arial, 'DejaVu Sans', 'Noto Sans', 'Noto Sans CJK SC', 'Microsoft YaHei', sans-serif"
LETTER = "'Latin Modern Roman', 'STIX Two Text', Cambria, Georgia, 'DejaVu Serif', 'Noto Serif CJK SC', serif"


def style() -> str:
    """The rules of the style sheet; the same for every picture, so that many on one page agree."""
    dark = "".join(
        f".xpg-{name}{{fill:{colour.dark}}}.xpg-{name}-line{{stroke:{colour.dark}}}" for name, colour in PALETTE.items()
    )
    return f"@media(prefers-color-scheme:dark){{{dark}}}"


def fill(name: str) -> str:
    return f'class="xpg-{name}" fill="{PALETTE[name].light}"'


def stroke(name: str) -> str:
    return f'class="xpg-{name}-line" stroke="{PALETTE[name].light}"'


def both(inside: str, line: str) -> str:
    return f'class="xpg-{inside} xpg-{line}-line" fill="{PALETTE[inside].light}" stroke="{PALETTE[line].light}"'
