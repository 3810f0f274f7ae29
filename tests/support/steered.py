"""A training that callbacks steer, all of them with a state: it warms up, plateaus, stops early, and keeps its best."""

from __future__ import annotations

from checkpointing import T, X
from cutting import ROWS, bits, program

from xpgraph import Callback, EarlyStopping, KeepBest, Plateau, Schedule, schedules
from xpgraph.arrays.libraries import place_of, to_numpy

STEPS, BEST = 20, 2  # five epochs of four batches; the second is the best
_WRONG = T[:9].copy()
_WRONG[:2] = (_WRONG[:2] + 1) % 3
VALIDATION = X[:9], _WRONG


class Own(Callback):
    """A user's: it counts, keeps an array, takes a part of the weights away each third step, and adds to the record."""

    def __init__(self):
        self.count, self.mean, self.lists = 0, None, []

    def begin(self, state):
        if not state.resumed:
            self.__init__()

    def next_step(self, state):
        return (state.steps // 3 + 1) * 3

    def step(self, state):
        self.count += 1
        for p in state.model.params:
            p[...] = p - p * (0.001 * self.count)
        last = to_numpy(state.model.params[0])
        self.mean = last * 1.0 if self.mean is None else 0.9 * self.mean + 0.1 * last

    def epoch(self, state, record):
        self.lists.append(record["val_loss"])
        record["smooth"] = sum(self.lists) / len(self.lists) + 1e-9 * self.count
        if self.mean is not None:  # what it keeps comes back into the weights
            p = state.model.params[0]
            p[...] = p + place_of(p).asarray(1e-4 * self.mean.astype(to_numpy(p).dtype))

    @property
    def state(self):
        return {"count": self.count, "mean": self.mean, "lists": self.lists}

    def load_state(self, state):
        self.count, self.mean, self.lists = state["count"], state["mean"], list(state["lists"])


def callbacks():
    """New ones, in an order of the user's: the loop calls the schedule and the plateau first."""
    return [
        Own(), EarlyStopping(3), KeepBest(), Schedule(schedules.warmup(6), "step"), Plateau(1, 0.5),
    ]  # fmt: skip


def steered(folder, every=3, own=None, **more):
    """``program`` with these callbacks; the trainer, and the callbacks."""
    own = callbacks() if own is None else own
    options = {"epochs": 8, "validation": VALIDATION, "callbacks": own, **more}
    return program(folder, every, **options), own


def all_bits(by, own):
    """The bits of the training, with all that the callbacks remember."""
    told = [{**callback.state, "weights": 0, "mean": 0} for callback in own]
    arrays = [own[0].mean, *own[2].weights.values()]
    return bits(by), told, [to_numpy(a).tobytes() for a in arrays], by.state.stop_reason


__all__ = ["BEST", "ROWS", "STEPS", "VALIDATION", "Own", "all_bits", "callbacks", "steered"]
