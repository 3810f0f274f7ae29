"""Make notebooks of the chapter and of the examples, run them, and leave them in a folder: see ci/book.

    python docs/notebooks.py build/notebooks

Blocks of Python become cells. The block of text that shows what one prints goes: the cell's own output takes its place.
"""

from __future__ import annotations

import re
import shutil
import sys
import time
from pathlib import Path

import jupytext
from nbclient import NotebookClient
from nbformat import NotebookNode

DOCS = Path(__file__).parent
PAGES = (DOCS / "chapter.md", DOCS / "chapter.zh.md", *sorted((DOCS / "examples").glob("*.py")))
SHOWN = re.compile(r"(^```python\n.*?^```)\n\n```text\n.*?^```", flags=re.DOTALL | re.MULTILINE)
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def notebook(page: Path) -> NotebookNode:
    text = page.read_text("utf-8")
    if page.suffix == ".py":
        made = jupytext.reads(text, fmt="py:percent")
    else:
        made = jupytext.reads(SHOWN.sub(r"\1", text), fmt="md:markdown")
    made.metadata["kernelspec"] = KERNEL
    return made


def main(arguments: list[str]) -> None:
    if len(arguments) != 1:
        sys.exit("notebooks: name the folder to write into: python docs/notebooks.py build/notebooks")
    into = Path(arguments[0])
    shutil.copytree(DOCS / "img", into / "img", dirs_exist_ok=True)
    for page in PAGES:
        made, path, began = notebook(page), into / f"{page.stem}.ipynb", time.monotonic()
        client = NotebookClient(made, timeout=300, resources={"metadata": {"path": str(into)}})
        client.extra_arguments = ["--IPKernelApp.log_level=ERROR"]  # no word on how the kernel is spoken to
        client.execute()
        jupytext.write(made, path)
        cells = sum(cell.cell_type == "code" for cell in made.cells)
        print(f"notebooks: {path.name}, {cells} cells run in {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
