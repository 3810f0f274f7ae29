"""``xpgraph train`` on a CUDA device: precision, CUDA graphs, and running out of memory."""

import json

import pytest

import xpgraph.cli.app

pytestmark = pytest.mark.cuda
SMALL = ["--data", "spiral", "--epochs", "4", "--hidden", "5", "--batch-size", "30", "--backend", "cupy"]


def run(*arguments):
    return xpgraph.cli.app.main([*arguments])


def test_a_run_on_the_device_matches_numpy(cuda, tmp_path, capsys):
    for backend in ("cupy", "numpy"):
        assert run("train", *SMALL[:-1], backend, "--dtype", "float64", "--out", str(tmp_path / backend)) == 0
    capsys.readouterr()
    here, there = (json.loads((tmp_path / b / "config.json").read_text("utf-8")) for b in ("numpy", "cupy"))
    assert there["choices"]["graph"] == "auto" and there["choices"]["precision"] == "fp32"
    assert abs(here["result"]["test_loss"] - there["result"]["test_loss"]) < 1e-9
    assert run("predict", str(tmp_path / "cupy"), "--backend", "numpy") == 0


def test_precision_is_recorded_and_reaches_the_products(rig, tmp_path, capsys):
    assert run("train", *SMALL, "--precision", "tf32", "--graph", "yes", "--out", str(tmp_path)) == 0
    assert {call.compute for call in rig.lt.calls} == {77, 68}  # of training, and of evaluation, which is in full
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    assert (config["choices"]["precision"], config["choices"]["graph"]) == ("tf32", "yes")
    assert ("replay", "") in rig.calls


@pytest.mark.parametrize("more", [["--backend", "numpy"], ["--backend", "cupy", "--dtype", "float64"]])
def test_tf32_is_for_float32_on_a_gpu(cuda, tmp_path, capsys, more):
    assert run("train", *SMALL, *more, "--precision", "tf32", "--out", str(tmp_path / "o")) == 2
    assert "--precision tf32 is for float32 on a CUDA GPU" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_graph_yes_is_refused_without_a_gpu_and_with_profile(tmp_path, capsys):
    out = tmp_path / "o"
    assert run("train", *SMALL[:-1], "numpy", "--graph", "yes", "--out", str(out)) == 2
    assert "--graph yes replays steps on a CUDA GPU, and the backend is numpy; leave it out." in capsys.readouterr().err
    assert run("train", *SMALL[:-1], "numpy", "--graph", "yes", "--profile", "--out", str(out)) == 2
    assert "--profile times call by call" in capsys.readouterr().err
    assert not out.exists()


def test_out_of_memory_is_one_line_and_exit_code_3(rig, tmp_path, capsys, monkeypatch):
    import cupy

    full = cupy.cuda.memory.OutOfMemoryError(2**20, 0, 0)
    monkeypatch.setattr("xpgraph.fast.cuda.device.launch", lambda *a: (_ for _ in ()).throw(full))
    assert run("train", *SMALL, "--quiet", "--out", str(tmp_path)) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("xpgraph train: Trainer.fit: out of memory on cupy with batches of 30 rows: 1.0 MiB more")
    assert line.endswith("try batch_size=16.")


def test_the_host_can_run_out_of_memory_too(tmp_path, capsys, monkeypatch):
    def load(*a, **k):
        raise MemoryError("Unable to allocate 9.00 TiB for an array")

    monkeypatch.setattr("xpgraph.datasets.load", load)
    assert run("train", "--backend", "numpy", "--out", str(tmp_path)) == 3
    assert "out of memory: Unable to allocate 9.00 TiB" in capsys.readouterr().err
