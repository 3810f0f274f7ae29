"""The folders of a checkout, and git; pages of Markdown as they are run: blocks of Python, and what each prints."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```(?:\n\n```text\n(.*?)^```)?", flags=re.DOTALL | re.MULTILINE)


def checkout(folder: str) -> Path:
    """A folder of a checkout, which the sdist leaves out: there, the tests of the file that asks are skipped."""
    if not (ROOT / folder).is_dir():
        pytest.skip(f"{folder}/ is part of a checkout, not of the sdist", allow_module_level=True)
    return ROOT / folder


def git(folder: Path, *words: str, **environment: str) -> str:
    """What a git command in that folder prints."""
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.org", *words]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


class Block(NamedTuple):
    """Code, and what the page says that it prints; "" for nothing."""

    code: str
    shown: str


def blocks(page: Path) -> list[Block]:
    return [Block(code, shown) for code, shown in BLOCK.findall(page.read_text("utf-8"))]
