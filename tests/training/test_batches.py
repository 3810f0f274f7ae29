"""On the host, one call gathers the rows of several batches: every batch has the same rows as if gathered alone."""

import numpy as np
import pytest

import xpgraph as xg
from xpgraph.training import batches as batching


class Seen:
    """A model that records its batches, as copies and as they are; its one parameter does not change."""

    def __init__(self):
        self.params, self.grads, self.batches, self.held = [np.zeros(1)], [np.zeros(1)], [], []

    def forward(self, x, t):
        self.batches.append((x.copy(), t.copy()))
        self.held.append(x)
        return 0.0

    def backward(self):
        pass


def batches(staged, monkeypatch, n=23, size=4, epochs=2, drop_last=False, x=None):
    monkeypatch.setattr(batching, "GATHERED", staged)
    x = np.arange(n * 6, dtype=np.float64).reshape(n, 2, 3) if x is None else x
    model = Seen()
    trainer = xg.Trainer(model, xg.SGD(0.1), seed=3)
    trainer.fit(x, np.arange(n), epochs, size, eval_interval=None, drop_last=drop_last)
    return model


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("staged", [192 * 2, 192 * 3 + 5, 192 * 6, 1 << 21, 1 << 25])
def test_the_same_batches_however_many_are_gathered_at_once(staged, drop_last, monkeypatch):
    alone = batches(1, monkeypatch, drop_last=drop_last).batches
    model = batches(staged, monkeypatch, drop_last=drop_last)
    assert [len(x) for x, _ in alone] == ([4] * 5 if drop_last else [4] * 5 + [3]) * 2
    for (x, t), (x2, t2), held in zip(alone, model.batches, model.held, strict=True):
        assert np.array_equal(x, x2) and np.array_equal(t, t2)
        assert np.array_equal(x[:, 0, 0] / 6, t)
        assert np.array_equal(held, x)  # no later batch is written into its memory


def test_data_in_column_major_order(monkeypatch):
    x = np.asfortranarray(np.arange(23 * 6, dtype=np.float64).reshape(23, 6))
    for (a, _), (b, _) in zip(
        batches(1, monkeypatch, x=x).batches, batches(1 << 25, monkeypatch, x=x).batches, strict=True
    ):
        assert np.array_equal(a, b)


def test_batches_can_be_taken_in_any_order(monkeypatch):
    monkeypatch.setattr(batching, "GATHERED", 192 * 3)
    x = np.arange(23 * 6, dtype=np.float64).reshape(23, 2, 3)
    several = batching.Batches(x, np.arange(23), 4)
    several.begin_epoch(seed=0, epoch=0)
    assert several.at_once == 3
    for i in (4, 5, 2, 3, 4, 0):
        bx, bt = several.take(i)
        assert np.array_equal(bt, several.permutation[4 * i : 4 * i + 4])
        assert np.array_equal(bx, x[bt])
