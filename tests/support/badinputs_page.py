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

What every entry point does with inputs that are bad, or only look bad. Do not edit this page: `python
tests/support/badinputs_page.py docs/bad-inputs.md` writes it from the table in tests/support/badinputs.py, and
tests/whole/test_bad_inputs.py tries every cell on every array library.

* **right**: the result is that of good inputs. It has the same bits as for a contiguous array of the machine's byte
  order, or is within the tolerance of a float64 reference. For arrays that are not contiguous, `evaluate` and `predict`
  may be off by 4 roundings: some versions of NumPy multiply them in another order.
* **IEEE**: NaN and ∞ in the input give NaN and ∞ in the result, as the formulas say. (A row of labels that
  are all zero takes no part in the loss, so it hides a NaN there; `fit` and `evaluate` refuse such a row.)
* **an error's name**: it is raised before anything is changed, and says what was being done, what was found and what to
  do. NonFiniteError comes before the update on the CPU; on a GPU when the losses are read: for a line
  of the report, at the end of an epoch, or for a checkpoint.
* **exit 2**, **exit 6**: exit codes of the command line, with one line on stderr that says what to do; no run folder is
  left.
* **a number in brackets**: this cannot happen here, for the reason below.

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
        print(f"{path} says something else than the table; write it again: python {__file__} {path}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
