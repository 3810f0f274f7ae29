"""Reports: the chapter's lines, the live bar on a terminal, in a notebook and without either, and the silent one."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import types

import numpy as np
import pytest
from reference import toy

from xpgraph import SGD, Lines, Live, Report, Trainer, mlp
from xpgraph.training.callbacks.report import Progress

X, T = toy()
RECORD = {"epoch": 2, "loss": 0.51239, "val_loss": None, "val_accuracy": None, "seconds": 1.26, "samples": 9, "lr": 0.1}


@pytest.mark.parametrize("seconds", [0.0, 0.99, 1.5, 59.9999, 3600.7])
@pytest.mark.parametrize("loss", [0.004, 0.125, 2.999, 16.118])
def test_the_chapters_line(seconds, loss):
    said = []
    Lines(said.append).step(Progress(3, 10, 21, 93, seconds, loss, 640))
    assert said == ["| epoch %d |  iter %d / %d | time %d[s] | loss %.2f" % (3, 21, 93, seconds, loss)]  # noqa: UP031


def test_an_epochs_line():
    said = []
    lines = Lines(said.append)
    lines.epoch(RECORD)
    lines.epoch(RECORD | {"val_loss": 0.25, "val_accuracy": 0.96875})
    lines.note("moved")
    assert said == [
        "| epoch 2 done | time 1.3[s] | mean loss 0.5124",
        "| epoch 2 done | time 1.3[s] | mean loss 0.5124 | val loss 0.2500 | val accuracy 0.9688",
        "moved",
    ]


def train(report, n=24, epochs=2, **options):
    Trainer(mlp([4, 3]), SGD()).fit(X[:n], T[:n], epochs, 5, eval_interval=2, report=report, **options)


def test_lines_go_to_standard_output_by_default(capsys):
    train(None)
    out, err = capsys.readouterr()
    assert out.count("|  iter ") == 6
    assert out.count(" done | ") == 2
    assert err == ""


def test_the_silent_report(capsys):
    train(Report(), validation=(X, T))
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@contextlib.contextmanager
def terminal(monkeypatch):
    rich = pytest.importorskip("rich", reason="the live bar needs rich")
    with monkeypatch.context() as patch:
        patch.setenv("TERM", "xterm")
        patch.setattr(sys, "stdout", Terminal())
        rich.reconfigure(width=140, force_terminal=True, legacy_windows=False)
        try:
            yield sys.stdout
        finally:
            rich.reconfigure()


def test_the_live_bar_shows_epoch_loss_accuracy_and_rate(monkeypatch):
    with terminal(monkeypatch) as out:
        train(Live(), validation=(X, T))
    shown = out.getvalue()
    last = shown.splitlines()[-2]  # the very last shows the cursor again
    for words in ("epoch 2/2", "loss ", "val accuracy 0.", " samples/s"):
        assert words in last
    assert "|  iter" not in shown


def test_the_live_bar_is_closed_when_a_fit_fails(monkeypatch):
    live = Live()

    def fail(trainer, record):
        assert live.bar is not None
        raise KeyboardInterrupt

    with terminal(monkeypatch) as out, pytest.raises(KeyboardInterrupt):
        train(live, on_epoch=fail)
    assert live.bar is None
    assert out.getvalue().endswith("\x1b[?25h"), "the cursor is shown again"


def test_without_a_terminal_the_live_bar_is_plain_lines(capsys):
    train(Live(held_out="test"), validation=(X, T))
    out = capsys.readouterr().out
    assert out.count("|  iter ") == 6
    assert out.count("| test accuracy ") == 2
    assert "\x1b" not in out
    assert "━" not in out


def test_in_a_notebook_one_output_is_updated(monkeypatch, capsys):
    shown = []
    handle = types.SimpleNamespace(update=shown.append)
    shell = types.SimpleNamespace(kernel=object())
    display = types.SimpleNamespace(HTML=str, display=lambda first, display_id: handle)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell, display=display))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    train(Live(), validation=(X, T))
    assert 'epoch 2/2 <progress value="48" max="48">' in shown[-1]
    assert "val accuracy 0." in shown[-1]
    assert capsys.readouterr().out == ""


def test_a_note_before_the_bar_is_printed(capsys):
    """Data is moved, and said to be, before the run begins."""
    live = Live()
    live.note("moved x and t")
    live.end()
    assert capsys.readouterr().out == "moved x and t\n"


PROGRAM = """
import sys
import numpy as np
import xpgraph as xg

x, t = np.ones((8, 4), "float32"), np.zeros(8, int)
xg.Trainer(xg.mlp([4, 3]), xg.SGD()).fit(x, t, 1, 4, report=xg.{report}())
print("rich" in sys.modules, "matplotlib" in sys.modules)
"""


@pytest.mark.parametrize(("report", "lines"), [("Live", 3), ("Lines", 3), ("Report", 1)])
def test_piped_to_a_file(report, lines):
    """In a process of its own: what a pipe receives, and which heavy libraries were imported for it."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(report=report)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == lines
    assert done.stdout.splitlines()[-1] == "False False"
    assert "\x1b" not in done.stdout


def test_progress_is_of_plain_numbers():
    seen = []

    class Keep(Report):
        def step(self, progress):
            seen.append(progress)

    train(Keep(), epochs=1)
    assert [(p.epoch, p.epochs, p.iteration, p.iterations, p.samples) for p in seen] == [
        (1, 1, 1, 5, 5), (1, 1, 3, 5, 15), (1, 1, 5, 5, 24),
    ]  # fmt: skip
    assert all(type(p.loss) is float and np.isfinite(p.loss) and p.seconds >= 0 for p in seen)
