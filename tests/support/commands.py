"""The command line, called in this process."""

from __future__ import annotations

from xpgraph.cli.app import main


def run(capsys, *arguments: str) -> tuple[int, list[str], list[str]]:
    """(exit code, lines on stdout, lines on stderr)"""
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out.splitlines(), captured.err.splitlines()
