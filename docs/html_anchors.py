"""For the book: `<a id="name"></a>`, the anchor that GitHub's Markdown knows, as the target that MyST knows."""

from __future__ import annotations

import re
from typing import Any


def _translate(app: Any, name: str, source: list[str]) -> None:
    source[0] = re.sub(r'<a id="([\w-]+)"></a>(`[^`]+`)', r"[\2]{#\1}", source[0])


def setup(app: Any) -> dict[str, bool]:
    app.connect("source-read", _translate)
    return {"parallel_read_safe": True}
