"""Runs in forked children that are killed, or interrupted, at any moment: they resume with the same bits."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import warnings

import pytest
from cutting import STEPS, RecordingReport, bits, cut_at, ended, forked, program

from xpgraph.cli import training_run as cli_train
from xpgraph.cli.app import main
from xpgraph.storage import atomic as storage
from xpgraph.storage.checkpoints import latest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
SOAK = int(os.environ.get("XPGRAPH_SOAK", "1"))  # a factor for the number of trials


@pytest.fixture(scope="module")
def straight():
    return bits(program(None))


@pytest.fixture(scope="module")
def seconds(tmp_path_factory):
    """How long a child takes for the whole run, saving after each step."""
    took = []
    for i in range(3):
        folder, start = tmp_path_factory.mktemp("timed") / str(i), time.perf_counter()
        assert ended(forked(lambda folder=folder: program(folder, 1))) == 0
        took.append(time.perf_counter() - start)
    return sorted(took)[1]


def step_in(folder):
    """The step of the newest checkpoint; None where there is none yet."""
    found = latest(folder) if folder.exists() else None
    return found and found.step


def check_its_end(folder, every, straight):
    """Resume the run, with other initial weights if there is a checkpoint, and assert that it ends as ``straight``."""
    seed = 0 if step_in(folder) is None else 5
    assert bits(program(folder, every, seed=seed)) == straight, folder.name
    assert not list(folder.glob(f".*{storage.PARTIAL}"))


class Moments:
    """Random moments within a run. ``seconds``, how long it takes, adapts to how many runs end before the signal."""

    def __init__(self, seed, seconds):
        self.drawn, self.seconds = random.Random(seed), seconds

    def strike(self, child, number):
        """Wait for a random moment, send the signal; returns how the child ended."""
        time.sleep(self.drawn.uniform(0, self.seconds))
        os.kill(child, number)
        code = ended(child)
        self.seconds *= 0.8 if code == 0 else 1.01
        return code


few_or_many = pytest.mark.parametrize("trials", [5, pytest.param(50, marks=pytest.mark.slow("processes"))])


@few_or_many
def test_runs_killed_at_random_moments_end_with_the_same_bits(tmp_path, straight, seconds, trials):
    moments, killed, places, trial = Moments(1, seconds), 0, set(), 0
    while killed < trials * SOAK:
        folder, every = tmp_path / str(trial), 1 + trial % 4
        for _ in range(3):  # resumed and killed up to three times, then left alone
            killed += moments.strike(forked(lambda: program(folder, every)), signal.SIGKILL) == -signal.SIGKILL  # noqa: B023
            places.add(step_in(folder))
        check_its_end(folder, every, straight)
        trial += 1
    assert len(places) > min(5, trials // 5)


@few_or_many
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupts_at_random_moments_end_after_the_step(tmp_path, straight, seconds, number, code, trials):
    moments, stopped, places, trial = Moments(code, seconds), 0, set(), 0
    while stopped < trials * SOAK:
        folder, every = tmp_path / str(trial), 1 + trial % 4
        how = moments.strike(forked(lambda: program(folder, every)), number)  # noqa: B023
        assert how in (code, 0)  # 0: it was at its end
        stopped += how == code
        places.add(step_in(folder))
        check_its_end(folder, every, straight)
        trial += 1
    assert len(places) > min(5, trials // 5)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("step", [1, 4, 7, 16])
def test_a_signal_ends_the_run_after_the_step_in_which_it_comes(tmp_path, monkeypatch, straight, number, code, step):
    def work():
        cut_at(monkeypatch, step, lambda: os.kill(os.getpid(), number))
        program(tmp_path, 100)

    assert ended(forked(work)) == code
    assert latest(tmp_path).step == step
    assert bits(program(tmp_path, 100, seed=5)) == straight


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace", "unlink"])
def test_an_interrupt_inside_a_save_waits_for_its_end(tmp_path, straight, call):
    """The signal comes within each of the system calls of a save."""

    class Interrupting:
        def __getattr__(self, name):
            real = getattr(os, name)
            if name != call:
                return real

            def called(*args, **kwargs):
                found = real(*args, **kwargs)
                if armed:
                    armed.clear()
                    os.kill(os.getpid(), signal.SIGINT)
                return found

            return called

    armed = []

    def work(patch):
        from xpgraph.storage import checkpoints

        cut_at(patch, 6, lambda: armed.append(1))
        for module in (storage, checkpoints):
            patch.setattr(module, "os", Interrupting())
        program(tmp_path, 3)

    with pytest.MonkeyPatch.context() as patch:
        child = forked(lambda: work(patch))
    assert ended(child) == 130
    assert latest(tmp_path).step in (6, 7)  # the step after which it was saving, or the next, in which it ended
    assert bits(program(tmp_path, 3, seed=5)) == straight


def test_a_second_signal_stops_at_once(tmp_path, straight):
    def twice():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)

    def work(patch):
        cut_at(patch, 6, twice)
        program(tmp_path, 4)

    start = time.perf_counter()
    with pytest.MonkeyPatch.context() as patch:
        assert ended(forked(lambda: work(patch))) == 130
    assert time.perf_counter() - start < 5
    assert latest(tmp_path).step == 4  # nothing more was saved
    assert bits(program(tmp_path, 4, seed=5)) == straight


def test_ignored_signals_stay_ignored_and_handlers_are_put_back(tmp_path, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        cut_at(monkeypatch, 6, lambda: os.kill(os.getpid(), signal.SIGTERM))
        assert program(tmp_path).steps == STEPS
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is not None
    finally:
        signal.signal(signal.SIGTERM, before)


def test_in_another_thread_it_trains_as_well(tmp_path, straight):
    found = []
    thread = threading.Thread(target=lambda: found.append(bits(program(tmp_path))))
    thread.start()
    thread.join()
    assert found == [straight]


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
@pytest.mark.parametrize("when", ["end", "finished"])
def test_a_signal_after_the_last_step_is_not_lost(tmp_path, straight, number, error, when):
    class Late(RecordingReport):
        def end(self):
            if when == "end":
                signal.raise_signal(number)

        def note(self, text):
            if when in text:  # "these epochs were finished before"
                signal.raise_signal(number)

    if when == "finished":
        program(tmp_path)
    with pytest.raises(error) as raised:
        program(tmp_path, report=Late())
    assert raised.value.__notes__ == [f"step {STEPS} is saved in {tmp_path}"]
    assert bits(program(tmp_path, seed=5)) == straight


def test_a_process_forked_by_on_epoch_can_be_terminated(tmp_path):
    codes = []

    def fork(trainer, record):
        reads, writes = os.pipe()
        child = os.fork()
        if child == 0:
            code = 0
            try:
                os.write(writes, b"here")
                time.sleep(5)
            except SystemExit as error:
                code = error.code
            finally:
                os._exit(code)
        os.read(reads, 4)
        os.kill(child, signal.SIGTERM)
        codes.append(ended(child))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads in the parent; the child uses none
        assert program(tmp_path, epochs=1, on_epoch=fork).current_epoch == 1
    assert codes == [143]


def test_a_signal_while_the_picture_is_drawn_waits_for_it(tmp_path, monkeypatch, capsys):
    def plot(trainer, path):
        signal.raise_signal(signal.SIGINT)
        path.write_text("drawn")

    monkeypatch.setattr(cli_train, "_plot", plot)
    folder = tmp_path / "r"
    assert main(["train", "--data", "spiral", "--epochs", "1", "--backend", "numpy", "--out", str(folder)]) == 130
    assert f"to go on: xpgraph train --resume {folder}" in capsys.readouterr().err
    assert (folder / "loss.png").read_text() == "drawn"
