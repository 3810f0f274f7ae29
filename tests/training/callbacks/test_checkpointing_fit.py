"""fit with a folder: what it reports, numbers, refuses and writes, and when."""

from __future__ import annotations

import signal

import numpy as np
import pytest
from checkpointing import T, X, make_trainer, small
from cutting import ROWS, SIZE, STEPS, Cut, RecordingReport, bits, cut_at, program

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


def test_checkpoints_store_the_number_and_start_of_the_fit(tmp_path):
    trainer = make_trainer()
    trainer.checkpoint = tmp_path
    for number, start in ((1, 0), (2, 1), (3, 2)):
        trainer.fit(X[:ROWS], T[:ROWS], 1, SIZE, report=RecordingReport())
        assert more_of(tmp_path)["fit"] == {
            "number": number, "start": start, "stopped": False, "reason": None, "ended": True,
        }  # fmt: skip


def test_other_settings_in_a_second_fit_are_refused_by_that_fit(tmp_path, monkeypatch):
    """The first fit restores the checkpoint, in which it is finished; the second is the one that continues."""

    def fits(size):
        trainer = make_trainer()
        trainer.checkpoint, trainer.every = tmp_path, 1
        trainer.fit(X[:ROWS], T[:ROWS], 1, SIZE, report=RecordingReport())
        trainer.fit(X[:ROWS], T[:ROWS], 2, size, report=RecordingReport())
        return trainer

    with monkeypatch.context() as patch, pytest.raises(Cut):
        cut_at(patch, 6)
        fits(10)
    with pytest.raises(CheckpointError, match="began with batches of 10 rows, this fit has batches of 9 rows"):
        fits(9)
    fits(10)


def test_after_an_interrupt_other_settings_are_refused_and_the_same_fit_resumes(tmp_path, monkeypatch):
    trainer = make_trainer()
    trainer.checkpoint, trainer.every = tmp_path, 3
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        cut_at(patch, 6, lambda: signal.raise_signal(signal.SIGTERM))
        trainer.fit(X[:ROWS], T[:ROWS], 3, SIZE, max_grad=0.5, eval_interval=3, report=RecordingReport())
    before = bits(trainer)
    with pytest.raises(CheckpointError, match=f"began with batches of {SIZE} rows, this fit has batches of 9 rows"):
        trainer.fit(X[:ROWS], T[:ROWS], 3, 9, max_grad=0.5, eval_interval=3, report=RecordingReport())
    assert bits(trainer) == before
    trainer.fit(X[:ROWS], T[:ROWS], 3, SIZE, max_grad=0.5, eval_interval=3, report=RecordingReport())
    assert bits(trainer) == bits(program(None, epochs=3))


def test_a_finished_fit_reports_what_an_interrupted_save_had_left(tmp_path):
    program(tmp_path)
    (tmp_path / f".left{storage.PARTIAL}").write_text("")
    report = RecordingReport()
    program(tmp_path, report=report)
    assert report.notes[0] == "removed .left.partial, which a save that was cut off had left"
    assert len(report.notes) == 3 and "nothing is left to do" in report.notes[-1]


def test_each_finished_fit_is_reported_once_and_not_written_again(tmp_path):
    done = "these epochs were finished before; nothing is left to do"

    def fits(first, second):
        trainer, report = make_trainer(), RecordingReport()
        trainer.checkpoint = tmp_path
        trainer.fit(X[:ROWS], T[:ROWS], first, SIZE, report=report)
        trainer.fit(X[:ROWS], T[:ROWS], second, SIZE, report=report, on_epoch=lambda trainer, record: trainer.stop())
        return trainer.current_epoch, [note.endswith(done) for note in report.notes].count(True)

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
    report = RecordingReport()
    assert program(folder, epochs=2, report=report).current_epoch == 4
    assert report.notes[-1].endswith(done)


def test_a_resumed_fit_does_not_write_the_checkpoint_that_it_has_read(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(Cut):
        cut_at(patch, 7)
        program(tmp_path)
    steps, save = [], Checkpoints.save
    monkeypatch.setattr(Checkpoints, "save", lambda self, step, *rest: (steps.append(step), save(self, step, *rest))[1])
    program(tmp_path)
    assert steps[0] == 9, steps


def test_a_checkpoint_that_no_fit_wrote_is_refused(tmp_path):
    with Checkpoints(tmp_path) as files:
        files.save(4, *small())
    assert program(tmp_path).steps > 4  # it holds no weights: a run that ended before it had a model
    for more in (None, {"fit": {}, "settings": {}}):
        folder = tmp_path / str(more is None)
        with Checkpoints(folder) as files:
            files.save(4, *snapshot(make_trainer().state, more))
        with pytest.raises(CheckpointError, match="was not written by a fit; give another folder"):
            program(folder)


@pytest.mark.parametrize(("seconds", "saved"), [(59.0, [0, 6, 12]), (60.0, [0, 3, 6, 9, 12]), (29.0, [0, 9, 12])])
def test_without_every_the_end_of_an_epoch_a_minute_later_is_saved(tmp_path, monkeypatch, seconds, saved):
    clock, steps, save = [0.0], [], Checkpoints.save

    def noted(self, step, *rest):
        steps.append(step)
        return save(self, step, *rest)

    def later(trainer, record):
        clock[0] += seconds

    monkeypatch.setattr(Checkpoints, "save", noted)
    monkeypatch.setattr(checkpointing.time, "monotonic", lambda: clock[0])
    trainer = make_trainer()
    trainer.checkpoint = tmp_path
    trainer.fit(X[:21], T[:21], 4, SIZE, report=RecordingReport(), on_epoch=later)
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
    """Also a signal that comes in ``on_epoch``, or after the last epoch."""

    def stop(trainer, record):
        if record["epoch"] == epoch:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(SystemExit) as caught:
        program(tmp_path, every, on_epoch=stop)
    assert caught.value.code == 143
    assert caught.value.__notes__ == [f"step {4 * epoch} is saved in {tmp_path}"]
    assert latest(tmp_path).step == 4 * epoch
    assert bits(program(tmp_path, every)) == bits(program(None))


def test_an_old_checkpoint_that_cannot_be_removed_is_reported_at_once(tmp_path, monkeypatch):
    report, told = RecordingReport(), []

    def refuse(path):
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(checkpoints.os, "unlink", refuse)
    program(tmp_path, report=report, on_epoch=lambda trainer, record: told.append(len(report.notes)))
    assert told == [0, 1, 2, 4]  # after the saves of steps 6, 9, 12 and 15
    assert set(report.notes) == {f"an old checkpoint of {tmp_path} cannot be removed: Permission denied"}
    program(tmp_path / "silent", report=Report())  # nothing is lost: no warning, which would be an error here


def test_after_a_signal_during_the_last_save_nothing_is_left_to_do(tmp_path, monkeypatch):
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
    report = RecordingReport()
    assert bits(program(tmp_path, 100, report=report)) == bits(program(None))
    assert report.notes[-1].endswith("nothing is left to do")


def test_the_fingerprint_of_the_data_is_that_of_x_and_t(tmp_path):
    program(tmp_path, epochs=0)
    one, other = settings.fingerprint(X[:ROWS], T[:ROWS]), settings.fingerprint(T[:ROWS], X[:ROWS])
    assert more_of(tmp_path)["settings"]["data"] == one != other
