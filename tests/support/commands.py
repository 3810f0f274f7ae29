"""The command line, called in this process."""

from __future__ import annotations

import pytest
from cutting import Cut, cut_at

for needed in ("click", "rich", "safetensors", "matplotlib"):
    pytest.importorskip(needed, reason=f"the command line needs {needed}")

from xpgraph.cli.app import main  # noqa: E402

QUICK = ["--epochs", "2", "--hidden", "8", "--backend", "numpy"]
SPIRAL = ["train", "--data", "spiral", "--epochs", "6", "--backend", "numpy"]  # 300 training rows: 60 steps of 30
CSV = "\n".join(f"{i},{i % 7},{'ab'[i % 2]}" for i in range(40))


def run(capsys, *arguments: str) -> tuple[int, list[str], list[str]]:
    """(exit code, lines on stdout, lines on stderr) of one command; what was printed before does not count."""
    capsys.readouterr()
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out.splitlines(), captured.err.splitlines()


def cut_off(capsys, step: int, *arguments: str) -> None:
    """Start a command that dies after ``step`` updates, as a killed process does."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Cut):
        cut_at(patch, step)
        main(list(arguments))
    capsys.readouterr()
