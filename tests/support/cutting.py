"""A program that trains with checkpoints and is cut off, at a step, by a signal or a kill; what must be the same."""

import os
import signal

import numpy as np
from checkpointing import T, X, fork, trainer

from xpgraph import Report
from xpgraph.arrays.libraries import dtype_name, to_numpy
from xpgraph.training import steps

SIGNALS = (signal.SIGINT, signal.SIGTERM)
EPOCHS, SIZE, ROWS, STEPS = 4, 7, 24, 16  # four batches an epoch, the last of three rows


class Cut(BaseException):
    """The end of a program."""


class Told(Report):
    """A report that keeps its notes."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def program(folder, every=3, place=None, seed=0, optimizer="Adam", epochs=EPOCHS, report=None, x=None, **fit):
    """Run from the top, as a user would run it again: everything is made anew."""
    by = trainer(optimizer, seed=seed, place=place)
    by.checkpoint, by.every = folder, every
    kind = dtype_name(by.model.params[0])
    x = X[:ROWS].astype(kind) if x is None else x
    options = {"batch_size": SIZE, "max_grad": 0.5, "eval_interval": 3, "report": report or Told(), **fit}
    by.fit(x, T[:ROWS], epochs, **options)
    return by


def cut_at(monkeypatch, step, act=None):
    """Whoever trains is cut off after the update number ``step``; or ``act()`` is called there."""
    count = steps.Steps.count

    def counted(self, loss, rows):
        count(self, loss, rows)
        if self.state.steps == step:
            if act is None:
                raise Cut
            act()

    monkeypatch.setattr(steps.Steps, "count", counted)


def bits(by):
    """All that a training has come to, less its seconds, as bytes and words."""
    state = by.optimizer.state
    arrays = [to_numpy(p) for p in by.model.params]
    for value in state.values():
        arrays += [to_numpy(a) for a in value] if isinstance(value, list) else []
    rest = {name: value for name, value in vars(by.optimizer).items() if isinstance(value, int | float)}
    history = [{**record, "seconds": 0} for record in by.history]
    return [np.asarray(a).tobytes() for a in arrays], rest, by.steps, by.current_epoch, by.loss_list, history


def forked(work):
    """The process id of a child that does ``work()`` and ends: 0, 130 or 143 if a signal ended it, 70 for a fault."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until the child can take them
    child = fork()
    if child:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        return child
    code = 70
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, _terminated)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        work()
        code = 0
    except KeyboardInterrupt:
        code = 130
    except SystemExit as error:
        code = error.code
    finally:
        os._exit(code)


def _terminated(number, frame):
    raise SystemExit(128 + number)


def ended(child):
    """How a child ended: its exit code, or less than 0 for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
