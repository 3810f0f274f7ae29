"""Programs with checkpoints: what they set between two fits and in ``on_epoch``, and what their own nodes hold."""

from __future__ import annotations

import numpy as np
import pytest
from checkpointing import T, X, make_trainer
from cutting import ROWS, SIZE, Cut, RecordingReport, bits, cut_at, program

from xpgraph import Adam, Affine, Chain, Node, SoftmaxWithLoss, Trainer
from xpgraph.errors import CheckpointError, NonFiniteError
from xpgraph.storage.checkpoints import latest
from xpgraph.training import steps


def cut_and_again(monkeypatch, step, work):
    """``work()`` cut off at a step, and run again."""
    with monkeypatch.context() as patch, pytest.raises(Cut):
        cut_at(patch, step)
        work()
    return work()


def test_lines_between_two_fits_do_not_undo_what_the_checkpoint_restored(tmp_path, monkeypatch):
    def slower(trainer, record):
        trainer.optimizer.lr *= 0.5

    def work(folder):
        trainer = make_trainer(seed=1)
        trainer.checkpoint, trainer.every = folder, 1
        trainer.fit(X[:ROWS], T[:ROWS], 1, SIZE, report=RecordingReport())
        trainer.optimizer.lr = 0.01
        trainer.fit(X[:ROWS], T[:ROWS], 1, SIZE, report=RecordingReport())
        trainer.optimizer.lr = 0.02
        trainer.fit(X[:ROWS], T[:ROWS], 2, SIZE, report=RecordingReport(), on_epoch=slower)
        return trainer

    straight = bits(work(None))
    for step in range(1, 17):  # from 13 on, the smaller rate stands in the checkpoint
        assert bits(cut_and_again(monkeypatch, step, lambda step=step: work(tmp_path / str(step)))) == straight


def test_a_trainer_of_another_seed_is_refused(tmp_path):
    def work(seed):
        trainer = Trainer(make_trainer().model, Adam(0.05), seed=seed, checkpoint=tmp_path)
        trainer.fit(X[:ROWS], T[:ROWS], 1, SIZE, report=RecordingReport())

    work(1)
    with pytest.raises(CheckpointError, match="began with seed 1, this fit has seed 2"):
        work(2)


@pytest.mark.parametrize("every", [0, -1, 2.5, "x"])
def test_every_is_checked_when_a_fit_begins(tmp_path, every):
    trainer = make_trainer()
    trainer.checkpoint, trainer.every = tmp_path, every
    with pytest.raises(ValueError, match="Trainer: every is"):
        trainer.fit(X[:ROWS], T[:ROWS], 1, SIZE, report=RecordingReport())


def test_a_stop_within_an_epoch_is_restored(tmp_path, monkeypatch):
    class Stops(RecordingReport):
        def step(self, progress):
            if (progress.epoch, progress.iteration) == (2, 1):  # once: who goes on after it has to know
                self.trainer.stop()

    def work(folder):
        trainer, report = make_trainer(), Stops()
        trainer.checkpoint, trainer.every, report.trainer = folder, 1, trainer
        trainer.fit(X[:ROWS], T[:ROWS], 4, SIZE, eval_interval=1, report=report)
        return trainer

    straight = bits(work(None))
    assert straight[2] == 8
    for step in range(5, 9):
        assert bits(cut_and_again(monkeypatch, step, lambda step=step: work(tmp_path / str(step)))) == straight


def test_on_a_device_non_finite_losses_end_the_fit_before_good_checkpoints_are_replaced(lib, tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "on_host", lambda a: False)  # as on a GPU: nobody looks at a loss before the epoch's end
    trainer = make_trainer(place=lib.place)
    trainer.checkpoint, trainer.every = tmp_path, 1
    with monkeypatch.context() as patch, pytest.raises(NonFiniteError, match=r"step 8 (was|the loss is) nan"):
        cut_at(patch, 7, lambda: [p.__setitem__(..., p * float("nan")) for p in trainer.model.params])
        trainer.fit(X[:ROWS], T[:ROWS], 1, 2, eval_interval=None, report=RecordingReport())
    assert latest(tmp_path).step == 7
    before = sorted(tmp_path.glob("*.safetensors"))[0]
    assert before.name == "checkpoint-000006.safetensors"


class Drop(Node):
    """A user's own node, with generators in a list and in a dict."""

    def __init__(self):
        super().__init__()
        self.first, self.others = [np.random.default_rng(1)], {"deep": (np.random.RandomState(2),)}

    def forward(self, x):
        self.mask = (self.first[0].random(x.shape) + self.others["deep"][0].random_sample(x.shape) > 0.5) * 1.0
        return x * self.mask

    def backward(self, dout):
        return dout * self.mask


def test_generators_in_lists_and_dicts_of_a_node_are_restored(tmp_path, monkeypatch):
    def work(folder):
        W1, b1, W2, b2 = make_trainer().model.params
        model = Chain(Affine(W1, b1), Drop(), Affine(W2, b2), loss=SoftmaxWithLoss())
        trainer = Trainer(model, Adam(0.05), checkpoint=folder, every=2)
        trainer.fit(X[:ROWS], T[:ROWS], 2, SIZE, report=RecordingReport())
        return trainer

    straight = bits(work(None))
    assert bits(cut_and_again(monkeypatch, 5, lambda: work(tmp_path))) == straight


def test_a_record_that_a_checkpoint_cannot_hold_is_refused_when_it_is_saved(tmp_path):
    with pytest.raises(CheckpointError, match="found a name that is neither text nor a whole number"):
        program(tmp_path, 1, on_epoch=lambda trainer, record: record.update({(1, 2): 3.0}))
    assert latest(tmp_path).step == 3
