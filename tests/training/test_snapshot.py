"""Snapshots of a training: restored bit for bit on every backend, or refused without changing anything."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from checkpointing import T, X, make_trainer, params, same, through_a_file, train
from nets import MAKE

from xpgraph import (
    Adam,
    Add,
    Affine,
    Chain,
    Graph,
    MatMul,
    Report,
    SoftmaxWithLoss,
    Tanh,
    Trainer,
    wire,
)
from xpgraph.arrays.cpu import arithmetic
from xpgraph.errors import CheckpointError
from xpgraph.training.environment import differences
from xpgraph.training.snapshot import config_of, named_parameters, restore, snapshot


@pytest.mark.parametrize("optimizer", MAKE)
def test_a_restored_training_continues_with_the_same_bits(lib, tmp_path, optimizer):
    straight = train(make_trainer(optimizer, place=lib.place), 2)
    arrays, meta = through_a_file(tmp_path, straight)
    resumed = make_trainer(optimizer, seed=9, place=lib.place)
    mine = resumed.model.params
    resumed.state.consistent = False  # as after an update that was cut off halfway
    assert restore(resumed.state, arrays, meta) == {} and resumed.state.consistent
    same(resumed, straight)
    assert all(a is b for a, b in zip(mine, resumed.model.params, strict=True))  # the model's own arrays
    same(train(resumed, 2), train(straight, 2))
    assert straight.steps == 12 and len(straight.history) == 4


def test_a_checkpoint_of_one_backend_resumes_on_another(lib, tmp_path):
    here = train(make_trainer("Adam", place=lib.place), 2)
    arrays, meta = through_a_file(tmp_path, here)
    there = make_trainer("Adam", seed=9)
    restore(there.state, arrays, meta)
    same(there, here)
    (train(here, 3), train(there, 3))
    for a, b in zip(params(here), params(there), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
    lines = differences(meta, {"arithmetic": arithmetic()}, there.model)
    assert all("the checkpoint was made with" in line and "last bits may differ" in line for line in lines)
    assert bool(lines) == (lib.name.partition(":")[0] != "numpy")


def test_a_checkpoint_from_before_the_first_update_is_restored(tmp_path):
    fresh, other = make_trainer("Momentum"), make_trainer("Momentum", seed=9)
    restore(other.state, *through_a_file(tmp_path, fresh))
    assert other.optimizer.v is None
    same(train(other), train(fresh))


def test_a_changed_learning_rate_is_restored(tmp_path):
    a, b = train(make_trainer("SGD")), make_trainer("SGD", seed=4)
    a.optimizer.lr = 0.125
    restore(b.state, *through_a_file(tmp_path, a))
    assert b.optimizer.lr == 0.125
    same(train(b), train(a))


def test_shared_and_tied_weights_are_stored_once_and_stay_shared(tmp_path):
    def tied(seed):
        W = np.random.default_rng(seed).standard_normal((4, 4))
        layer = Affine(W, np.zeros(4))
        model = Chain(layer, Tanh(), layer, MatMul(W.T), loss=SoftmaxWithLoss())
        return Trainer(model, Adam(0.01), seed=1)

    a, b = tied(0), tied(1)
    a.fit(X, T, 2, 8, report=Report())
    arrays, meta = through_a_file(tmp_path, a)
    assert meta["weights"] == ["0.W", "0.b"]
    restore(b.state, arrays, meta)
    for each in (a, b):
        each.fit(X, T, 2, 8, report=Report())
    same(a, b)
    assert len(a.optimizer.m) == 2


def test_a_graph_is_restored(tmp_path):
    def made(seed):
        W, b = np.random.default_rng(seed).standard_normal((4, 3)), np.zeros(3)
        x, t = wire("x"), wire("t")
        affine = Affine(W, b)
        return Trainer(Graph((x, t), SoftmaxWithLoss()(Add()(Tanh()(affine(x)), affine(x)), t)), Adam(0.01), seed=1)

    a, b = made(0), made(1)
    a.fit(X, T, 2, 8, report=Report())
    arrays, meta = through_a_file(tmp_path, a)
    assert len(meta["weights"]) == 2 and not any(name.startswith("params[") for name in meta["weights"])
    restore(b.state, arrays, meta)
    for each in (a, b):
        each.fit(X, T, 2, 8, report=Report())
    same(a, b)


def test_float16_weights_are_restored_with_their_float32_state(tmp_path):
    a, b = (make_trainer("Adam", seed=seed, dtype="float16") for seed in (0, 1))
    train(a)
    arrays, meta = through_a_file(tmp_path, a)
    assert arrays["weights.0.W"].dtype == "float16" and arrays["optimizer.m.0.W"].dtype == "float32"
    restore(b.state, arrays, meta)
    same(train(a), train(b))
    arrays["optimizer.v.0.b"] = np.zeros(7, np.float32)
    with pytest.raises(CheckpointError) as caught:
        restore(b.state, arrays, meta)
    assert str(caught.value).startswith(
        "Restoring: v of parameter 0.b is float32 (7,) in the checkpoint, but float32 (6,) in the model; nothing was"
    )


def test_config_is_read_from_both_places_that_store_it():
    trainer = make_trainer()
    arrays, meta = snapshot(trainer.state, {"config": {"lr": 0.5, "name": "汉字"}})
    assert (
        config_of(meta, arrays) == {"lr": 0.5, "name": "汉字"} == config_of({"config": {"lr": 0.5, "name": "汉字"}}, {})
    )
    for other in (
        {},
        {"more": None},
        {"more": {"dict": []}},
        {"config": 1},
        {"config": None},
        snapshot(trainer.state)[1],
    ):
        assert config_of(other, {}) == {}


def test_names_are_those_of_the_model_or_numbers():
    class Bare:
        def __init__(self, *params):
            self.params, self.grads = list(params), [np.zeros_like(p) for p in params]

        def named_parameters(self):  # of another library's kind
            return iter([("weight", None)])

    W = np.ones((2, 3))
    assert [name for name, _ in named_parameters(Bare(W, W.T, np.zeros(3)))] == ["params[0]", "params[2]"]
    assert [name for name, _ in named_parameters(make_trainer().model)] == ["0.W", "0.b", "2.W", "2.b"]


# --- what does not fit ---


def unlike(**changes):
    def make():
        made = make_trainer(**changes)
        made.loss_list, made.history = [1.0], [{"epoch": 1}]
        return made

    return make


def with_model(model, optimizer=None):
    return lambda: Trainer(model, optimizer or Adam(0.05))


MISFITS = {
    "size": (
        unlike(h=5), r": parameter 0\.W is float64 \(4, 6\) in the checkpoint, but float64 \(4, 5\) in the model; "
    ),
    "dtype": (unlike(dtype="float32"), r": parameter 0\.W is float64 \(4, 6\) in the checkpoint, but float32 \(4, 6\)"),
    "names": (
        with_model(Chain(MatMul(np.zeros((4, 6))))),
        r"holds 4 parameters, the model has 1; only the checkpoint has 0\.b, 2\.W, 2\.b, only the model none; nothing",
    ),
    "optimizer": (unlike(optimizer="Momentum"), "holds the state of Adam, the trainer has Momentum; nothing was"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISFITS)
def test_a_checkpoint_of_another_model_or_optimizer_is_refused_and_changes_nothing(tmp_path, case):
    make, words = MISFITS[case]
    arrays, meta = through_a_file(tmp_path, train(make_trainer("Adam")))
    other = make()
    before = [p.copy() for p in params(other)], list(other.loss_list), vars(other.optimizer).copy()
    with pytest.raises(CheckpointError, match=words):
        restore(other.state, arrays, meta)
    assert [p.tobytes() for p in params(other)] == [p.tobytes() for p in before[0]]
    assert (other.loss_list, vars(other.optimizer), other.steps, other.seed) == (*before[1:], 0, other.seed)


def lacking(*path):
    def change(arrays, meta):
        inside = meta
        for name in path[:-1]:
            inside = inside[name]
        del inside[path[-1]]

    return change


LACKS = {
    "an array": lambda arrays, meta: arrays.pop("optimizer.m.2.W"),
    "a weight": lambda arrays, meta: arrays.pop("weights.0.b"),
    "the losses": lambda arrays, meta: arrays.pop("loss_list"),
    "a column": lambda arrays, meta: arrays.pop("history.lr"),
    "a short column": lambda arrays, meta: arrays.update({"history.lr": np.zeros(1)}),
    "steps": lacking("steps"), "more": lacking("more"), "versions of the optimizer": lacking("optimizer", "class"),
    "a slot of another shape": lambda arrays, meta: arrays.update({"optimizer.v.0.b": np.zeros(7)}),
    "a slot of another dtype": lambda arrays, meta: arrays.update({"optimizer.v.0.b": np.zeros(6, np.float32)}),
    "a slot too many": lambda arrays, meta: slots(meta)["m"]["list"].append({"array": "optimizer.m.0.W"}),
    "a rate": lambda arrays, meta: remove(meta, "lr"),
    "nothing, but has more": lambda arrays, meta: put(meta, "warmup", 3.0),
    "a slot": lambda arrays, meta: remove(meta, "v"),
    "a number for a slot": lambda arrays, meta: put(meta, "v", 3.0),
    "a state of text": lambda arrays, meta: meta["optimizer"].update(state="text"),
    "nodes with a state": lambda arrays, meta: meta["nodes"].append(1),
    "a depth": lambda arrays, meta: meta.update(more=deep(5000)),
}  # fmt: skip


def deep(n):
    inside = None
    for _ in range(n):
        inside = {"list": [inside]}
    return inside


def slots(meta):
    return dict(map(tuple, meta["optimizer"]["state"]["dict"]))


def remove(meta, name):
    inside = meta["optimizer"]["state"]["dict"]
    inside[:] = [row for row in inside if row[0] != name]


def put(meta, name, value):
    remove(meta, name)
    meta["optimizer"]["state"]["dict"].append([name, value])


@pytest.mark.parametrize("case", LACKS)
def test_a_checkpoint_that_lacks_something_changes_nothing(case):
    arrays, meta = snapshot(train(make_trainer("Adam")).state)
    arrays, meta = dict(arrays), json.loads(json.dumps(meta))
    LACKS[case](arrays, meta)
    other = train(make_trainer("Adam", seed=5))
    before = params(other), list(other.loss_list), list(other.history), other.optimizer.iter, list(other.optimizer.m)
    before = copy.deepcopy(before)
    with pytest.raises(CheckpointError, match=r"^Restoring: .*nothing was changed\. \w+"):
        restore(other.state, arrays, meta)
    after = params(other), other.loss_list, other.history, other.optimizer.iter, other.optimizer.m
    assert repr(after) == repr(before)
