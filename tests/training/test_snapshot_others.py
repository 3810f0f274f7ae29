"""The state of a user's own nodes and optimizers, and Python values as arrays and JSON, and back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from checkpointing import make_trainer, params, same, through_a_file, train

from xpgraph import SGD, Affine, Chain, Momentum, Node, SoftmaxWithLoss, Trainer
from xpgraph.arrays.libraries import place
from xpgraph.errors import CheckpointError
from xpgraph.storage.packing import pack, pack_records, unpack, unpack_records
from xpgraph.training import environment
from xpgraph.training import snapshot as snapshots
from xpgraph.training.snapshot import restore, snapshot


class Noise(Node):
    """A user's node that draws random numbers and counts how often."""

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
def test_generators_and_state_of_a_users_nodes_are_restored(tmp_path, kind):
    a, b = (noisy(seed, getattr(np.random, kind)) for seed in (0, 1))
    train(a)
    restore(b.state, *through_a_file(tmp_path, a))
    assert b.model.nodes[0].count.tolist() == [6, 6] and b.model.nodes[0].mean == 2.5
    same(train(b), train(a))
    assert b.model.nodes[0].rng.random() == a.model.nodes[0].rng.random()


class Dropped(Node):
    """A user's node with one generator, which draws an odd number of normal numbers in each forward."""

    def __init__(self, generator):
        super().__init__()
        self.generator = generator

    def forward(self, x):
        return x * float(self.generator.standard_normal(3)[0])

    def backward(self, dy):
        return dy


def one_generator(generator, place="numpy"):
    W, b = np.ones((4, 3)), np.zeros(3)
    return Trainer(Chain(Dropped(generator), Affine(W, b), loss=SoftmaxWithLoss()).to(place), SGD(0.1), seed=1)


def test_a_random_state_is_restored_with_the_second_of_two_normal_numbers(tmp_path):
    a, b = (one_generator(np.random.RandomState(seed)) for seed in (0, 1))
    drawn = a.model.nodes[0].generator
    drawn.standard_normal(1)
    assert drawn.get_state(legacy=False)["has_gauss"] == 1
    restore(b.state, *through_a_file(tmp_path, a))
    assert b.model.nodes[0].generator.standard_normal(4).tolist() == drawn.standard_normal(4).tolist()


def test_a_random_state_in_a_checkpoint_that_stored_its_bit_generator_only_is_restored(tmp_path):
    """As checkpoints did before."""
    a, b = (one_generator(np.random.RandomState(seed)) for seed in (0, 1))
    train(a)
    a.model.nodes[0].generator.random_sample(3)
    arrays, meta = through_a_file(tmp_path, a)
    (packed,) = meta["nodes"]
    packed["dict"] = [row for row in packed["dict"] if row[0] not in ("has_gauss", "gauss")]
    restore(b.state, arrays, meta)
    again = a.model.nodes[0].generator.random_sample(4)
    assert b.model.nodes[0].generator.random_sample(4).tolist() == again.tolist()


@pytest.mark.parametrize("kind", ["Generator-MT19937", "Generator-Philox", "RandomState"])
def test_generators_of_a_model_on_any_backend_are_restored(lib, tmp_path, kind):
    """Their states are NumPy arrays, wherever the model lives."""

    def make(seed):
        _, _, bits = kind.partition("-")
        return np.random.Generator(getattr(np.random, bits)(seed)) if bits else np.random.RandomState(seed)

    a, b = (one_generator(make(seed), lib.place) for seed in (0, 1))
    a.model.nodes[0].generator.standard_normal(3)
    restore(b.state, *through_a_file(tmp_path, a))
    again = a.model.nodes[0].generator.standard_normal(4)
    assert b.model.nodes[0].generator.standard_normal(4).tolist() == again.tolist()


def test_a_generator_and_a_random_state_with_one_bit_generator_are_restored(tmp_path):
    def make(seed):
        bits = np.random.MT19937(seed)
        noise = Noise(0)
        noise.rng = noise.again = np.random.Generator(bits)
        noise.old = np.random.RandomState(bits)
        return Trainer(Chain(noise, Affine(np.ones((4, 3)), np.zeros(3)), loss=SoftmaxWithLoss()), SGD(0.1), seed=1)

    a, b = make(0), make(1)
    train(a)
    restore(b.state, *through_a_file(tmp_path, a))
    same(train(b), train(a))


class Chapter:
    """An optimizer as in the book: state in dicts and lists, made by the first update."""

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
    """One with ``state`` and ``load_state``."""

    @property
    def state(self):
        return {"v": self.v, "t": self._t, "lists": tuple(self.lists)}

    def load_state(self, state):
        self.v, self._t, self.lists = state["v"], state["t"], list(state["lists"])


@pytest.mark.parametrize("kind", [Chapter, Own])
def test_an_optimizer_class_of_a_users_own_is_restored(tmp_path, kind):
    a, b = (Trainer(make_trainer(seed=seed).model, kind(), seed=2) for seed in (0, 1))
    train(a)
    arrays, meta = through_a_file(tmp_path, a)
    assert "optimizer.lists.0.W" in arrays and "optimizer.v.0" in arrays
    restore(b.state, arrays, meta)
    assert b.optimizer._t == 6 and type(b.optimizer.lists) is list and b.optimizer.rate.dtype == np.float32
    assert [p.tobytes() for p in params(train(b))] == [p.tobytes() for p in params(train(a))]
    assert [v.tobytes() for v in a.optimizer.v.values()] == [v.tobytes() for v in b.optimizer.v.values()]


def test_a_value_that_a_checkpoint_cannot_hold_is_refused_by_name():
    made = make_trainer()
    made.optimizer = Chapter()
    made.optimizer.schedule = lambda t: 0.1
    with pytest.raises(CheckpointError, match=r"Saving optimizer\.schedule: found a function, which .* load_state"):
        snapshot(made.state)


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -(2**80), 0.1, "θ", [], (), {}, [1, (2, {"a": [None]})], {1: "one", "1": "text"}, float("inf")],
)
def test_packed_values_come_back_unchanged(value):
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
def test_packed_records_come_back_unchanged(records):
    arrays = {}
    packed = json.loads(json.dumps(pack_records(records, "h", arrays)))
    assert repr(unpack_records(packed, arrays)) == repr(records)


def test_a_hundred_thousand_epochs_fit(tmp_path):
    trainer = make_trainer()
    record = {"epoch": 1, "loss": 0.1, "val_loss": None, "val_accuracy": None, "lr": 0.1, "samples": 24, "seconds": 1.5}
    trainer.history, trainer.loss_list = [record] * 100_000, [0.5] * 1_000_000
    arrays, meta = through_a_file(tmp_path, trainer)
    other = make_trainer()
    restore(other.state, arrays, meta)
    assert other.history == trainer.history and other.loss_list == trainer.loss_list


def test_restore_returns_what_snapshot_got_as_more(tmp_path):
    more = {"number": 3, "pending": np.array([0.1, 0.2]), "config": {"hidden": "100", "sizes": [1, 2], "x": None}}
    found = restore(make_trainer("SGD").state, *through_a_file(tmp_path, make_trainer("SGD"), more))
    assert found["pending"].tolist() == [0.1, 0.2] and {**found, "pending": 0} == {**more, "pending": 0}


def test_seed_and_steps_may_be_numpy_integers(tmp_path):
    trainer = Trainer(make_trainer().model, SGD(0.1), seed=np.int64(3))
    train(trainer).steps = np.int64(6)
    restore(trainer.state, *through_a_file(tmp_path, trainer))
    assert type(trainer.seed) is int and trainer.steps == 6


def test_a_packed_list_uses_the_names_only_if_it_has_an_array_for_each():
    a, names = np.ones(2), ("W", "b")
    for value, keys in (
        ([a, a], ["k.W", "k.b"]),
        ([a, a, a], ["k.0", "k.1", "k.2"]),
        ([a, 0.5], ["k.0"]),
        ([0.9, 0.999], []),
    ):
        arrays: dict = {}
        packed = pack(value, "k", arrays, names)
        assert list(arrays) == keys
        again = unpack(packed, arrays)
        assert len(again) == len(value) and all(np.array_equal(x, y) for x, y in zip(again, value, strict=True))


@pytest.mark.parametrize("where", [None, place("numpy")], ids=["NumPy", "a place"])
def test_unpacked_arrays_share_no_memory_with_the_file(where):
    arrays: dict = {}
    packed = pack([np.ones(3)], "k", arrays)
    assert not np.shares_memory(unpack(packed, arrays, where)[0], arrays["k.0"])


@pytest.mark.parametrize(("number", "fits"), [(2**63 - 1, True), (1 - 2**63, True), (2**63, False), (-(2**64), False)])
def test_integers_of_records_become_an_int64_array_if_they_fit(number, fits):
    arrays: dict = {}
    records = [{"n": 1, "x": 0.5}, {"n": number, "x": 1.5}]
    packed = pack_records(records, "h", arrays)
    assert list(arrays) == (["h.n", "h.x"] if fits else ["h.x"])
    again = unpack_records(packed, arrays)
    assert again == records and [type(record["n"]) for record in again] == [int, int]


def test_records_with_arrays_or_with_different_names_come_back_unchanged():
    a = np.arange(3.0)
    for records in ([{"a": a}, {"a": 2 * a}], [{"a": a, "b": None}, {"a": a}], [{"b": None}, {"b": None}], [{}], []):
        arrays: dict = {}
        again = unpack_records(pack_records(records, "h", arrays), arrays)
        assert [list(record) for record in again] == [list(record) for record in records]
        for one, other in zip(again, records, strict=True):
            assert all(np.array_equal(one[name], other[name]) for name in one)


def test_an_error_of_check_is_raised_unchanged_and_changes_nothing():
    trainer, other = train(make_trainer()), make_trainer(seed=4)
    before = [p.copy() for p in params(other)]

    def check(more):
        raise CheckpointError(f"not with {more['a']}")

    with pytest.raises(CheckpointError, match=r"^not with 1$"):
        restore(other.state, *snapshot(trainer.state, {"a": 1}), check)
    assert other.steps == 0 and all(map(np.array_equal, params(other), before))


@pytest.mark.parametrize(
    ("n", "told"), [(0, "none"), (1, "0"), (8, "0, 1, 2, 3, 4, 5, 6, 7"), (9, "0, 1, 2, 3, 4, 5, 6, 7, ...")]
)
def test_messages_list_at_most_eight_names(n, told):
    assert snapshots._join([str(i) for i in range(n)]) == told


def test_versions_include_array_api_compat():
    assert environment.versions(make_trainer().model)["array-api-compat"][0].isdigit()
