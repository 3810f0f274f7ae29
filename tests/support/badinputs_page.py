"""docs/bad-inputs.md from the table in badinputs.py.

python tests/support/badinputs_page.py docs/bad-inputs.md            write it
python tests/support/badinputs_page.py docs/bad-inputs.md --check    exit 1 if it says something else
"""

from __future__ import annotations

import sys
from pathlib import Path

from badinputs import ENTRIES, IEEE, NA, TABLE, Refused, Right, Verdict
from badinputs_made import CONDITIONS

HEAD = """# Bad inputs

What every entry point does with what is bad, or only looks so. Written by `python tests/support/badinputs_page.py
docs/bad-inputs.md` from the table in tests/support/badinputs.py; tests/whole/test_bad_inputs.py tries every cell on
every array library. Do not edit.

* **right**: the result is that for good inputs: the same bits as for a contiguous array of the machine's byte order, or
  within the bars of a float64 reference. In `evaluate` and `predict` of what is not contiguous within 4 roundings: some
  versions of NumPy multiply it otherwise.
* **IEEE**: NaN and ∞ come out where the formulas say so; no finite number hides one.
* **an error's name**: it is raised before anything is changed, and says what was being done, what was found and what to
  do. NonFiniteError comes before the update on the CPU, at the next look on a GPU.
* **exit 2**, **exit 6**: of the command line, with one line on stderr that says what to do; there is no run folder.
* **a number in brackets**: there is no such thing here; the reason is below.

"""


def words(verdict: Verdict, reasons: list[str]) -> str:
    """A cell; a new reason is added to ``reasons``."""
    if isinstance(verdict, Right):
        return "right"
    if isinstance(verdict, IEEE):
        return "IEEE"
    if isinstance(verdict, NA):
        if verdict.why not in reasons:
            reasons.append(verdict.why)
        return f"({reasons.index(verdict.why) + 1})"
    if isinstance(verdict, Refused):
        name = f"exit {verdict.error}" if isinstance(verdict.error, int) else verdict.error.__name__
        return name + ("; on a GPU NaN" if verdict.on_gpu else "")
    groups: dict[str, list[str]] = {}
    for name, each in verdict.but.items():
        if words(each, reasons) != words(verdict.rest, reasons):
            groups.setdefault(words(each, reasons), []).append(name.removeprefix(": "))
    return "; ".join([words(verdict.rest, reasons), *(f"{', '.join(names)}: {w}" for w, names in groups.items())])


def page() -> str:
    """The whole page."""
    reasons: list[str] = []
    lines = ["| | " + " | ".join(ENTRIES) + " |", "|---|" + "---|" * len(ENTRIES)]
    for key, found in TABLE.items():
        lines.append(f"| {CONDITIONS[key].words} | " + " | ".join(words(v, reasons) for v in found.values()) + " |")
    columns = [f"* **{name}**: {about}" for name, about in ENTRIES.items()]
    notes = [f"{i}. {why}" for i, why in enumerate(reasons, 1)]
    return HEAD + "\n".join([*lines, "", "The columns:", "", *columns, "", "The reasons:", "", *notes]) + "\n"


def main(arguments: list[str]) -> int:
    path, new = Path(arguments[0]), page()
    if "--check" not in arguments:
        path.write_text(new, "utf-8")
        return 0
    if path.read_text("utf-8") != new:
        print(f"{path} says something else than the table; write it anew: python {__file__} {path}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
