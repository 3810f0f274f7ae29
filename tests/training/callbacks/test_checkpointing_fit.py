"""What a fit with a folder tells, numbers and refuses, and when the end of an epoch is worth a checkpoint."""

from __future__ import annotations

import signal

import numpy as np
import pytest
from checkpointing import T, X, small, trainer
from cutting import ROWS, SIZE, STEPS, Cut, Told, bits, cut_at, program

from xpgraph import Report
from xpgraph.errors import CheckpointError
from xpgraph.storage import atomic as storage
from xpgraph.storage import checkpoints
from xpgraph.storage.checkpoints import Checkpoints, latest
from xpgraph.storage.packing import unpack
from xpgraph.training import settings
from xpgraph.training.callbacks import checkpointing
from xpgraph.training.snapshot import snapshot


def more_of(folder):
    found = latest(folder)
    return unpack(found.meta["more"], found.arrays)


def test_fits_are_numbered_from_one_and_say_where_they_began(tmp_path):
    by = trainer()
    by.checkpoint = tmp_path
    for number, start in ((1, 0), (2, 1), (3, 2)):
        by.fit(X[:ROWS], T[:ROWS], 1, SIZE, report=Told())
        assert more_of(tmp_path)["fit"] == {
            "number": number, "start": start, "stopped": False, "reason": None, "ended": True,
        }  # fmt: skip


def test_a_second_fit_that_is_another_is_refused_in_its_turn(tmp_path, monkeypatch):
    """The checkpoint is restored by the first fit, which is finished in it; the second is the one it stands in."""

    def fits(size):
        by = trainer()
        by.checkpoint, by.every = tmp_path, 1
        by.fit(X[:ROWS], T[:ROWS], 1, SIZE, report=Told())
        by.fit(X[:ROWS], T[:ROWS], 2, size, report=Told())
        return by

    with monkeypatch.context() as patch, pytest.raises(Cut):
        cut_at(patch, 6)
        fits(10)
    with pytest.raises(CheckpointError, match="began with batches of 10 rows, this fit has batches of 9 rows"):
        fits(9)
    fits(10)


def test_another_fit_after_an_interrupt_is_refused_and_the_same_goes_on(tmp_path, monkeypatch):
    by = trainer()
    by.checkpoint, by.every = tmp_path, 3
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        cut_at(patch, 6, lambda: signal.raise_signal(signal.SIGTERM))
        by.fit(X[:ROWS], T[:ROWS], 3, SIZE, max_grad=0.5, eval_interval=3, report=Told())
    before = bits(by)
    with pytest.raises(CheckpointError, match=f"began with batches of {SIZE} rows, this fit has batches of 9 rows"):
        by.fit(X[:ROWS], T[:ROWS], 3, 9, max_grad=0.5, eval_interval=3, report=Told())
    assert bits(by) == before
    by.fit(X[:ROWS], T[:ROWS], 3, SIZE, max_grad=0.5, eval_interval=3, report=Told())
    assert bits(by) == bits(program(None, epochs=3))


def test_what_a_cut_off_save_left_is_told_by_a_fit_that_has_nothing_to_do(tmp_path):
    program(tmp_path)
    (tmp_path / f".left{storage.PARTIAL}").write_text("")
    report = Told()
    program(tmp_path, report=report)
    assert report.notes[0] == "removed .left.partial, which a save that was cut off had left"
    assert len(report.notes) == 3 and "nothing is left to do" in report.notes[-1]


def test_what_was_finished_is_told_once_a_fit_and_written_no_more(tmp_path):
    done = "these epochs were finished before; nothing is left to do"

    def fits(first, second):
        by, report = trainer(), Told()
        by.checkpoint = tmp_path
        by.fit(X[:ROWS], T[:ROWS], first, SIZE, report=report)
        by.fit(X[:ROWS], T[:ROWS], second, SIZE, report=report, on_epoch=lambda by, record: by.stop())
        return by.current_epoch, [note.endswith(done) for note in report.notes].count(True)

    assert fits(2, 3) == (3, 0)  # the second is stopped after its first epoch
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.suffix == ".safetensors"}
    assert fits(2, 3) == (3, 2)
    assert fits(1, 3) == (3, 2)  # the first was finished, whatever it is now
    assert fits(2, 0) == (3, 1)  # nothing is asked for, and nothing told
    assert before == {
        path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.suffix == ".safetensors"
    }
    folder = tmp_path / "shorter"
    program(folder)
    report = Told()
    assert program(folder, epochs=2, report=report).current_epoch == 4
    assert report.notes[-1].endswith(done)


def test_a_fit_that_goes_on_does_not_write_again_what_it_has_read(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Cut):
        cut_at(patch, 7)
        program(tmp_path)
    steps, save = [], Checkpoints.save
    monkeypatch.setattr(Checkpoints, "save", lambda self, step, *rest: (steps.append(step), save(self, step, *rest))[1])
    program(tmp_path)
    assert steps[0] == 9, steps


def test_a_checkpoint_that_no_fit_wrote_is_refused(tmp_path):
    with Checkpoints(tmp_path) as kept:
        kept.save(4, *small())
    assert program(tmp_path).steps > 4  # it holds no weights: a run that ended before it had a model
    for more in (None, {"fit": {}, "settings": {}}):
        folder = tmp_path / str(more is None)
        with Checkpoints(folder) as kept:
            kept.save(4, *snapshot(trainer().state, more))
        with pytest.raises(CheckpointError, match="was not written by a fit; give another folder"):
            program(folder)


@pytest.mark.parametrize(("seconds", "saved"), [(59.0, [0, 6, 12]), (60.0, [0, 3, 6, 9, 12]), (29.0, [0, 9, 12])])
def test_without_every_the_end_of_an_epoch_a_minute_later_is_saved(tmp_path, monkeypatch, seconds, saved):
    clock, steps, save = [0.0], [], Checkpoints.save

    def noted(self, step, *rest):
        steps.append(step)
        return save(self, step, *rest)

    def later(by, record):
        clock[0] += seconds

    monkeypatch.setattr(Checkpoints, "save", noted)
    monkeypatch.setattr(checkpointing.time, "monotonic", lambda: clock[0])
    by = trainer()
    by.checkpoint = tmp_path
    by.fit(X[:21], T[:21], 4, SIZE, report=Told(), on_epoch=later)
    assert steps == saved


def test_a_fingerprint_is_that_of_the_bytes_with_shape_and_kind():
    x = np.arange(6.0).reshape(2, 3)
    found = settings.hashlib.sha256(b"(2, 3)<f8" + x.tobytes()).hexdigest()
    assert settings.fingerprint(x) == settings.fingerprint(x.T.copy().T) == found
    both = settings.hashlib.sha256(b"(2, 3)<f8" + x.tobytes() + b"(1,)|i1" + b"\7").hexdigest()
    assert settings.fingerprint(x, np.array([7], np.int8)) == both


def test_a_piece_of_a_fingerprint_holds_four_million_values(monkeypatch):
    rows, real = [], settings.to_numpy
    monkeypatch.setattr(settings, "to_numpy", lambda a: (rows.append(a.shape[0]), real(a))[1])
    settings.fingerprint(np.zeros((10, 1 << 17)))  # of 8 bytes: four rows are 4 MiB
    assert rows == [4, 4, 2]
    rows.clear()
    settings.fingerprint(np.zeros((2, 1 << 20)), np.zeros(3), np.zeros((3, 0)))
    assert rows == [1, 1, 3, 3]


@pytest.mark.parametrize("epoch", [1, 3, 4])
@pytest.mark.parametrize("every", [None, 2, 100])
def test_a_signal_between_two_epochs_ends_the_fit_there(tmp_path, epoch, every):
    """After ``on_epoch``, and after the last epoch too: what came is never forgotten."""

    def stop(by, record):
        if record["epoch"] == epoch:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(SystemExit) as caught:
        program(tmp_path, every, on_epoch=stop)
    assert caught.value.code == 143
    assert caught.value.__notes__ == [f"step {4 * epoch} is saved in {tmp_path}"]
    assert latest(tmp_path).step == 4 * epoch
    assert bits(program(tmp_path, every)) == bits(program(None))


def test_an_old_checkpoint_that_cannot_be_removed_is_told_when_it_happens(tmp_path, monkeypatch):
    report, told = Told(), []

    def refuse(path):
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(checkpoints.os, "unlink", refuse)
    program(tmp_path, report=report, on_epoch=lambda by, record: told.append(len(report.notes)))
    assert told == [0, 1, 2, 4]  # after the saves of steps 6, 9, 12 and 15
    assert set(report.notes) == {f"an old checkpoint of {tmp_path} cannot be removed: Permission denied"}
    program(tmp_path / "silent", report=Report())  # nothing is lost: no warning, which would be an error here


def test_a_signal_during_the_last_save_ends_the_program_and_nothing_is_left_to_do(tmp_path, monkeypatch):
    save = Checkpoints.save

    def interrupted(self, step, *rest):
        path = save(self, step, *rest)
        if step == STEPS:
            signal.raise_signal(signal.SIGINT)
        return path

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt) as caught:
        patch.setattr(Checkpoints, "save", interrupted)
        program(tmp_path, 100)
    assert caught.value.__notes__ == [f"step {STEPS} is saved in {tmp_path}"]
    report = Told()
    assert bits(program(tmp_path, 100, report=report)) == bits(program(None))
    assert report.notes[-1].endswith("nothing is left to do")


def test_the_data_of_a_fit_are_its_x_and_its_t(tmp_path):
    program(tmp_path, epochs=0)
    one, other = settings.fingerprint(X[:ROWS], T[:ROWS]), settings.fingerprint(T[:ROWS], X[:ROWS])
    assert more_of(tmp_path)["settings"]["data"] == one != other
