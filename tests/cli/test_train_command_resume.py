"""``xpgraph train --resume``: interrupted runs continue from their folder; what else can happen to a run's folder."""

import json
import os
import signal
import sys

import pytest
from commands import CSV, SPIRAL, cut_off, run
from cutting import Cut, cut_at

from xpgraph import datasets
from xpgraph.cli.app import main
from xpgraph.storage import atomic
from xpgraph.storage.checkpoints import Checkpoints, latest


def results(folder):
    """What a run writes, without its seconds."""
    history = [line.rsplit(",", 1)[0] for line in (folder / "history.csv").read_text().splitlines()]
    config = json.loads((folder / "config.json").read_text())
    return (folder / "model.safetensors").read_bytes(), history, config["result"], config["choices"]


def act_at(capsys, step, act, *arguments):
    """The output of a run that calls ``act`` after ``step`` updates."""
    with pytest.MonkeyPatch.context() as patch:
        cut_at(patch, step, act)
        return run(capsys, *SPIRAL, *arguments)


@pytest.mark.parametrize("options", [[], ["--optimizer", "momentum", "--max-grad", "0.5", "--dtype", "float64"]])
def test_an_interrupted_run_resumes_with_its_own_settings(capsys, tmp_path, options):
    assert run(capsys, *SPIRAL, "--out", "straight", *options)[0] == 0
    cut_off(capsys, 37, *SPIRAL, "--out", "r", "--checkpoint-every", "8", *options)
    assert latest(tmp_path / "r").step == 32
    code, out, err = run(capsys, "train", "--resume", "r")
    assert (code, err) == (0, [])
    assert out[1:3] == ["run folder r", "going on from r/checkpoint-000032.safetensors at step 32"]
    *files, choices = results(tmp_path / "r")
    *expected, straight = results(tmp_path / "straight")
    assert files == expected and {**choices, "checkpoint_every": None} == straight
    assert choices["checkpoint_every"] == 8
    for command in ("predict", "draw"):
        assert run(capsys, command, "r")[0] == 0


@pytest.mark.parametrize(
    ("number", "code", "word"), [(1, 129, "the terminal was closed"), (2, 130, "interrupted"), (15, 143, "terminated")]
)
def test_a_signal_saves_and_says_how_to_resume(capsys, tmp_path, number, code, word):
    run(capsys, *SPIRAL, "--out", "straight")
    got, _, err = act_at(capsys, 37, lambda: os.kill(os.getpid(), number), "--out", "my run")
    assert got == code
    assert err[-1] == f"xpgraph train: {word}; step 37 is saved in my run; to go on: xpgraph train --resume 'my run'."
    assert (tmp_path / "my run/history.csv").exists() and not (tmp_path / "my run/model.safetensors").exists()
    assert run(capsys, "train", "--resume", "my run")[0] == 0
    assert results(tmp_path / "my run")[:3] == results(tmp_path / "straight")[:3]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_run_interrupted_while_loading_data_starts_at_step_0(capsys, monkeypatch, tmp_path):
    run(capsys, *SPIRAL, "--out", "straight")
    seen = []

    def load(*args, **kwargs):
        seen.extend(sorted(path.name for path in (tmp_path / "r").iterdir()))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(datasets, "load", load)
        code, _, err = run(capsys, *SPIRAL, "--out", "r")
    assert (code, err[-1]) == (130, "xpgraph train: interrupted; to go on: xpgraph train --resume r.")
    assert seen == [".lock", "checkpoint-000000.safetensors", "config.json"]
    assert latest(tmp_path / "r").step == 0
    code, out, _ = run(capsys, "train", "--resume", "r")
    assert code == 0 and "going on" not in "".join(out)
    assert results(tmp_path / "r") == results(tmp_path / "straight")


def test_a_run_whose_data_is_bad_leaves_nothing_behind(capsys, monkeypatch, tmp_path):
    (tmp_path / "bad.csv").write_text("a,b\n1\n")
    for options in (["--out", "r"], ["--out", "r", "--seeds", "2"]):
        assert run(capsys, "train", "--data", "bad.csv", *options)[0] == 6
        assert [path.name for path in tmp_path.iterdir()] == ["bad.csv"]
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")  # the current folder, which cannot be removed
    code, _, err = run(capsys, "train", "--data", "../bad.csv", "--out", ".")
    assert code == 6 and "line 2: expected 2 columns" in err[-1] and not [*(tmp_path / "here").iterdir()]


def test_a_run_killed_before_its_first_file_can_be_started_again(capsys, tmp_path):
    (tmp_path / "r").mkdir()
    for name in (".lock", ".config.json.123.partial"):
        (tmp_path / "r" / name).write_text("")
    assert run(capsys, *SPIRAL, "--out", "r")[0] == 0
    assert not [*(tmp_path / "r").glob("*.partial")]
    code, _, err = run(capsys, *SPIRAL, "--out", "r")
    assert code == 2 and "it exists and is not an empty folder" in err[-1]


@pytest.mark.skipif(sys.platform != "linux", reason="names that are not UTF-8: of Linux")
def test_a_run_whose_data_has_a_name_that_is_not_utf8(capsys, tmp_path):
    name = os.fsdecode(b"\xff.csv")
    (tmp_path / name).write_text(CSV)
    cut_off(capsys, 3, "train", "--data", name, "--backend", "numpy", "--out", "r")
    assert run(capsys, "train", "--resume", "r")[0] == 0
    assert run(capsys, "predict", "r")[0] == 0


def test_a_finished_run_says_so_and_nothing_changes(capsys, tmp_path):
    _, out, _ = run(capsys, *SPIRAL, "--out", "r")
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in (tmp_path / "r").iterdir()}
    assert run(capsys, "train", "--resume", "r") == (0, ["r is finished; nothing was changed", out[-1]], [])
    assert run(capsys, "train", "--resume", "r", "--quiet") == (0, [out[-1]], [])
    assert before == {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in (tmp_path / "r").iterdir()}


def test_a_run_killed_after_its_last_step_is_finished(capsys, monkeypatch, tmp_path):
    run(capsys, *SPIRAL, "--out", "straight")
    with monkeypatch.context() as patch, pytest.raises(Cut):
        patch.setattr("xpgraph.cli.training_run._plot", lambda *_: (_ for _ in ()).throw(Cut))
        main([*SPIRAL, "--out", "r"])
    capsys.readouterr()
    code, out, _ = run(capsys, "train", "--resume", "r")
    assert code == 0 and "r: these epochs were finished before; nothing is left to do" in out
    assert results(tmp_path / "r") == results(tmp_path / "straight")


def test_seeds_resume_where_they_stopped(capsys, tmp_path):
    seeds = ["--seeds", "3", "--seed", "4"]
    mean = run(capsys, *SPIRAL, *seeds, "--out", "straight")[1][-1]
    count = []

    def act():
        count.append(1)
        if len(count) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    code, _, err = act_at(capsys, 37, act, *seeds, "--out", "r")
    assert code == 130 and err[-1].endswith("step 37 is saved in r/seed-5; to go on: xpgraph train --resume r.")
    path = tmp_path / "r/config.json"
    text = path.read_text()
    for name, now in (("lr", 0.5), ("epochs", 7)):  # a mean needs runs of the same settings
        config = json.loads(text)
        then, config["choices"][name] = config["choices"][name], now
        path.write_text(json.dumps(config))
        code, _, err = run(capsys, "train", "--resume", "r")
        assert code == 6 and f"Resuming r: config.json has {name} {now}, seed-4 was made with {then}; " in err[-1]
    path.write_text(text)
    code, out, _ = run(capsys, "train", "--resume", "r")
    assert (code, out[-1]) == (0, mean)
    assert "seed 4: test accuracy" in "\n".join(out)
    for seed in (4, 5, 6):
        assert results(tmp_path / f"r/seed-{seed}") == results(tmp_path / f"straight/seed-{seed}")
    code, out, _ = run(capsys, "train", "--resume", "r")
    assert (code, out) == (0, ["r is finished; nothing was changed", mean])
    config = [json.loads((tmp_path / name / "config.json").read_text()) for name in ("r", "straight")]
    assert config[0] == config[1]


def test_options_beside_resume(capsys):
    cut_off(capsys, 37, *SPIRAL, "--out", "r")
    code, _, err = run(capsys, "train", "--resume", "r", "--lr", "0.1")
    assert code == 2 and "--resume takes --lr from the run; leave it out." in err[-1]
    code, _, err = run(capsys, "train", "--resume", "r", "--data-dir", "d")
    assert code == 2 and "--data-dir is for mnist and fashion-mnist, and --data is spiral" in err[-1]
    code, out, _ = run(capsys, "train", "--resume", "r", "--backend", "numpy", "--quiet")
    assert code == 0 and len(out) == 1


def test_damaged_checkpoints_are_reported_and_left_alone(capsys, tmp_path):
    cut_off(capsys, 37, *SPIRAL, "--out", "r", "--checkpoint-every", "8")
    paths = sorted((tmp_path / "r").glob("*.safetensors"))
    assert [path.name[11:17] for path in paths] == ["000024", "000032"]
    for path in paths:
        path.write_bytes(path.read_bytes()[:-3])
    code, _, err = run(capsys, "train", "--resume", "r")
    assert code == 6 and "none is whole" in err[-1] and len(err) == 1


@pytest.mark.parametrize("step", [0, 37])
def test_a_config_that_was_edited_is_refused(capsys, monkeypatch, tmp_path, step):
    """Unless the numbers of the run do not depend on what was edited."""
    if step:
        cut_off(capsys, step, *SPIRAL, "--out", "r")
    else:
        act = lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
        with monkeypatch.context() as patch:
            patch.setattr(datasets, "load", act)
            assert run(capsys, *SPIRAL, "--out", "r")[0] == 143
    path = tmp_path / "r/config.json"
    text = path.read_text()
    files = {file.name for file in path.parent.iterdir()}
    for name, now in (("lr", 0.5), ("activation", "relu"), ("eval_interval", 7)):
        config = json.loads(text)
        then, config["choices"][name] = config["choices"][name], now
        path.write_text(json.dumps(config))
        code, _, err = run(capsys, "train", "--resume", "r")
        words = f"config.json has {name} {now}, its checkpoint was made with {then}; nothing was changed."
        assert code == 6 and words in err[-1] and {file.name for file in path.parent.iterdir()} == files
    config = json.loads(text)
    config["choices"]["epochs"] = 7
    path.write_text(json.dumps(config))
    code, _, err = run(capsys, "train", "--resume", "r")
    assert (code, err) == (0, []) and json.loads(path.read_text())["result"]["epochs"] == 7


def test_data_that_was_moved(capsys, tmp_path):
    (tmp_path / "d.csv").write_text(CSV)
    cut_off(capsys, 3, "train", "--data", "d.csv", "--backend", "numpy", "--out", "r")
    (tmp_path / "d.csv").rename(tmp_path / "moved.csv")
    code, _, err = run(capsys, "train", "--resume", "r")
    assert code == 6 and "d.csv" in err[-1]
    path = tmp_path / "r/config.json"
    path.write_text(path.read_text().replace("/d.csv", "/moved.csv"))
    assert run(capsys, "train", "--resume", "r")[0] == 0


def test_other_data_is_refused(capsys, tmp_path):
    (tmp_path / "d.csv").write_text(CSV)
    cut_off(capsys, 3, "train", "--data", "d.csv", "--backend", "numpy", "--out", "r")
    (tmp_path / "r/history.csv").write_text("as it was")
    before = {path.name: path.read_bytes() for path in (tmp_path / "r").iterdir() if path.name != ".lock"}
    (tmp_path / "d.csv").write_text(CSV.replace("39,4", "39,5"))
    code, _, err = run(capsys, "train", "--resume", "r")
    assert code == 6 and "this fit has data of sha256" in err[-1]
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "r").iterdir() if path.name != ".lock"}


def test_a_run_that_is_running_is_refused(capsys, tmp_path):
    cut_off(capsys, 37, *SPIRAL, "--out", "r")
    with Checkpoints(tmp_path / "r"):
        code, _, err = run(capsys, "train", "--resume", "r")
    assert code == 2 and f"the run with process id {os.getpid()} writes into it" in err[-1]


def test_a_full_disk_is_exit_code_5(capsys, monkeypatch, tmp_path):
    def full(file, view):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "_write", full)
        code, _, err = run(capsys, *SPIRAL, "--out", "r")
    assert code == 5 and "No space left on device" in err[-1]
    assert not (tmp_path / "r").exists()
    fill = lambda: monkeypatch.setattr(atomic, "_write", full)  # noqa: E731
    code, _, err = act_at(capsys, 37, fill, "--out", "r", "--checkpoint-every", "8")
    assert code == 5 and "older files are as they were" in err[-1]
    assert latest(tmp_path / "r").step == 32


@pytest.mark.parametrize("command", [["train", "--data", "spiral", "--epochs", "1"], ["predict", "r"], ["draw", "r"]])
def test_files_and_folders_in_the_way_are_exit_code_5(capsys, tmp_path, command):
    if command[0] != "train":
        run(capsys, *SPIRAL, "--out", "r")
    (tmp_path / "file").write_text("")
    code, _, err = run(capsys, *command, "--out", "file/inside.svg")
    assert code == 5 and len(err) == 1
    if os.geteuid():
        (tmp_path / "shut").mkdir(mode=0o500)
        assert run(capsys, *command, "--out", "shut/inside.svg")[0] == 5
