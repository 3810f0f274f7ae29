"""How wide a text is, without a font: never less than in the fonts that browsers choose.

The widths are those of DejaVu Sans and DejaVu Serif, which are wider than most fonts, as fractions of the font size.
"""

from __future__ import annotations

import unicodedata

_CLASSES = {
    0.35: " ',./:;\\ijl|·",
    0.42: "!()-IJ[]ftᵀ⁰¹²³",
    0.48: '"r',
    0.56: "*?_`sz",
    0.6: "cvxy",
    0.65: "$0123456789abdeghknopqu{}",
    0.7: "FLPSTYZ",
    0.75: "ABEKVXΣ",
    0.8: "CGR",
    0.88: "#+<=>DHNOQU^w~×−÷→",
    1.03: "%&@mMW…",
}
_WIDTHS = {letter: width for width, letters in _CLASSES.items() for letter in letters}


def text_width(text: str, size: float, bold: bool = False) -> float:
    """The width of one line of text in pixels, rather too much than too little."""
    rounding = 2.0 if text else 0.0  # some browsers round the width of each letter to whole pixels
    return sum(map(_letter_width, text)) * size * (1.2 if bold else 1.0) + rounding


def _letter_width(letter: str) -> float:
    if letter in _WIDTHS:
        return _WIDTHS[letter]
    if unicodedata.combining(letter) or unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0.0
    if unicodedata.east_asian_width(letter) in "WF":
        return 1.05
    return 0.8 if unicodedata.category(letter) in ("Ll", "Lu", "Nd") else 1.4  # 1.4: an emoji
