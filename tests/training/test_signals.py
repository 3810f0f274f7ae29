"""SIGINT, SIGTERM and SIGHUP: caught while a block runs; the handlers are put back after it."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from xpgraph.training.signals import ENDING, STOPPING, Signals, ended_by, terminated


@pytest.fixture(autouse=True)
def usual():
    """Set Python's default handlers, even if the process was started with ignored signals."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def handlers():
    return [signal.getsignal(number) for number in STOPPING]


@pytest.mark.parametrize("number", STOPPING)
def test_the_first_signal_is_caught_and_the_handlers_are_put_back(number):
    before = handlers()
    with Signals() as signals:
        assert signals.caught is None
        assert handlers() == [signals._catch] * len(STOPPING)
        signal.raise_signal(number)
        assert signals.caught == number
    assert handlers() == before


@pytest.mark.parametrize(
    ("number", "kind", "code"), [(signal.SIGINT, KeyboardInterrupt, None), *((n, SystemExit, 128 + n) for n in ENDING)]
)
def test_a_second_signal_ends_the_block_at_once(number, kind, code):
    before = handlers()
    with pytest.raises(kind) as caught, Signals():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(number)
        pytest.fail("the second signal did nothing")
    assert caught.value.__notes__ == ["stopped at once"]
    assert getattr(caught.value, "code", None) == code
    assert handlers() == before


def test_an_ignored_signal_stays_ignored_and_the_other_is_caught():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Signals() as signals:
        signal.raise_signal(signal.SIGINT)
        assert signals.caught is None
        signal.raise_signal(signal.SIGTERM)
    assert signals.caught == signal.SIGTERM
    assert handlers() == [signal.SIG_IGN, *[signal.SIG_DFL] * len(ENDING)]


def test_a_handler_set_from_c_is_left_alone(monkeypatch):
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    monkeypatch.setattr(signal, "signal", lambda *_: pytest.fail("it could not be given back"))
    with Signals() as signals:
        assert signals._handlers == {}


def test_one_object_can_be_used_twice_and_puts_back_the_handlers_of_each_time():
    signals = Signals()
    with signals:
        pass
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with signals:
        pass
    assert handlers() == [signal.SIG_IGN, *[signal.SIG_DFL] * len(ENDING)]


def test_outside_the_main_thread_nothing_changes():
    before, seen = handlers(), []

    def inside():
        try:
            with Signals():
                seen.append(handlers())
            with terminated():
                seen.append(handlers())
        except ValueError as error:  # signal only works in the main thread
            seen.append(error)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [before, before]


def test_what_a_signal_raises():
    assert type(ended_by(signal.SIGINT)) is KeyboardInterrupt
    error = ended_by(signal.SIGTERM, "step 3 is saved")
    assert (type(error), error.code, error.__notes__) == (SystemExit, 143, ["step 3 is saved"])
    assert not hasattr(ended_by(signal.SIGTERM), "__notes__")


@pytest.mark.parametrize("number", ENDING)
def test_terminated_lets_a_signal_run_finally_blocks(number):
    closed = []
    with pytest.raises(SystemExit) as caught, terminated():
        try:
            assert signal.SIG_DFL not in handlers()
            signal.raise_signal(number)
        finally:
            closed.append(True)
    assert (caught.value.code, closed) == (128 + number, [True])
    assert handlers() == [signal.default_int_handler, *[signal.SIG_DFL] * len(ENDING)]


def test_a_signal_ends_a_forked_child_at_once(monkeypatch):
    with Signals() as signals:
        monkeypatch.setattr(os, "getpid", lambda: signals._process + 1)  # as in a child
        with pytest.raises(SystemExit):
            signal.raise_signal(signal.SIGTERM)
        assert signals.caught is None


def test_terminated_leaves_other_handlers_alone():
    def own(*_):
        """A handler that is not ours."""

    signal.signal(signal.SIGTERM, own)
    with terminated():
        assert signal.getsignal(signal.SIGTERM) is own
    assert signal.getsignal(signal.SIGTERM) is own


def test_stopping_signals_are_those_that_the_system_has():
    assert [signal.SIGINT, signal.SIGTERM, *(n for n in signal.Signals if n.name == "SIGHUP")] == STOPPING
