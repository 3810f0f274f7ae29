"""Whenever a save fails, is interrupted or killed, or the power goes: the old checkpoint or the new one is there."""

import errno
import os
import resource
import signal
from itertools import product

import pytest
from checkpointing import Calls, fork, small, value_of

from xpgraph.errors import StorageError
from xpgraph.storage import atomic as storage
from xpgraph.storage.checkpoints import Checkpoints, latest

OLD, NEW, LATER = 1, 2, 3  # steps, and the values in them
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EDQUOT)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


def started(folder):
    """A folder with two checkpoints."""
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(0, *small(0.0)), checkpoints.save(OLD, *small(OLD))
    return folder


def calls_of_a_save(tmp_path, monkeypatch):
    with Checkpoints(started(tmp_path / "counted")) as checkpoints, monkeypatch.context() as patch:
        calls = Calls().into(patch)
        checkpoints.save(NEW, *small(NEW))
    return calls.log


def partials(folder):
    return [path.name for path in folder.iterdir() if path.name.endswith(storage.PARTIAL)]


def steps(folder):
    return sorted(int(path.name[11:17]) for path in folder.glob("*.safetensors"))


def test_a_save_makes_its_calls_in_the_order_that_is_durable(tmp_path, monkeypatch):
    assert calls_of_a_save(tmp_path, monkeypatch) == [
        "open", "write", "write", "write", "fsync", "close", "replace",  # the file is synced before it gets its name
        "open", "fsync", "close", "listdir", "unlink",  # its name is synced before the oldest file goes
    ]  # fmt: skip


def test_an_error_says_what_could_not_be_done(tmp_path, monkeypatch):
    done = ["made", "written", "written", "written", "synced to disk", "synced to disk", "renamed"]
    done += ["synced to disk with its folder"] * 2
    for i, words in enumerate(done):

        def fail(_, n, i=i):
            if n == i:
                raise OSError(errno.EIO, os.strerror(errno.EIO))

        with Checkpoints(started(tmp_path / str(i))) as checkpoints, monkeypatch.context() as patch:
            Calls(fail).into(patch)
            with pytest.raises(
                StorageError, match=f"it cannot be {words}: Input/output error; older files are as they"
            ):
                checkpoints.save(NEW, *small(NEW))


@pytest.mark.parametrize("code", ERRORS, ids=lambda code: errno.errorcode[code])
def test_an_error_at_each_call_leaves_a_checkpoint_and_no_partial_file(tmp_path, monkeypatch, code):
    for i, name in enumerate(calls_of_a_save(tmp_path, monkeypatch)):

        def fail(_, n, i=i):
            if n == i:
                raise OSError(code, os.strerror(code))

        folder = started(tmp_path / str(i))
        with Checkpoints(folder) as checkpoints:
            with monkeypatch.context() as patch:
                Calls(fail).into(patch)
                if name in ("listdir", "unlink"):
                    checkpoints.save(NEW, *small(NEW))  # the new one is safe: the run goes on
                    assert "cannot be removed" in checkpoints.notes[0] and os.strerror(code) in checkpoints.notes[0]
                else:
                    with pytest.raises(
                        StorageError, match=rf"Saving .*000002.*{os.strerror(code)}.*Make room"
                    ) as caught:
                        checkpoints.save(NEW, *small(NEW))
                    assert type(caught.value) is StorageError and caught.value.__cause__.errno == code
            assert value_of(checkpoints.latest()) in (OLD, NEW) and partials(folder) == []
            assert value_of(latest(folder)) == checkpoints.latest().step
            assert {0, OLD} <= set(steps(folder)) or NEW in steps(folder)
            checkpoints.save(LATER, *small(LATER))  # once there is room again
            assert value_of(checkpoints.latest()) == LATER and len(steps(folder)) == 2


@pytest.mark.parametrize("kind", [KeyboardInterrupt, MemoryError, SystemExit])
def test_an_interrupt_at_each_call_leaves_a_checkpoint_and_no_partial_file(tmp_path, monkeypatch, kind):
    for i in range(len(calls_of_a_save(tmp_path, monkeypatch))):

        def interrupt(_, n, i=i):
            if n == i:
                raise kind

        folder = started(tmp_path / str(i))
        with Checkpoints(folder) as checkpoints:
            with monkeypatch.context() as patch, pytest.raises(kind):
                Calls(interrupt).into(patch)
                checkpoints.save(NEW, *small(NEW))
            assert value_of(checkpoints.latest()) in (OLD, NEW) and partials(folder) == []


def in_a_child(work):
    """Run ``work`` in a forked child, which it must not outlive; the signal that ended it, or 0."""
    child = fork()
    if not child:
        try:
            work()
        finally:
            os._exit(0)
    return os.WTERMSIG(os.waitpid(child, 0)[1])


@needs_fork
@pytest.mark.parametrize("half", [False, True], ids=["before", "halfway"])
def test_a_kill_at_each_call_leaves_a_checkpoint_and_no_lock(tmp_path, monkeypatch, half):
    log, real = calls_of_a_save(tmp_path, monkeypatch), os.write
    for i in range(len(log)):
        folder = started(tmp_path / str(i))

        def work(i=i, folder=folder):
            def kill(name, n):
                if n == i and not (half and name == "write"):
                    os.kill(os.getpid(), signal.SIGKILL)

            def write(file, view):
                real(file, view[: len(view) // 2])
                os.kill(os.getpid(), signal.SIGKILL)

            with Checkpoints(folder) as checkpoints:
                calls = Calls(kill).into(monkeypatch)
                if half and log[i] == "write":
                    calls.write = write
                checkpoints.save(NEW, *small(NEW))

        assert in_a_child(work) == signal.SIGKILL
        renamed = "replace" in log[:i]
        with Checkpoints(folder) as checkpoints:
            assert value_of(checkpoints.latest()) == (NEW if renamed else OLD)
            assert len(checkpoints.notes) == (0 if renamed or i == 0 else 1) and partials(folder) == []
            checkpoints.save(LATER, *small(LATER))
            assert len(steps(folder)) == 2


@needs_fork
def test_a_file_that_the_system_does_not_let_grow(tmp_path):
    """A limit on the size of files stops a write half-way, as a full disk does."""
    folder = started(tmp_path / "run")
    report, told = os.pipe()

    def work():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
        with Checkpoints(folder) as checkpoints:
            try:
                checkpoints.save(NEW, *small(NEW, n=1000))
            except StorageError as error:
                os.write(told, str(error).encode())

    in_a_child(work)
    os.close(told)
    with os.fdopen(report) as file:
        assert "it cannot be written: File too large; older files are as they were. Make room" in file.read()
    assert value_of(latest(folder)) == OLD and partials(folder) == []


def test_a_write_that_writes_less_than_it_was_given(tmp_path, monkeypatch):
    real = os.write
    with Checkpoints(tmp_path) as checkpoints:
        monkeypatch.setattr(os, "write", lambda file, view: real(file, view[:7]))
        checkpoints.save(NEW, *small(NEW))
        monkeypatch.undo()
        assert value_of(checkpoints.latest()) == NEW


def test_a_path_that_is_a_directory(tmp_path):
    with Checkpoints(started(tmp_path)) as checkpoints:
        (tmp_path / "checkpoint-000002.safetensors").mkdir()
        with pytest.raises(StorageError, match="it cannot be renamed"):
            checkpoints.save(NEW, *small(NEW))
        assert value_of(checkpoints.latest()) == OLD and partials(tmp_path) == []


# --- power cuts ---


class Disk(Calls):
    """Records the calls of a save. Before its fsync, a change may have reached the disk, or may not."""

    def __init__(self, folder):
        super().__init__()
        self.folder, self.files, self.ops = folder, {}, []

    def __getattr__(self, name):
        def call(*args):
            result = getattr(os, name)(*args)
            if name == "open":
                self.files[result] = str(args[0])
                if str(args[0]) != str(self.folder):
                    self.ops.append(("create", str(args[0])))
            elif name == "write":
                self.ops.append(("write", self.files[args[0]], bytes(args[1][:result])))
            elif name == "fsync":
                self.ops.append(("sync", self.files[args[0]]))
            elif name in ("replace", "unlink"):
                self.ops.append((name, *map(str, args)))
            return result

        return call if name in (*self.NAMES, "replace") else getattr(os, name)


def crash_states(before, ops, folder):
    """Every {name: bytes} that a power cut after ``ops`` may leave: each change since the last fsync, made or lost."""
    names, contents, synced, open_changes = dict(before), {}, {}, []
    for kind, *rest in ops:
        if kind == "write":
            contents[rest[0]] = contents.get(rest[0], b"") + rest[1]
        elif kind == "sync" and rest[0] == str(folder):
            names, open_changes = apply(names, open_changes), []
        elif kind == "sync":
            synced[rest[0]] = contents[rest[0]]
        else:
            open_changes.append((kind, *rest))
    partial = next(iter(contents), None)
    whole = contents.get(partial, b"")
    for made in product([False, True], repeat=len(open_changes)):
        after = apply(names, [change for change, there in zip(open_changes, made, strict=True) if there])
        for body in (
            [synced[partial]] if partial in synced else [b"", whole[: len(whole) // 2], bytes(len(whole)), whole]
        ):
            yield {name: body if value is None else value for name, value in after.items()}


def apply(names, changes):
    names = dict(names)
    for kind, path, *to in changes:
        if kind == "create":
            names[path] = None  # the file being written
        elif path in names:
            value = names.pop(path)
            if kind == "replace":
                names[to[0]] = value
    return names


def test_a_power_cut_at_each_call_leaves_a_checkpoint(tmp_path, monkeypatch):
    folder, tried, found = started(tmp_path / "run"), 0, set()
    before = {str(path): path.read_bytes() for path in folder.glob("*.safetensors")}
    with Checkpoints(folder) as checkpoints:
        disk = Disk(folder).into(monkeypatch)
        checkpoints.save(NEW, *small(NEW))
        monkeypatch.undo()
    for n in range(len(disk.ops) + 1):
        for state in crash_states(before, disk.ops[:n], folder):
            for path in folder.glob("*checkpoint*"):
                path.unlink()
            for name, body in state.items():
                with open(name, "wb") as file:  # noqa: PTH123
                    file.write(body)
            checkpoint = latest(folder)
            assert checkpoint is not None and checkpoint.notes == (), (n, sorted(state))
            found.add(value_of(checkpoint))
            tried += 1
    assert found == {OLD, NEW} and tried > 30


def test_the_model_of_a_power_cut_finds_a_save_without_fsync(tmp_path, monkeypatch):
    """Without the fsync of the file, a damaged newest checkpoint is among what is left."""
    folder = started(tmp_path / "run")
    before = {str(path): path.read_bytes() for path in folder.glob("*.safetensors")}
    with Checkpoints(folder) as checkpoints:
        disk = Disk(folder).into(monkeypatch)
        checkpoints.save(NEW, *small(NEW))
    careless = [op for op in disk.ops if op[0] != "sync" or op[1] == str(folder)]
    new = str(folder / "checkpoint-000002.safetensors")
    bodies = {state[new] for state in crash_states(before, careless, folder) if new in state}
    assert b"" in bodies and len(bodies) == 4


def test_a_checkpoint_that_cannot_be_removed_is_noted_once_and_the_others_are_removed(tmp_path):
    (tmp_path / "checkpoint-000001.safetensors").mkdir()
    with Checkpoints(tmp_path) as checkpoints:
        for step in range(2, 7):
            checkpoints.save(step, *small(step))
        assert len(checkpoints.notes) == 1 and "cannot be removed" in checkpoints.notes[0]
    assert [path.name[11:17] for path in sorted(tmp_path.glob("*.safetensors"))] == ["000001", "000005", "000006"]
