"""Text into a file that is never half written."""

from __future__ import annotations

from pathlib import Path

from ..storage import write_whole


def write(path: Path, text: str) -> None:
    """The whole text, or what was there before; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, [text.encode("utf-8", "replace")])
