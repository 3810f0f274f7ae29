"""Text into a file that is never half written."""

from __future__ import annotations

from pathlib import Path

from ...storage.atomic import write_file


def write(path: Path, text: str) -> None:
    """The whole text, or what was there before; folders are made."""
    write_file(path, [text.encode("utf-8", "replace")])
