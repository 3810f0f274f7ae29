"""The folder of a run: its name, and what is refused in it."""

import os
import re

import pytest
from commands import QUICK, run

from xpgraph.cli.run_folder import new_folder
from xpgraph.errors import Error


def test_a_run_folder_is_never_overwritten(capsys, tmp_path, a_run):
    before = (tmp_path / "a/model.safetensors").read_bytes()
    code, _, err = run(capsys, "train", *QUICK, "--seed", "1", "--out", "a")
    assert code == 2
    assert len(err) == 1
    assert "choose another" in err[0]
    assert (tmp_path / "a/model.safetensors").read_bytes() == before


def test_two_runs_in_one_second_get_two_folders(monkeypatch):
    monkeypatch.setattr("time.strftime", lambda form: "2000-01-01_00-00-00")
    assert [new_folder(None, "digits").name for _ in range(2)] == [
        "2000-01-01_00-00-00-digits",
        "2000-01-01_00-00-00-digits-2",
    ]
    (new_folder("x", "digits") / "file").touch()
    with pytest.raises(Error, match="not an empty folder"):
        new_folder("x", "digits")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs os.mkfifo")
def test_a_config_that_is_a_pipe_is_refused(capsys, tmp_path):
    (tmp_path / "r").mkdir()
    os.mkfifo(tmp_path / "r/config.json")
    code, _, err = run(capsys, "train", "--resume", "r")
    assert code == 6 and "expected a file, found something else" in err[-1]


@pytest.mark.parametrize(
    ("name", "text", "code", "words"),
    [
        (None, None, 2, "there is no such folder"),
        ("config.json", None, 6, "Reading r/config.json: No such file"),
        ("config.json", "{", 6, "Reading r/config.json: Expecting property name"),
        ("config.json", "[]", 6, "expected a JSON object, found list"),
        ("config.json", "{}", 6, "choices: expected an object, found None"),
        ("config.json", '{"choices": {"epochs": "many"}}', 6, "epochs: expected int | None, found 'many'"),
        ("config.json", '{"choices": {"colour": 1}}', 6, "colour: expected no setting, found 1"),
        ("config.json", '{"choices": {"optimizer": "none"}}', 6, "optimizer: expected one of .*, found 'none'"),
        ("config.json", '{"choices": {}, "result": 3}', 6, "result: expected its test_accuracy, found '3'"),
        ("config.json", '{"choices": {}, "seeds": "all"}', 6, "seeds: expected a list"),
        ("config.json", "[" * 100_000, 6, "Reading r/config.json"),
    ],
)
def test_folders_that_are_no_runs(capsys, tmp_path, name, text, code, words):
    if name is not None:
        (tmp_path / "r").mkdir()
    if text is not None:
        (tmp_path / "r" / name).write_text(text)
    got, _, err = run(capsys, "train", "--resume", "r")
    assert got == code and len(err) == 1
    assert re.search(words, err[0])
