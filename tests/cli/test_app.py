"""The command line as a user meets it: help, errors in one line on stderr, exit codes, ``--debug``, Ctrl-C."""

import pytest
from commands import QUICK, run


def test_help_and_version(capsys):
    helps = [[command, "--help"] for command in ("train", "predict", "draw", "explain", "info")]
    for arguments in (["--help"], *helps, ["--version"]):
        assert run(capsys, *arguments)[0] == 0
    code, _, err = run(capsys, "nonsense")
    assert code == 2
    assert len(err) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--backend", "nope"], 2, "backend 'nope' is unknown"),
        (["--hidden", "3,x"], 2, "--hidden is '3,x'"),
        (["--lr", "much"], 2, "not a valid float"),
        (["--lr", "nan"], 2, "lr is nan"),
        (["--epochs", "-1"], 2, "--epochs"),
        (["--nonsense"], 2, "No such option"),
        (["--data", "nope"], 6, "no data set of that name"),
        (["--data", "nope.npz"], 6, "no such file"),
        (["--data", "mnist", "--data-dir", "nowhere"], 6, "nowhere"),
        (["--optimizer", "sgd", "--lr", "1e38", "--activation", "relu"], 4, "at step"),
        (["--lr", "inf"], 2, "lr is inf"),
    ],
)
def test_errors_are_one_line_that_says_what_to_do(capsys, tmp_path, arguments, code, words):
    """A run that cannot start leaves no folder; one that fails later keeps its history."""
    got, out, err = run(capsys, "train", *QUICK, "--out", "a", *arguments)
    assert got == code
    assert len(err) == 1
    assert err[-1].startswith("xpgraph train: ")
    assert words in err[-1]
    assert not [line for line in out if line.startswith("test accuracy")]
    assert [*tmp_path.iterdir()] == ([] if code != 4 else [tmp_path / "a"])
    assert (tmp_path / "a/history.csv").exists() == (code == 4) and not (tmp_path / "a/model.safetensors").exists()


def test_debug_shows_the_traceback(capsys):
    _, _, plain = run(capsys, "train", "--data", "nope")
    _, _, full = run(capsys, "train", "--data", "nope", "--debug")
    assert not any("Traceback" in line for line in plain)
    assert any("Traceback" in line for line in full)
    assert full[-1] == plain[-1]


def test_an_interrupt_is_one_line(capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("xpgraph.cli.train_command.train", interrupt)
    code, _, err = run(capsys, "train")
    assert (code, err[-1]) == (130, "xpgraph train: interrupted.")
