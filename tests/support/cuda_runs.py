"""Small trainings on the CUDA path, and the comparison of their results."""

import numpy as np

import xpgraph as xg
from xpgraph import SGD, AdaGrad, Adam, Momentum, RMSprop, Trainer

OPTIMIZERS = {"sgd": SGD, "momentum": Momentum, "adagrad": AdaGrad, "rmsprop": RMSprop, "adam": Adam}
_rng = np.random.default_rng(3)
X, T = _rng.standard_normal((50, 12)).astype(np.float32), _rng.integers(0, 3, 50)


class Notes(xg.Report):
    """A report that records its notes and the reported losses."""

    def __init__(self):
        self.notes, self.lines = [], []

    def note(self, text):
        self.notes.append(text)

    def step(self, progress):
        self.lines.append(progress.loss)


def fit(cuda, optimizer, graph, sizes=(12, 9, 7, 3), model=None, epochs=4, batch_size=8, dtype="float32", **more):
    """Train an mlp on the device: (trainer, notes)."""
    model = model or xg.mlp(list(sizes), backend=cuda.place, dtype=dtype)
    trainer, notes = Trainer(model, optimizer), Notes()
    trainer.fit(X.astype(dtype), T, epochs, batch_size, eval_interval=5, report=notes, graph=graph, **more)
    return trainer, notes


def state(trainer):
    """Everything that a step changes: arrays on the host, losses, counts."""
    arrays = [*trainer.model.params]
    arrays += [a for slot in trainer.optimizer.slots for a in getattr(trainer.optimizer, slot)]
    return [xg.to_numpy(a) for a in arrays], trainer.loss_list, trainer.optimizer.iter, trainer.steps


def same(one, two):
    """Assert that two trainers ended with the same bits."""
    (a, *rest), (b, *more) = state(one), state(two)
    assert rest == more
    assert all(p.tobytes() == q.tobytes() for p, q in zip(a, b, strict=True))
