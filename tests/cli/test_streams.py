"""A command finishes its work also when nobody reads its output, or the output cannot show a letter."""

import io
import json
import os
import subprocess
import sys

import pytest

from xpgraph.cli import streams

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs bash and /dev/full")


def xpgraph(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "xpgraph", *arguments], capture_output=True, text=True, **options)


@pytest.mark.slow("processes")
def test_no_reader_no_terminal_and_no_letters(tmp_path):
    """A pipe whose reader ends, closed streams, a full disk, a locale without 汉字 and a path with them."""
    name = "a run 汉字"
    for utf8, letter in (("1", "\\u6c49"), ("0", "\\udce6\\udcb1\\udc89")):
        plain = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": utf8}
        done = xpgraph("train", "--data", "spiral", "--epochs", "2", "--out", name + utf8, env=plain)
        assert (done.returncode, done.stderr) == (0, "") and letter in done.stdout
        assert (tmp_path / (name + utf8) / "model.safetensors").exists()
        done = xpgraph("predict", name + utf8, env=plain)
        assert (done.returncode, done.stderr) == (0, "")
    python = f"{sys.executable} -m xpgraph"
    for command in (
        f"{python} train --data spiral --epochs 30 --eval-interval 1 --out p | head -1",
        f"{python} train --data spiral --epochs 2 --out q >&- 2>&-",
        f"{python} train --data spiral --epochs 2 --out s </dev/null >/dev/full",
    ):
        done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    for folder in "pqs":  # the work is complete
        assert json.loads((tmp_path / folder / "config.json").read_text())["result"]["epochs"] in (2, 30)


def test_a_stream_whose_writes_fail_falls_silent(tmp_path):
    reads, writes = os.pipe()
    os.close(reads)
    stream = io.TextIOWrapper(
        io.BufferedWriter(streams.SilentAfterError(writes, "w")), "ascii", "backslashreplace", line_buffering=True
    )
    for _ in range(3):
        assert stream.write("汉\n") == 2
    stream.close()


def test_streams_of_tests_and_notebooks_are_left_alone(monkeypatch):
    own = io.StringIO()
    monkeypatch.setattr("sys.stdout", own)
    monkeypatch.setattr("sys.stderr", None)
    streams.make_streams_safe()
    assert sys.stdout is own
    print("nobody hears it", file=sys.stderr)
    sys.stderr.close()
