"""The page as one HTML file. Names from the user are escaped here or in document.py.

The script gets only numbers. In a browser without scripts the page shows every step, one below the other.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

from ..drawing.style import PALETTE
from .document import Page, Step
from .scene import NEVER

# The browser refuses to load anything from outside the file.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; base-uri 'none'"


def render(page: Page, title: str) -> str:
    """The HTML; the same run gives the same bytes."""
    n = len(page.steps)
    here = Path(__file__).parent
    steps = "\n".join(_step(i, n, step) for i, step in enumerate(page.steps))
    items = "\n".join(_list_item(i, step, page.steps[i - 1] if i else None) for i, step in enumerate(page.steps))
    style = _palette() + (here / "page.css").read_text("utf-8")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<header><h1>{escape(title)}</h1>
<p class="help">Arrow keys, Home and End, or the space bar; a click on a node leads to its step.
<span class="key value">values go forward</span> <span class="key gradient">gradients come back</span></p></header>
<div class="stage">
<div class="picture" role="region" aria-label="The graph" tabindex="0">
{page.scene.svg()}</div>
<div class="controls" role="group" aria-label="Steps">
{_button("first", "First step", "M3 3h2v12h-2zM15 3v12L6 9z")}
{_button("previous", "Previous step", "M13 3v12L4 9z")}
<input type="range" id="slider" min="0" max="{n - 1}" value="0" step="1" aria-label="Step">
{_button("next", "Next step", "M5 3v12L14 9z")}
{_button("last", "Last step", "M13 3h2v12h-2zM3 3v12L12 9z")}
<span id="where" aria-hidden="true">1 / {n}</span>
<button type="button" id="fit" aria-label="fit the whole graph" aria-pressed="false">fit</button>
</div>
</div>
<p id="said" role="status" aria-live="polite" class="unseen"></p>
<div class="columns">
<main>
{steps}
</main>
<nav aria-label="All steps"><h2>All steps</h2>
<ol>
{items}
</ol></nav>
</div>
<script type="application/json" id="plan">{_plan(page)}</script>
<script>
{(here / "page.js").read_text("utf-8")}</script>
</body>
</html>
"""


def _step(i: int, n: int, step: Step) -> str:
    say = escape(f"Step {i + 1} of {n}, {step.phase}. {step.say}", quote=True)
    return (
        f'<article class="step {step.phase}" id="step-{i + 1}" aria-labelledby="title-{i + 1}" data-say="{say}">\n'
        f'<p class="phase">{step.phase.capitalize()}</p><h2 id="title-{i + 1}">{escape(step.title)}</h2>\n'
        f"{step.body}\n</article>"
    )


def _list_item(i: int, step: Step, before: Step | None) -> str:
    """An item of the list of all steps, with space above where a phase begins."""
    new = " new" if before is None or before.phase != step.phase else ""
    title = f"<span>{step.phase.capitalize()}</span> {escape(step.title)}"
    return f'<li class="{step.phase}{new}"><a href="#step-{i + 1}">{title}</a></li>'


def _button(name: str, label: str, path: str) -> str:
    icon = f'<svg width="18" height="18" viewBox="0 0 18 18" aria-hidden="true"><path d="{path}"/></svg>'
    return f'<button type="button" id="{name}" aria-label="{label}">{icon}</button>'


def _plan(page: Page) -> str:
    """JSON for the script: when each part of the picture appears, and what each step points at. Numbers only."""
    scene = page.scene
    plan = {
        "values": scene.value_steps,
        "gradients": [-1 if step == NEVER else step for step in scene.gradient_steps],
        "leads": scene.leads,
        "steps": [[step.vertices, sorted(set(step.edges))] for step in page.steps],
    }
    return json.dumps(plan, separators=(",", ":")).replace("<", "\\u003c")


def _palette() -> str:
    """The colours of the picture as CSS variables, for the page around it."""
    light = "".join(f"--{name}:{colour.light};" for name, colour in PALETTE.items())
    dark = "".join(f"--{name}:{colour.dark};" for name, colour in PALETTE.items())
    return f":root{{{light}}}\n@media(prefers-color-scheme:dark){{:root{{{dark}}}}}\n"
