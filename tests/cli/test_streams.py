"""A command whose output nobody reads, or that cannot show a letter, does its work all the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs bash and /dev/full")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def process(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "xpgraph", *arguments], capture_output=True, text=True, **options)


def test_no_reader_no_terminal_and_no_letters(tmp_path):
    """A pipe whose reader goes, streams that are closed, a locale without letters, a path with blanks and 汉字."""
    name = "a run 汉字"
    for utf8, letter in (("1", "\\u6c49"), ("0", "\\udce6\\udcb1\\udc89")):
        plain = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": utf8}
        told = process("train", "--data", "spiral", "--epochs", "2", "--out", name + utf8, env=plain)
        assert (told.returncode, told.stderr) == (0, "") and letter in told.stdout
        assert (tmp_path / (name + utf8) / "model.safetensors").exists()
        told = process("predict", name + utf8, env=plain)
        assert (told.returncode, told.stderr) == (0, "")
    python = f"{sys.executable} -m xpgraph"
    for command in (
        f"{python} train --data spiral --epochs 30 --eval-interval 1 --out p | head -1",
        f"{python} train --data spiral --epochs 2 --out q >&- 2>&-",
        f"{python} train --data spiral --epochs 2 --out s </dev/null >/dev/full",
    ):
        told = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True)
        assert (told.returncode, told.stderr) == (0, "")
    for folder in "pqs":  # nobody read what it said; the work is there all the same
        assert json.loads((tmp_path / folder / "config.json").read_text())["result"]["epochs"] in (2, 30)
