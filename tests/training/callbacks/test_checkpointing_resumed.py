"""``Trainer(checkpoint=...)``: a program that was cut off and is run again ends with the same bits, or is refused."""

from __future__ import annotations

import signal
from types import SimpleNamespace

import numpy as np
import pytest
from checkpointing import T, X, make_trainer
from cutting import EPOCHS, ROWS, SIZE, STEPS, Cut, RecordingReport, bits, cut_at, program

from xpgraph import Report
from xpgraph.arrays.libraries import to_numpy
from xpgraph.errors import CheckpointError, FolderInUseError, StorageError
from xpgraph.storage import atomic as storage
from xpgraph.storage import checkpoints
from xpgraph.storage.checkpoints import Checkpoints, latest
from xpgraph.training import environment
from xpgraph.training.callbacks import checkpointing
from xpgraph.training.snapshot import snapshot


def cut_off(monkeypatch, step, run):
    with monkeypatch.context() as patch, pytest.raises(Cut):
        cut_at(patch, step)
        run()


@pytest.mark.parametrize("every", [1, 3, 5])
def test_cut_off_after_any_step_and_run_again(tmp_path, monkeypatch, every):
    straight = bits(program(None))
    assert bits(program(tmp_path / "straight", every)) == straight  # to write checkpoints changes nothing
    for step in range(1, STEPS + 1):
        folder = tmp_path / str(step)
        cut_off(monkeypatch, step, lambda folder=folder: program(folder, every))
        saved = latest(folder).step
        assert step - every <= saved < step if every > 1 else saved == step - 1
        report = RecordingReport()
        assert bits(program(folder, every, seed=5, report=report)) == straight
        assert report.notes == [f"going on from {folder}/checkpoint-{saved:06}.safetensors at step {saved}"]


@pytest.mark.parametrize("fit", [{"drop_last": True}, {"max_grad": None}, {"eval_interval": None}, {"batch_size": 50}])
@pytest.mark.parametrize("optimizer", ["SGD", "Momentum", "AdaGrad", "RMSprop", "Adam"])
def test_every_optimizer_and_option(tmp_path, monkeypatch, optimizer, fit):
    straight = bits(program(None, optimizer=optimizer, **fit))
    step = straight[2] // 2
    cut_off(monkeypatch, step, lambda: program(tmp_path, 1, optimizer=optimizer, **fit))
    assert bits(program(tmp_path, 1, optimizer=optimizer, seed=8, **fit)) == straight


def test_runs_resume_on_every_backend_and_from_one_to_another(lib, tmp_path, monkeypatch):
    straight = program(None, place=lib.place)
    cut_off(monkeypatch, 6, lambda: program(tmp_path / "a", 2, place=lib.place))
    assert bits(program(tmp_path / "a", 2, place=lib.place, seed=5)) == bits(straight)
    cut_off(monkeypatch, 6, lambda: program(tmp_path / "b", 2, place=lib.place))
    report = RecordingReport()
    there = program(tmp_path / "b", 2, report=report)
    for a, b in zip(there.model.params, straight.model.params, strict=True):
        np.testing.assert_allclose(to_numpy(a), to_numpy(b), rtol=1e-9, atol=1e-12)
    assert lib.place.library.name == "numpy" or any("made with backend" in note for note in report.notes)


def two_fits(folder, every=2):
    """A program of two fits, with a smaller rate and another batch size in the second."""
    trainer = make_trainer(seed=1)
    trainer.checkpoint, trainer.every = folder, every
    told = []
    trainer.fit(X[:ROWS], T[:ROWS], 2, SIZE, report=Report(), on_epoch=lambda _, record: told.append(record["epoch"]))
    trainer.optimizer.lr = 0.01
    trainer.fit(X[:ROWS], T[:ROWS], 2, 10, report=Report(), on_epoch=lambda _, record: told.append(record["epoch"]))
    return trainer, told


def test_a_program_of_two_fits_resumes_in_the_fit_that_was_cut_off(tmp_path, monkeypatch):
    straight, told = two_fits(None)
    assert told == [1, 2, 3, 4] and straight.steps == 14
    for step in range(1, 15):
        folder = tmp_path / str(step)
        cut_off(monkeypatch, step, lambda folder=folder: two_fits(folder))
        again, told = two_fits(folder)
        assert bits(again) == bits(straight)
        assert told == list(range(told[0] if told else 5, 5))  # what was finished is not made again
    again, told = two_fits(folder)
    assert told == [] and bits(again) == bits(straight)


def test_a_finished_training_makes_no_step_and_changes_nothing(tmp_path):
    straight = program(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.safetensors")}
    report = RecordingReport()
    again = program(tmp_path, seed=5, report=report)
    assert bits(again) == bits(straight)
    assert report.notes[-1] == f"{tmp_path}: these epochs were finished before; nothing is left to do"
    assert before == {path.name: path.read_bytes() for path in tmp_path.glob("*.safetensors")}


def test_max_epoch_may_be_larger_in_a_resumed_run(tmp_path):
    program(tmp_path, epochs=2)
    assert bits(program(tmp_path, seed=5)) == bits(program(None))


def test_a_run_that_on_epoch_has_stopped_stays_stopped(tmp_path, monkeypatch):
    def stop(trainer, record):
        if record["epoch"] == 2:
            trainer.stop()

    straight = program(None, on_epoch=stop)
    assert straight.current_epoch == 2
    cut_off(monkeypatch, 6, lambda: program(tmp_path, on_epoch=stop))
    assert bits(program(tmp_path, on_epoch=stop)) == bits(straight)
    assert bits(program(tmp_path, on_epoch=stop)) == bits(straight)


def test_when_checkpoints_are_written(tmp_path, monkeypatch):
    saved = []
    save = Checkpoints.save

    def noted(self, step, *rest):
        saved.append(step)
        return save(self, step, *rest)

    monkeypatch.setattr(Checkpoints, "save", noted)
    for every, pause, steps in (
        (1, 60, [*range(17)]), (3, 60, [0, 3, 6, 9, 12, 15, 16]), (5, 60, [0, 5, 10, 15, 16]), (100, 60, [0, 16]),
        (None, 60, [0, 16]), (None, 0, [0, 4, 8, 12, 16]),
    ):  # fmt: skip
        monkeypatch.setattr(checkpointing, "INTERVAL", pause)
        saved.clear()
        program(tmp_path / f"{every}-{pause}", every)
        assert saved == steps


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"batch_size": 8}, "began with batches of 7 rows, this fit has batches of 8 rows"),
        ({"drop_last": True}, "began with drop_last=False, this fit has drop_last=True"),
        ({"max_grad": 0.25}, "began with max_grad=0.5, this fit has max_grad=0.25"),
        ({"x": X[:ROWS] + 1.0}, "began with data of sha256 [0-9a-f]{12}, this fit has data of sha256"),
        ({"optimizer": "SGD"}, "holds the state of Adam, the trainer has SGD"),
    ],
)
def test_other_settings_are_refused_and_change_nothing(tmp_path, monkeypatch, change, told):
    cut_off(monkeypatch, 7, lambda: program(tmp_path))
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.safetensors")}
    with pytest.raises(CheckpointError, match=told):
        program(tmp_path, **change)
    assert before == {path.name: path.read_bytes() for path in tmp_path.glob("*.safetensors")}
    assert bits(program(tmp_path)) == bits(program(None))


def test_a_trainer_that_has_made_steps_is_refused_for_a_folder_with_checkpoints(tmp_path):
    program(tmp_path)
    trainer = program(None)
    before = bits(trainer)
    trainer.checkpoint = tmp_path
    with pytest.raises(CheckpointError, match=r"has made 16 steps.*which of them should continue"):
        trainer.fit(X[:ROWS], T[:ROWS], 1, SIZE, report=Report())
    assert bits(trainer) == before


def test_a_checkpoint_written_by_another_run_between_two_fits_is_refused(tmp_path):
    trainer = program(tmp_path, epochs=2)
    program(tmp_path, epochs=3)
    with pytest.raises(CheckpointError, match=r"checkpoint of step 12, but this trainer wrote that of step 8"):
        trainer.fit(X[:ROWS], T[:ROWS], 2, SIZE, report=Report())


def test_a_checkpoint_that_no_fit_has_written_is_refused(tmp_path):
    trainer = make_trainer()
    with Checkpoints(tmp_path) as files:
        files.save(0, *snapshot(trainer.state))
    with pytest.raises(CheckpointError, match="was not written by a fit"):
        program(tmp_path)


def test_a_second_run_in_the_folder_is_refused(tmp_path):
    def second(trainer, record):
        with pytest.raises(FolderInUseError):
            program(tmp_path)

    program(tmp_path, epochs=1, on_epoch=second)
    assert bits(program(tmp_path)) == bits(program(None))  # and the folder is let go of


def test_a_save_that_fails_ends_the_training_and_the_older_checkpoint_is_there(tmp_path, monkeypatch):
    def full():
        patch.setattr(storage, "_write", no_room)

    def no_room(file, view):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(StorageError, match=r"No space left on device; older files"):
        cut_at(patch, 7, full)
        program(tmp_path)
    assert latest(tmp_path).step == 6
    assert bits(program(tmp_path)) == bits(program(None))


def test_a_damaged_checkpoint_is_reported_and_the_one_before_is_used(tmp_path, monkeypatch):
    cut_off(monkeypatch, 7, lambda: program(tmp_path))
    newest = tmp_path / "checkpoint-000006.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    report = RecordingReport()
    assert bits(program(tmp_path, report=report)) == bits(program(None))
    assert [line for line in report.notes if "going on from checkpoint-000003.safetensors, the one before" in line]


def test_another_blas_is_reported(tmp_path, monkeypatch):
    cut_off(monkeypatch, 7, lambda: program(tmp_path))
    monkeypatch.setattr(environment, "arithmetic", lambda: {"BLAS": "other 1.0", "BLAS threads": "64"})
    report = RecordingReport()
    program(tmp_path, report=report)
    assert len(report.notes) == 3
    assert report.notes[1].endswith("this is other 1.0: the last bits may differ")
    assert "made with BLAS threads" in report.notes[2]


def test_config_settings_and_arithmetic_are_in_the_checkpoint(tmp_path):
    trainer = make_trainer()
    trainer.checkpoint, trainer.config = tmp_path, {"text": "汉字", "rate": 0.5, "none": None}
    trainer.fit(X[:ROWS], T[:ROWS], 1, SIZE, report=Report())
    found = latest(tmp_path)
    from xpgraph.storage.packing import unpack

    more = unpack(found.meta["more"], found.arrays)
    assert more["config"] == trainer.config and more["settings"]["rows"] == ROWS
    assert more["arithmetic"]["BLAS"]


def test_a_fit_of_no_epochs_can_be_followed_by_one_of_more(tmp_path):
    trainer = program(tmp_path, epochs=0)
    assert trainer.steps == 0 and latest(tmp_path).step == 0
    assert EPOCHS and bits(program(tmp_path)) == bits(program(None))


def test_the_same_fit_called_again_after_an_interrupt_resumes(tmp_path, monkeypatch):
    trainer = make_trainer()
    trainer.checkpoint, trainer.every = tmp_path, 100
    fit = {"batch_size": SIZE, "max_grad": 0.5, "eval_interval": 3, "report": Report()}
    for step in (2, 8, 11):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            cut_at(patch, step, lambda: signal.raise_signal(signal.SIGINT))
            trainer.fit(X[:ROWS], T[:ROWS], EPOCHS, **fit)
        assert trainer.steps == latest(tmp_path).step == step
    trainer.fit(X[:ROWS], T[:ROWS], EPOCHS, **fit)
    assert bits(trainer) == bits(program(None))


def test_a_run_resumes_after_an_error_in_on_epoch(tmp_path):
    def fail(trainer, record):
        raise RuntimeError("a fault of the reader's own")

    trainer = make_trainer()
    trainer.checkpoint = tmp_path
    with pytest.raises(RuntimeError, match="own"):
        trainer.fit(X[:ROWS], T[:ROWS], EPOCHS, SIZE, max_grad=0.5, eval_interval=3, report=Report(), on_epoch=fail)
    assert bits(program(tmp_path)) == bits(program(None))


def test_too_little_disk_space_is_found_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints.shutil, "disk_usage", lambda folder: SimpleNamespace(free=5000))
    trainer = make_trainer()
    trainer.checkpoint = tmp_path
    with pytest.raises(StorageError, match=r"checkpoints need 0\.\d MiB more, 0\.0 MiB are free; make room"):
        trainer.fit(X[:ROWS], T[:ROWS], EPOCHS, SIZE, max_grad=0.5, report=Report())
    assert trainer.steps == 0
    monkeypatch.undo()
    assert bits(program(tmp_path)) == bits(program(None))


def test_changes_that_affect_numbers_are_warnings_if_the_report_is_silent(tmp_path, monkeypatch):
    cut_off(monkeypatch, 7, lambda: program(tmp_path))
    newest = tmp_path / "checkpoint-000006.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    monkeypatch.setattr(environment, "arithmetic", lambda: {"BLAS": "other 1.0"})
    with pytest.warns(RuntimeWarning) as heard:
        program(tmp_path, report=Report())
    words = [str(warning.message) for warning in heard]
    assert any("the one before" in text for text in words) and any("this is other 1.0" in text for text in words)
