"""The training loop: what it calls, in which order, what it computes."""

from __future__ import annotations

import hashlib
import itertools
import math

import numpy as np
import pytest
from book_training import FreshGrads, LeakyTrainer, PlainAffine, PlainLoss, PlainSigmoid, TwoLayerNet
from nets import MAKE, Witness, bits, columns, net, weights
from reference import RULES, Reference, gap, toy, two_layers

from xpgraph import (
    SGD,
    Adam,
    Affine,
    Chain,
    Momentum,
    Sigmoid,
    SoftmaxWithLoss,
    Trainer,
    mlp,
)

# --- the order ---


def every_row_once_an_epoch(trainer):
    for n, size in ((10, 32), (10, 4), (8, 4), (1, 1)):
        model = Witness()
        trainer(model, SGD()).fit(*columns(n), max_epoch=2, batch_size=size)
        per_epoch = math.ceil(n / size)
        assert len(model.batches) == 2 * per_epoch
        for epoch in (model.batches[:per_epoch], model.batches[per_epoch:]):
            assert [len(b) for b in epoch[:-1]] == [size] * (per_epoch - 1)
            assert sorted(itertools.chain(*epoch)) == list(range(n))


def test_row_8_every_row_once_an_epoch():
    every_row_once_an_epoch(Trainer)
    with pytest.raises(AssertionError):
        every_row_once_an_epoch(LeakyTrainer)


def test_drop_last_drops_the_short_batch():
    model = Witness()
    trainer = Trainer(model, SGD())
    trainer.fit(*columns(10), max_epoch=3, batch_size=4, drop_last=True, eval_interval=None)
    assert [len(b) for b in model.batches] == [4] * 6
    assert [r["samples"] for r in trainer.history] == [8] * 3
    with pytest.raises(ValueError, match="10 rows make no full batch of 11"):
        trainer.fit(*columns(10), batch_size=11, drop_last=True)


def digest(batches):
    return hashlib.sha256(repr(batches).encode()).hexdigest()[:16]


def order_is_its_own(trainer):
    """Other draws, before and between, change nothing; another epoch has another order."""
    runs = []
    for noise in (0, 1):
        model = Witness()
        one = trainer(model, SGD(), seed=3)
        np.random.random(noise)
        for _ in range(2):
            one.fit(*columns(20), max_epoch=1, batch_size=5)
            np.random.random(noise)
        runs.append(model.batches)
    assert runs[0] == runs[1]
    assert runs[0][:4] != runs[0][4:]


def test_row_9_order_depends_on_seed_and_epoch_alone():
    order_is_its_own(Trainer)
    with pytest.raises(AssertionError):
        order_is_its_own(LeakyTrainer)


def test_the_order_is_the_same_in_every_release(lib):
    """The same rows in the same order on every backend, in every release."""
    model = Chain(Affine(lib.param(np.zeros((1, 20))), lib.param(np.zeros(20))), loss=SoftmaxWithLoss())
    seen, forward = [], model.forward

    def watch(*batch):
        assert len(batch) == 2
        seen.append(lib.numpy(batch[1]).tolist())
        return forward(*batch)

    model.forward = watch  # a reader's own function on the object is what fit calls
    x, t = columns(20)
    Trainer(model, SGD(), seed=7).fit(lib.array(x), lib.array(t), max_epoch=2, batch_size=6, eval_interval=None)
    assert [len(b) for b in seen] == [6, 6, 6, 2] * 2
    assert digest(seen) == ORDER_OF_SEED_7


ORDER_OF_SEED_7 = "3471c6f12645ee63"


# --- the arithmetic ---


@pytest.mark.parametrize("name", MAKE)
def test_training_equals_a_training_by_hand(lib, name):
    """Two epochs of batches of 10 from 24 rows, the last with the mean over its own 4."""
    x, t = toy()
    order, w = [], weights()
    watcher = Witness()
    Trainer(watcher, SGD()).fit(x, np.arange(24), max_epoch=2, batch_size=10, eval_interval=None)
    order = watcher.batches
    reference = Reference(RULES[name], w, lr=0.05)
    for rows in order:
        reference.update(two_layers(x[rows], t[rows], *reference.params)[1])
    model = net(lib, w)
    Trainer(model, MAKE[name](lr=0.05)).fit(lib.array(x), lib.array(t), max_epoch=2, batch_size=10, eval_interval=None)
    for p, want in zip(model.params, reference.params, strict=True):
        assert gap(lib.numpy(p), want) < 1e-10


def test_a_users_own_net_of_xpgraph_layers_equals_a_chain(lib):
    x, t = toy()
    w = weights()
    own = TwoLayerNet(*(lib.param(a) for a in w), affine=Affine, sigmoid=Sigmoid, loss=SoftmaxWithLoss)
    chain = net(lib, w)
    for model in (own, chain):
        trainer = Trainer(model, Momentum(lr=0.3))
        trainer.fit(lib.array(x), lib.array(t), 5, 7, 1.0, None, validation=(lib.array(x), lib.array(t)))
    assert bits(lib, own.params) == bits(lib, chain.params)
    assert trainer.history[-1]["val_accuracy"] > 0.8


def test_a_users_own_net_of_plain_classes_equals_a_training_by_hand():
    x, t = toy()
    w = weights()
    own = TwoLayerNet(*(a.copy() for a in w), affine=PlainAffine, sigmoid=PlainSigmoid, loss=PlainLoss)
    trainer = Trainer(own, Adam(lr=0.05))
    trainer.fit(x, t, max_epoch=5, batch_size=24, eval_interval=None, validation=(x, t))
    reference = Reference(RULES["Adam"], w, lr=0.05)
    for _ in range(5):
        reference.update(two_layers(x, t, *reference.params)[1])
    for p, want in zip(own.params, reference.params, strict=True):
        assert gap(p, want) < 1e-9
    scores = own.predict(x)
    assert trainer.history[-1]["val_accuracy"] == np.mean(scores.argmax(axis=1) == t)


def test_an_accuracy_is_given_for_classes_only():
    class Line:
        def __init__(self):
            self.params, self.grads = [np.zeros((2, 2))], [np.zeros((2, 2))]

        def predict(self, x):
            return x @ self.params[0]

        def forward(self, x, t):
            return ((self.predict(x) - t) ** 2).mean()

        def backward(self):
            pass

    x = np.ones((4, 2))
    for model, t in ((Line(), np.ones((4, 2))), (Witness(), np.ones(4))):
        trainer = Trainer(model, SGD())
        trainer.fit(x, t, max_epoch=1, eval_interval=None, validation=(x, t))
        assert trainer.history[0]["val_accuracy"] is None
        assert trainer.history[0]["val_loss"] == 1.0


def test_gradients_that_are_new_arrays_at_each_step():
    x, t = toy(classes=3)
    W = weights()[2][:4]
    model = FreshGrads(W.copy())
    Trainer(model, Momentum(lr=0.1)).fit(x, t, max_epoch=4, batch_size=24, eval_interval=None)
    reference = Reference(RULES["Momentum"], [W], lr=0.1)
    for _ in range(4):
        z = 2 * x @ reference.params[0]
        dz = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        dz[np.arange(24), t] -= 1
        reference.update([2 * x.T @ dz / 24])
    assert gap(model.params[0], reference.params[0]) < 1e-12


def test_the_users_arrays_are_trained_and_the_data_is_not_touched(lib):
    x, t = toy()
    w = [lib.param(a) for a in weights()]
    bx, bt = lib.param(x), lib.param(t)
    model = Chain(Affine(*w[:2]), Sigmoid(), Affine(*w[2:]), loss=SoftmaxWithLoss())
    Trainer(model, SGD()).fit(bx, bt, max_epoch=2, batch_size=7, max_grad=0.1, eval_interval=None)
    assert all(p is a for p, a in zip(model.params, w, strict=True))
    assert not any(np.array_equal(lib.numpy(a), b) for a, b in zip(w, weights(), strict=True))
    assert (lib.numpy(bx).tobytes(), lib.numpy(bt).tobytes()) == (x.tobytes(), t.tobytes())


@pytest.mark.parametrize("dtype", ["float64", "float32", "int16", "uint8"])
def test_data_is_cast_once_to_the_parameters_dtype(lib, dtype):
    x, t = np.round(np.abs(toy()[0]) * 9).astype(dtype), toy()[1].astype("uint8")
    model = mlp([4, 3, 3], backend=lib.place)
    forward, kinds = model.forward, set()

    def watch(bx, bt):
        kinds.add((str(bx.dtype).rpartition(".")[2], str(bt.dtype).rpartition(".")[2]))
        return forward(bx, bt)

    model.forward = watch
    Trainer(model, SGD()).fit(lib.array(x), lib.array(t), max_epoch=1, batch_size=5, eval_interval=None)
    assert kinds == {("float32", "uint8")}


def test_probabilities_and_one_hot_labels_train_as_indices_do(lib):
    x, t = toy()
    runs = []
    for labels in (t, np.eye(3)[t], np.eye(3, dtype=np.int64)[t]):
        model = net(lib, weights())
        trainer = Trainer(model, SGD(lr=0.5))
        trainer.fit(lib.array(x), lib.array(labels), 3, 8, None, None, validation=(lib.array(x), lib.array(labels)))
        runs.append([lib.numpy(p) for p in model.params])
        assert trainer.history[-1]["val_accuracy"] == model.evaluate(lib.array(x), lib.array(t)).accuracy
    for run in runs[1:]:
        for a, b in zip(run, runs[0], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)
