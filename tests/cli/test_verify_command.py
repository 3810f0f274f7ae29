"""``xpgraph verify``: its last line, its exit code, its JSON, and the options that it refuses."""

import json

import pytest
from commands import QUICK, run


def test_verify_says_pass_and_writes_what_it_saw(capsys, tmp_path):
    code, out, err = run(
        capsys, "verify", "--backends", "numpy", "--model", "64-8-10", "--steps", "3", "--json", "deep/v.json"
    )
    assert (code, err) == (0, [])
    assert out[-1] == "pass: the backends agree"
    data = json.loads((tmp_path / "deep/v.json").read_text("utf-8"))
    assert data["passed"] is True
    assert [found["dtype"] for found in data["certificates"]] == ["float32", "float64"]


def test_verify_goes_on_training_a_run_as_it_was_trained(capsys, tmp_path):
    run(capsys, "train", *QUICK, "--out", "a", "--max-grad", "0.5", "--batch-size", "50")
    code, out, _ = run(capsys, "verify", "--backends", "numpy", "--model", "a", "--steps", "3", "--dtype", "float32")
    assert code == 0
    assert "Adam(lr=0.01" in out[0]
    assert "gradients clipped at 0.5" in out[0]


def test_verify_fails_with_1(capsys, monkeypatch):
    monkeypatch.setattr("xpgraph.nodes.layers.Sigmoid.backward", lambda self, dy: dy)
    code, out, _ = run(
        capsys, "verify", "--backends", "numpy", "--model", "64-8-10", "--steps", "2", "--dtype", "float32"
    )
    assert code == 1
    assert out[-1] == "fail: 64-8-10 in float32"
    assert any(line.startswith("fail: step 1: 1 Sigmoid on numpy") for line in out)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--backends", ","], "--backends names none"),
        (["--backends", "nope"], "'nope' is unknown"),
        (["--lr", "1"], "--lr goes with --optimizer"),
        (["--max-grad", "1"], "--max-grad goes with"),
        (["--model", "x-y"], "--model is 'x-y'"),
    ],
)
def test_verify_refuses_what_it_would_not_do(capsys, arguments, words):
    code, _, err = run(capsys, "verify", *arguments)
    assert code == 2
    assert len(err) == 1
    assert words in err[0]
