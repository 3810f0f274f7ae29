"""A program that trains with checkpoints, ways to cut it off, and what must be equal after it has resumed."""

import os
import signal

import numpy as np
from checkpointing import T, X, fork, make_trainer

from xpgraph import Report
from xpgraph.arrays.libraries import dtype_name, to_numpy
from xpgraph.training import steps

SIGNALS = (signal.SIGINT, signal.SIGTERM)
EPOCHS, SIZE, ROWS, STEPS = 4, 7, 24, 16  # four batches an epoch, the last of three rows


class Cut(BaseException):
    """Raised by ``cut_at``, like the sudden end of a program."""


class RecordingReport(Report):
    """A report that shows nothing and records its notes."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def program(folder, every=3, place=None, seed=0, optimizer="Adam", epochs=EPOCHS, report=None, x=None, **fit):
    """A user's program, as it runs each time: it makes model and trainer, and calls ``fit``. Returns the trainer."""
    trainer = make_trainer(optimizer, seed=seed, place=place)
    trainer.checkpoint, trainer.every = folder, every
    kind = dtype_name(trainer.model.params[0])
    x = X[:ROWS].astype(kind) if x is None else x
    options = {"batch_size": SIZE, "max_grad": 0.5, "eval_interval": 3, "report": report or RecordingReport(), **fit}
    trainer.fit(x, T[:ROWS], epochs, **options)
    return trainer


def cut_at(monkeypatch, step, act=None):
    """Raise Cut after the update number ``step`` of any training, or call ``act()`` there."""
    count = steps.Steps.count

    def counted(self, loss, rows):
        count(self, loss, rows)
        if self.state.steps == step:
            if act is None:
                raise Cut
            act()

    monkeypatch.setattr(steps.Steps, "count", counted)


def bits(trainer):
    """Everything that a training has computed, except its seconds, to compare with ``==``."""
    state = trainer.optimizer.state
    arrays = [to_numpy(p) for p in trainer.model.params]
    for value in state.values():
        arrays += [to_numpy(a) for a in value] if isinstance(value, list) else []
    rest = {name: value for name, value in vars(trainer.optimizer).items() if isinstance(value, int | float)}
    history = [{**record, "seconds": 0} for record in trainer.history]
    return (
        [np.asarray(a).tobytes() for a in arrays],
        rest,
        trainer.steps,
        trainer.current_epoch,
        trainer.loss_list,
        history,
    )


def forked(work):
    """The process id of a forked child that does ``work()``. Exit code: 0, 130 or 143 (a signal), 70 (an error)."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until the child has its handlers
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
    """Wait for a child; its exit code, or minus the number of the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
