"""Small trainings and small checkpoints for the tests of checkpoints, and an ``os`` in which a save can fail."""

import os
import warnings

import numpy as np
from nets import MAKE, weights
from reference import toy

from xpgraph import Affine, Chain, Report, Sigmoid, SoftmaxWithLoss, Trainer
from xpgraph.arrays.libraries import to_numpy
from xpgraph.storage import atomic as storage
from xpgraph.storage import tensorfile
from xpgraph.storage.checkpoints import Checkpoints
from xpgraph.training.snapshot import snapshot

X, T = toy()


def make_trainer(optimizer="Adam", seed=0, place=None, dtype="float64", **sizes):
    """A trainer of a small net. ``seed``: of the weights; ``place``: where they lie."""
    W1, b1, W2, b2 = (a.astype(dtype) for a in weights(seed, **sizes))
    model = Chain(Affine(W1, b1), Sigmoid(), Affine(W2, b2), loss=SoftmaxWithLoss())
    return Trainer(model if place is None else model.to(place), MAKE[optimizer](lr=0.05), seed=3)


def train(trainer, epochs=2):
    trainer.fit(X, T, epochs, 8, eval_interval=2, report=Report())
    return trainer


def small(value=1.0, n=5):
    """(arrays, meta) of a checkpoint that no training wrote."""
    return {"weights.0.W": np.full((n, 3), value), "optimizer.iter": np.arange(n, dtype=np.int32)}, {"value": value}


def file_bytes(arrays, meta, step=1):
    return b"".join(bytes(piece) for piece in tensorfile.pieces(arrays, {"step": step, "state": meta}))


def value_of(found):
    """The value that ``small`` was made with, from all the places that it stands in."""
    values = {found.meta["value"], *found.arrays["weights.0.W"].ravel().tolist()}
    assert len(values) == 1, "a mixture of two checkpoints"
    return values.pop()


def fork():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads in the parent; the child uses none
        return os.fork()


class Calls:
    """The system calls of a save, counted; ``act(name, i)`` runs before call i and may fail or end the process."""

    NAMES = ("open", "write", "fsync", "close", "replace", "unlink", "listdir")

    def __init__(self, act=lambda name, i: None):
        self.log, self.act = [], act

    def __getattr__(self, name):
        real = getattr(os, name)
        if name not in self.NAMES:
            return real

        def call(*args, **kwargs):
            self.log.append(name)
            self.act(name, len(self.log) - 1)
            return real(*args, **kwargs)

        return call

    def into(self, monkeypatch):
        """Stand in for ``os`` where checkpoints are written."""
        from xpgraph.storage import checkpoints

        for module in (storage, checkpoints):
            monkeypatch.setattr(module, "os", self)
        return self


def through_a_file(tmp_path, trainer, more=None):
    """(arrays, meta) of a trainer's checkpoint, written to a file and read again."""
    with Checkpoints(tmp_path) as files:
        files.save(trainer.steps, *snapshot(trainer.state, more))
        found = files.latest()
    return found.arrays, found.meta


def params(trainer):
    return [np.array(to_numpy(p)) for p in trainer.model.params]


def same(a, b):
    """Assert that two trainers have the same bits, counts, losses and history."""
    assert [p.tobytes() for p in params(a)] == [p.tobytes() for p in params(b)]
    assert (
        a.eval_interval == b.eval_interval
        and a.loss_list == b.loss_list
        and (a.steps, a.current_epoch) == (b.steps, b.current_epoch)
    )
    histories = [[{**record, "seconds": 0} for record in each.history] for each in (a, b)]
    assert histories[0] == histories[1] and repr(a.optimizer) == repr(b.optimizer)
