"""A step of the page, and the pieces of HTML that it is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape


@dataclass
class Step:
    """One step of the page, in HTML; ``say`` is what a screen reader is told."""

    phase: str
    title: str
    body: str
    say: str
    vertices: list[int] = field(default_factory=list)
    edges: list[int] = field(default_factory=list)


def group(title: str, figures: list[str]) -> str:
    return f'<section class="group"><h3>{escape(title)}</h3><div>{"".join(figures)}</div></section>' if figures else ""


def letters(text: str) -> str:
    return f'<p class="formula">{escape(text)}</p>' if text else ""
