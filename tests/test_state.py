"""The state of a training, out and in again: to the bit, on every backend, or not at all."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from checkpointing import T, X, train, trainer
from nets import MAKE

from xpgraph import SGD, Adam, Affine, Chain, MatMul, Momentum, Node, Report, SoftmaxWithLoss, Tanh, Trainer
from xpgraph.checkpoints import Checkpoints
from xpgraph.errors import CheckpointError
from xpgraph.namespace import to_numpy
from xpgraph.packing import pack, pack_records, unpack, unpack_records
from xpgraph.state import differences, named_parameters, restore, state_of


def through_a_file(tmp_path, by, more=None):
    """What another process would read."""
    with Checkpoints(tmp_path) as kept:
        kept.save(by.steps, *state_of(by, more))
        found = kept.latest()
    return found.arrays, found.meta


def params(by):
    return [np.array(to_numpy(p)) for p in by.model.params]


def same(a, b):
    assert [p.tobytes() for p in params(a)] == [p.tobytes() for p in params(b)]
    assert (
        a.eval_interval == b.eval_interval
        and a.loss_list == b.loss_list
        and (a.steps, a.current_epoch) == (b.steps, b.current_epoch)
    )
    told = [[{**record, "seconds": 0} for record in each.history] for each in (a, b)]
    assert told[0] == told[1] and repr(a.optimizer) == repr(b.optimizer)


@pytest.mark.parametrize("optimizer", MAKE)
def test_a_restored_training_goes_on_to_the_bit(lib, tmp_path, optimizer):
    straight = train(trainer(optimizer, place=lib.place), 2)
    arrays, meta = through_a_file(tmp_path, straight)
    resumed = trainer(optimizer, seed=9, place=lib.place)
    mine = resumed.model.params
    assert restore(resumed, arrays, meta) is None
    same(resumed, straight)
    assert all(a is b for a, b in zip(mine, resumed.model.params, strict=True))  # the model's own arrays
    same(train(resumed, 2), train(straight, 2))
    assert straight.steps == 12 and len(straight.history) == 4


def test_a_checkpoint_of_one_backend_goes_on_with_another(lib, tmp_path):
    here = train(trainer("Adam", place=lib.place), 2)
    arrays, meta = through_a_file(tmp_path, here)
    there = trainer("Adam", seed=9)
    restore(there, arrays, meta)
    same(there, here)
    (train(here, 3), train(there, 3))
    for a, b in zip(params(here), params(there), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
    lines = differences(meta, there.model)
    assert all("the checkpoint was made with" in line and "last bits may differ" in line for line in lines)
    assert bool(lines) == (lib.name.partition(":")[0] != "numpy")


def test_before_the_first_update_there_is_nothing_to_lose(tmp_path):
    fresh, other = trainer("Momentum"), trainer("Momentum", seed=9)
    restore(other, *through_a_file(tmp_path, fresh))
    assert other.optimizer.v is None
    same(train(other), train(fresh))


def test_a_learning_rate_that_was_changed_is_kept(tmp_path):
    a, b = train(trainer("SGD")), trainer("SGD", seed=4)
    a.optimizer.lr = 0.125
    restore(b, *through_a_file(tmp_path, a))
    assert b.optimizer.lr == 0.125
    same(train(b), train(a))


def test_shared_and_tied_weights_are_written_once_and_stay_one(tmp_path):
    def tied(seed):
        W = np.random.default_rng(seed).standard_normal((4, 4))
        layer = Affine(W, np.zeros(4))
        model = Chain(layer, Tanh(), layer, MatMul(W.T), loss=SoftmaxWithLoss())
        return Trainer(model, Adam(0.01), seed=1)

    a, b = tied(0), tied(1)
    a.fit(X, T, 2, 8, report=Report())
    arrays, meta = through_a_file(tmp_path, a)
    assert meta["weights"] == ["0.W", "0.b"]
    restore(b, arrays, meta)
    for each in (a, b):
        each.fit(X, T, 2, 8, report=Report())
    same(a, b)
    assert len(a.optimizer.m) == 2


def test_names_are_those_of_the_model_or_numbers():
    class Bare:
        def __init__(self, *params):
            self.params, self.grads = list(params), [np.zeros_like(p) for p in params]

        def named_parameters(self):  # of another library's kind
            return iter([("weight", None)])

    W = np.ones((2, 3))
    assert [name for name, _ in named_parameters(Bare(W, W.T, np.zeros(3)))] == ["params[0]", "params[2]"]
    assert [name for name, _ in named_parameters(trainer().model)] == ["0.W", "0.b", "2.W", "2.b"]


# --- what does not fit ---


def unlike(**changes):
    def make():
        made = trainer(**changes)
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
def test_what_does_not_fit_names_both_sides_and_changes_nothing(tmp_path, case):
    make, words = MISFITS[case]
    arrays, meta = through_a_file(tmp_path, train(trainer("Adam")))
    other = make()
    before = [p.copy() for p in params(other)], list(other.loss_list), vars(other.optimizer).copy()
    with pytest.raises(CheckpointError, match=words):
        restore(other, arrays, meta)
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
    arrays, meta = state_of(train(trainer("Adam")))
    arrays, meta = dict(arrays), json.loads(json.dumps(meta))
    LACKS[case](arrays, meta)
    other = train(trainer("Adam", seed=5))
    before = params(other), list(other.loss_list), list(other.history), other.optimizer.iter, list(other.optimizer.m)
    before = copy.deepcopy(before)
    with pytest.raises(CheckpointError, match=r"^Restoring: .*nothing was changed\. \w+"):
        restore(other, arrays, meta)
    after = params(other), other.loss_list, other.history, other.optimizer.iter, other.optimizer.m
    assert repr(after) == repr(before)


# --- what others keep ---


class Noise(Node):
    """A user's node that draws, and remembers how often."""

    def __init__(self, seed):
        super().__init__()
        self.rng, self.old = np.random.default_rng(seed), np.random.RandomState(seed)
        self.again = self.rng  # one generator under two names
        self.count = np.zeros(2)

    state = property(lambda self: {"count": self.count, "mean": (1, 2.5)})

    def load_state(self, state):
        self.count, (_, self.mean) = state["count"], state["mean"]

    def forward(self, x):
        self.count += 1
        return x + self.rng.standard_normal(x.shape) + self.old.standard_normal(x.shape)

    def backward(self, dy):
        return dy


def noisy(seed, bits_=None):
    noise = Noise(seed)
    if bits_ is not None:
        noise.rng = noise.again = np.random.Generator(bits_(seed))
    model = Chain(noise, Affine(np.ones((4, 3)), np.zeros(3)), loss=SoftmaxWithLoss())
    return Trainer(model, Momentum(0.1), seed=1)


@pytest.mark.parametrize("kind", ["PCG64", "Philox", "MT19937", "SFC64"])
def test_the_generators_and_the_state_of_a_users_nodes_are_kept(tmp_path, kind):
    a, b = (noisy(seed, getattr(np.random, kind)) for seed in (0, 1))
    train(a)
    restore(b, *through_a_file(tmp_path, a))
    assert b.model.nodes[0].count.tolist() == [6, 6] and b.model.nodes[0].mean == 2.5
    same(train(b), train(a))
    assert b.model.nodes[0].rng.random() == a.model.nodes[0].rng.random()


class Chapter:
    """An optimizer in the manner of a book: state in dicts and lists, made at the first update."""

    def __init__(self, lr=0.1):
        self.lr, self.v, self._t, self.lists, self.rate = lr, None, 0, {}, np.float32(0.5)

    def update(self, params, grads):
        if self.v is None:
            self.v = {str(i): np.zeros_like(p) for i, p in enumerate(params)}
            self.lists = [np.zeros_like(p) for p in params]
        self._t += 1
        for i, (p, g) in enumerate(zip(params, grads, strict=True)):
            self.v[str(i)] *= 0.9
            self.v[str(i)] -= self.lr / self._t * g * self.rate
            self.lists[i] += g
            p += self.v[str(i)]


class Own(Chapter):
    """One that says itself what its state is."""

    @property
    def state(self):
        return {"v": self.v, "t": self._t, "lists": tuple(self.lists)}

    def load_state(self, state):
        self.v, self._t, self.lists = state["v"], state["t"], list(state["lists"])


@pytest.mark.parametrize("kind", [Chapter, Own])
def test_an_optimizer_of_another_house_is_kept_too(tmp_path, kind):
    a, b = (Trainer(trainer(seed=seed).model, kind(), seed=2) for seed in (0, 1))
    train(a)
    arrays, meta = through_a_file(tmp_path, a)
    assert "optimizer.lists.0.W" in arrays and "optimizer.v.0" in arrays
    restore(b, arrays, meta)
    assert b.optimizer._t == 6 and type(b.optimizer.lists) is list and b.optimizer.rate.dtype == np.float32
    assert [p.tobytes() for p in params(train(b))] == [p.tobytes() for p in params(train(a))]
    assert [v.tobytes() for v in a.optimizer.v.values()] == [v.tobytes() for v in b.optimizer.v.values()]


def test_what_cannot_be_kept_is_told_before_anything_is_lost():
    made = trainer()
    made.optimizer = Chapter()
    made.optimizer.schedule = lambda t: 0.1
    with pytest.raises(CheckpointError, match=r"Saving optimizer\.schedule: found a function, which .* load_state"):
        state_of(made)


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -(2**80), 0.1, "θ", [], (), {}, [1, (2, {"a": [None]})], {1: "one", "1": "text"}, float("inf")],
)
def test_values_come_back_as_what_they_were(value):
    arrays = {}
    packed = json.loads(json.dumps(pack(value, "k", arrays)))
    assert repr(unpack(packed, arrays)) == repr(value)


@pytest.mark.parametrize(
    "records",
    [
        [],
        [{"a": 1, "b": 0.1, "c": None}] * 3,
        [{"c": None}] * 2,
        [{}, {}],
        [{"a": 1}, {"a": 0.5}, {"a": None}],
        [{"a": 1}, {"b": 1}],
        [{"a": True, "b": "text", "c": 2**70}] * 2,
        [{"a": float("inf"), "b": -0.0}],
    ],
)
def test_records_come_back_as_what_they_were(records):
    arrays = {}
    packed = json.loads(json.dumps(pack_records(records, "h", arrays)))
    assert repr(unpack_records(packed, arrays)) == repr(records)


def test_a_hundred_thousand_epochs_fit(tmp_path):
    by = trainer()
    record = {"epoch": 1, "loss": 0.1, "val_loss": None, "val_accuracy": None, "lr": 0.1, "samples": 24, "seconds": 1.5}
    by.history, by.loss_list = [record] * 100_000, [0.5] * 1_000_000
    arrays, meta = through_a_file(tmp_path, by)
    other = trainer()
    restore(other, arrays, meta)
    assert other.history == by.history and other.loss_list == by.loss_list


def test_more_is_kept_and_given_back(tmp_path):
    more = {"iteration": 3, "pending": np.array([0.1, 0.2]), "config": {"hidden": "100", "sizes": [1, 2], "x": None}}
    found = restore(trainer("SGD"), *through_a_file(tmp_path, trainer("SGD"), more))
    assert found["pending"].tolist() == [0.1, 0.2] and {**found, "pending": 0} == {**more, "pending": 0}


def test_the_numbers_of_a_trainer_may_be_numpys(tmp_path):
    by = Trainer(trainer().model, SGD(0.1), seed=np.int64(3))
    train(by).steps = np.int64(6)
    restore(by, *through_a_file(tmp_path, by))
    assert type(by.seed) is int and by.steps == 6
