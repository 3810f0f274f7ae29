"""``Trainer(checkpoint=..., every=...)``: fingerprints of the data, and wrong arguments."""

from __future__ import annotations

import numpy as np
import pytest
from checkpointing import T, X, make_trainer

import xpgraph as xg
from xpgraph.storage.checkpoints import Checkpoints, latest
from xpgraph.training.settings import fingerprint


def test_fingerprints():
    x, t = X.copy(), T.copy()
    one = fingerprint(x, t)
    assert one == fingerprint(np.asfortranarray(x), t) == fingerprint(np.tile(x, (1, 2))[:, : x.shape[1]], t)
    changed = x.copy()
    changed[-1, -1] = np.nextafter(changed[-1, -1], 9)
    others = [(changed, t), (x[::-1], t), (x.astype(np.float32), t), (x, t[::-1]), (x[:, :, None], t), (x[:-1], t[:-1])]
    prints = [fingerprint(*pair) for pair in others]
    assert len({one, *prints}) == 7


def test_an_open_checkpoints_object_is_used_as_it_is(tmp_path):
    with Checkpoints(tmp_path) as files:
        trainer = xg.Trainer(make_trainer().model, xg.Adam(0.05), checkpoint=files)
        assert trainer.checkpoint is files
        trainer.fit(X, T, 1, 32)
    assert latest(tmp_path).step == trainer.steps


def test_fingerprints_of_large_arrays_are_made_piece_by_piece(lib, monkeypatch):
    x = lib.place.asarray(np.arange(60_000.0).reshape(600, 100))
    whole = fingerprint(x)
    assert whole == fingerprint(np.arange(60_000.0).reshape(600, 100))
    big = np.zeros((3, 1 << 20))  # rows larger than a piece
    other = big.copy()
    other[2, -1] = 1e-300
    assert fingerprint(big) != fingerprint(other)


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"every": 0}, ValueError, "every is 0; give the number of steps"),
        ({"every": True}, ValueError, "every is True"),
        ({"every": 2.5}, ValueError, r"every is 2\.5"),
        ({"checkpoint": 3}, TypeError, "checkpoint is a int; give the path of a folder"),
    ],
)
def test_bad_arguments(options, error, told):
    with pytest.raises(error, match=told):
        xg.Trainer(make_trainer().model, xg.SGD(), **options)
