"""The picture of the loss: on screen, in a file, or in given axes; matplotlib is imported only for it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from reference import toy

from xpgraph import SGD, Error, Trainer, mlp


@pytest.fixture(scope="module")
def trainer():
    made = Trainer(mlp([4, 3]), SGD())
    made.fit(*toy(n=200), max_epoch=1, batch_size=2)
    assert len(made.loss_list) == 5
    return made


def is_the_chapters_picture(ax, losses):
    assert ax.get_xlabel() == "iterations (x20)"
    assert ax.get_ylabel() == "loss"
    (line,) = ax.get_lines()
    assert list(line.get_xdata()) == [0, 1, 2, 3, 4]
    assert list(line.get_ydata()) == losses
    assert line.get_label() == "train"


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_path_gives_a_picture_and_needs_no_display(trainer, tmp_path, ending):
    path = tmp_path / f"loss.{ending}"
    ax = trainer.plot(path=path, ylim=(0.5, 2.0))
    is_the_chapters_picture(ax, trainer.loss_list)
    assert ax.get_ylim() == (0.5, 2.0)
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending]
    assert path.read_bytes().startswith(start)


def test_axes_of_ones_own_are_drawn_into(trainer):
    from matplotlib.figure import Figure

    ax = Figure().add_subplot()
    assert trainer.plot(ax=ax) is ax
    is_the_chapters_picture(ax, trainer.loss_list)


def test_without_a_display_it_says_to_pass_a_path(trainer, monkeypatch):
    import matplotlib

    monkeypatch.setattr(matplotlib, "get_backend", lambda: "agg")
    with pytest.raises(Error, match=r"no display .* plot\(path='loss\.png'\)"):
        trainer.plot()


@pytest.mark.parametrize("screen", ["QtAgg", "module://matplotlib_inline.backend_inline"])
def test_with_neither_it_is_shown_through_pyplot(trainer, monkeypatch, screen):
    import matplotlib
    from matplotlib import pyplot

    shown = []
    pyplot.switch_backend("agg")
    monkeypatch.setattr(matplotlib, "get_backend", lambda: screen)
    monkeypatch.setattr(pyplot, "show", lambda: shown.append(pyplot.gcf()))
    ax = trainer.plot(ylim=(0, 3))
    assert shown == [ax.figure]
    is_the_chapters_picture(ax, trainer.loss_list)
    pyplot.close(ax.figure)


def test_before_the_first_entry_there_is_nothing_to_draw(tmp_path):
    with pytest.raises(Error, match="there is no loss yet; call fit"):
        Trainer(mlp([4, 3]), SGD()).plot(path=tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


# --- docs/differences.md: the chapter's own imports fail this ---


def needs_no_matplotlib(program):
    words = f"import sys\n{program}\nsys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", words], check=False).returncode == 0


def test_row_16_training_needs_no_matplotlib():
    needs_no_matplotlib("import xpgraph; from xpgraph.training.trainer import Trainer")
    with pytest.raises(AssertionError):
        needs_no_matplotlib("from matplotlib import pyplot\nclass Trainer: pass")
