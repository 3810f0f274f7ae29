"""Pages of Markdown as they are run: blocks of Python, each with the block of text that shows what it prints."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```(?:\n\n```text\n(.*?)^```)?", flags=re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """Code, and what the page says that it prints; "" for nothing."""

    code: str
    shown: str


def blocks(page: Path) -> list[Block]:
    return [Block(code, shown) for code, shown in BLOCK.findall(page.read_text("utf-8"))]
