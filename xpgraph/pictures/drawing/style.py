"""Colours and fonts. Each colour has a value for white paper and one for black, both easy to read there (WCAG AA).

The light value is an attribute of each shape, so a viewer without style sheets shows it; the style sheet replaces it on
a dark screen. Values and gradients also differ in lightness, for printing in grey.
"""

from __future__ import annotations

from typing import NamedTuple


class Colour(NamedTuple):
    light: str
    dark: str


PALETTE = {
    "paper": Colour("#ffffff", "#12161c"),
    "ink": Colour("#1d2127", "#e8ebf0"),
    "soft": Colour("#59626f", "#a9b2be"),  # small print, outlines of parameters
    "value": Colour("#0a3a8c", "#9ac4ff"),
    "gradient": Colour("#b04a00", "#ffad5c"),
    "bad": Colour("#c4001a", "#ff8f8f"),  # nan and inf
    "alarm": Colour("#ffe9e9", "#4a1519"),  # behind nan and inf
    "layer": Colour("#e9eff8", "#232d3b"),
    "operator": Colour("#ffffff", "#1b222c"),
    "parameter": Colour("#f5f0e1", "#2e2a1c"),
}
SANS = "Helvetica, Arial, 'DejaVu Sans', 'Noto Sans', 'Noto Sans CJK SC', 'Microsoft YaHei', sans-serif"
SERIF = "'Latin Modern Roman', 'STIX Two Text', Cambria, Georgia, 'DejaVu Serif', 'Noto Serif CJK SC', serif"


def style_sheet() -> str:
    """The CSS rules; the same for every picture, so that several on one web page do not disturb each other."""
    dark = "".join(
        f".xpg-{name}{{fill:{colour.dark}}}.xpg-{name}-line{{stroke:{colour.dark}}}" for name, colour in PALETTE.items()
    )
    return f"@media(prefers-color-scheme:dark){{{dark}}}"


def fill(colour: str) -> str:
    """The attributes of a shape or a text filled with a colour of PALETTE."""
    return f'class="xpg-{colour}" fill="{PALETTE[colour].light}"'


def stroke(colour: str) -> str:
    return f'class="xpg-{colour}-line" stroke="{PALETTE[colour].light}"'


def fill_and_stroke(inside: str, line: str) -> str:
    return f'class="xpg-{inside} xpg-{line}-line" fill="{PALETTE[inside].light}" stroke="{PALETTE[line].light}"'
