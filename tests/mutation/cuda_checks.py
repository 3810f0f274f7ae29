"""The checks of the suite that see a fault of the CUDA path, those nearest to it first: kernels, table, trainings.

``checks(emulator, kernels, bodies)`` gives them in turn; each raises where it finds something. Most are the functions
of the test files, called with their own parameters; those written out here look where the suite does not.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import itertools
from collections.abc import Callable, Iterator
from mmap import PAGESIZE, mmap
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import cuda_emulator
import cuda_runs
import numpy as np
import pytest
from cuda_emulator import DTYPES, Emulator, Guarded
from cuda_rig import Rig
from kernel_checks import leaves, tree
from samples import SAMPLES

from xpgraph import SGD, Adam, Report, Trainer, mlp
from xpgraph.arrays.kernels import TABLE
from xpgraph.arrays.libraries import LIBRARIES, to_numpy
from xpgraph.fast.cuda import device


def test_file(name: str) -> ModuleType:
    """A file of tests/fast/cuda, as a module."""
    path = Path(__file__).parents[1] / "fast" / "cuda" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


test_sources, test_sources_steps = test_file("test_sources"), test_file("test_sources_steps")
test_capture_replay, test_every_body_cuda = test_file("test_capture_replay"), test_file("test_every_body_cuda")
BODIES, RULES = test_every_body_cuda.BODIES, tuple(test_sources_steps.RULES)
ELEMENTWISE = test_sources.ELEMENTWISE
ALL = (*RULES, *ELEMENTWISE, "add_bias", "column_sum", "clip_rate", "softmax_cross_entropy", "gather")
ABOUT = {  # what the tests without a parameter ``name`` are about
    "test_add_bias": ("add_bias",),
    "test_column_sum": ("column_sum",),
    "test_clip_rate": ("clip_rate",),
    "test_sums_in_a_row": ("clip_rate", "softmax_cross_entropy"),
    "test_softmax_cross_entropy": ("softmax_cross_entropy",),
    "test_softmax_cross_entropy_of_any_number_of_classes": ("softmax_cross_entropy",),
    "test_a_label_outside_the_classes": ("softmax_cross_entropy",),
    "test_impossible_and_unknown_scores": ("softmax_cross_entropy",),
    "test_many_equal_classes_lose_no_digits": ("softmax_cross_entropy",),
    "test_gather": ("gather",),
    "test_a_null_state_is_not_touched": ("sgd",),
}
TOO_LONG = {50_000, 257}  # rows or classes, a second and more; many equal classes are tested once
SEEDS = 60  # of shuffled orders
TRAININGS = ("test_all_but_the_first_steps_of_each_shape_are_replays",
             "test_one_hot_labels_and_drop_last", "test_after_a_captured_fit_nodes_hold_what_the_last_step_left",
             "test_the_device_trains_as_numpy_does", "test_captured_steps_have_the_same_bits",
             "test_refused_column_sums_cost_one_launch_a_layer", "test_launches_per_step")  # fmt: skip


def calls(test: Callable[..., None]) -> Iterator[dict[str, Any]]:
    """What pytest would call a test with, but for its fixtures."""
    marks = [mark.args for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    plain = ([getattr(case, "values", case) for case in values] for _, values in marks)  # of a pytest.param
    for cases in itertools.product(*plain):
        how: dict[str, Any] = {}
        for (names, _), case in zip(marks, cases, strict=True):
            how |= {names: case} if isinstance(names, str) else dict(zip(names, case, strict=True))
        yield how


def check_kernels(emulator: Emulator, kernels: set[str], dtypes: tuple[str, ...] = DTYPES) -> None:
    """Each kernel by itself, in every order of its threads."""
    for dtype in dtypes:
        for module in (test_sources, test_sources_steps):
            for name, test in vars(module).items():
                for how in calls(test) if name.startswith("test_") else ():
                    about = {how["name"]} if "name" in how else set(ABOUT.get(name, ()))
                    if about & kernels and not TOO_LONG & {v for v in how.values() if isinstance(v, int)}:
                        fixtures = test.__code__.co_varnames[: test.__code__.co_argcount]
                        test(emulator, **({"dtype": dtype} if "dtype" in fixtures else {}), **how)
        if "clip_rate" in kernels:
            check_a_large_block(emulator, dtype)
        check_counters_of_a_single_block(emulator, dtype, kernels)
    if len(dtypes) > 1:
        check_many_interleavings(emulator, kernels)


class AtTheEdge(Guarded):
    """An array that ends where memory that nobody may read begins: to read on ends the process."""

    def __init__(self, a: np.ndarray, shift: int = 0, changes: bool = False) -> None:
        a = np.array(a, order="C")
        self._fill, self._before = 0xFF, None if changes else a.tobytes()
        size = -(-(a.nbytes + 64) // PAGESIZE) * PAGESIZE
        self.pages = mmap(-1, size + PAGESIZE)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self.pages))
        assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(base + size), ctypes.c_size_t(PAGESIZE), 0) == 0
        self._memory = np.frombuffer(self.pages, np.uint8, size)
        self._memory[:] = 0xFF
        self._inside = slice(size - a.nbytes, size)
        self.array = self._memory[self._inside].view(a.dtype).reshape(a.shape)
        self.array[...] = a
        self.address = base + size - a.nbytes


def check_edges(emulator: Emulator, kernels: set[str]) -> None:
    """The same in one dtype and order, nothing read beyond the end of an array; a crash is a finding."""
    with mock.patch.multiple(cuda_emulator, Guarded=AtTheEdge, ORDERS=("forward",)):
        check_kernels(emulator, kernels, ("float32",))


def check_many_interleavings(emulator: Emulator, kernels: set[str]) -> None:
    """Four blocks that go on from barrier to barrier in many orders: only the last of them may write the result."""
    with mock.patch.object(cuda_emulator, "ORDERS", ("forward", *range(SEEDS))):
        if "clip_rate" in kernels:
            test_sources.clip(emulator, "float32", [np.ones(3)] * 4, 0.5)
        if "softmax_cross_entropy" in kernels:
            test_sources.loss(emulator, "float32", *test_sources.labelled(16, 3)[0])


def check_a_large_block(emulator: Emulator, dtype: str) -> None:
    """A norm by blocks of 32 warps: block_sum promises it."""
    run = cuda_emulator.Device(emulator, dtype)
    grads, out = [run.put(np.ones(n)) for n in (1024, 2)], [run.new(1), run.new(1)]
    run.launch("clip_rate", 2, 1024, run.pieces(grads, grads), run.new(2), run.ticket(), 1.0, *out)
    assert abs(float(out[1].array[0]) - 1026**0.5) < 1e-4


def check_counters_of_a_single_block(emulator: Emulator, dtype: str, kernels: set[str]) -> None:
    """One row, one piece: nobody but block 0 is there to count."""
    for name in kernels & {*RULES, "gather"}:
        run = cuda_emulator.Device(emulator, dtype)
        p, g, a, b = (run.put(np.ones(3), changes=True) for _ in range(4))
        cells = run.put(np.array([1, 1] if name != "gather" else [1, -7]), changes=True)
        loss, losses = run.put(np.ones(1)), run.new(2)
        if name == "gather":
            run.launch(name, 1, 128, p, a, 4, g, b, 4, run.put(np.array([0, 0])), 1, 1, cells)
            assert cells.array.tolist() == [1, 1]
        else:
            numbers = test_sources_steps.RULES[name](*[0.5] * test_sources_steps.RULES[name].__code__.co_argcount)
            states = [s for s, _ in zip((a, b), SAMPLES[name].updates[1:], strict=False)]
            table = run.put(np.full((2, len(numbers)), 0.5))
            pieces = run.pieces([p], [g], *[[s] for s in states])
            run.launch(name, 1, 256, pieces, *numbers, None, table, cells, loss, losses)
            assert cells.array.tolist() == [2, 1] and losses.array[1] == 1 and np.isnan(losses.array[0])
        run.check()


class Watched(Rig):
    """A rig that knows which grid and block each kernel should have."""

    def launch(self, name: str, dtype: str, grid: int, block: int, args: Any) -> None:
        assert (grid, block) == geometry(name, grid, args), f"xp_{name}<<<{grid}, {block}>>>"
        super().launch(name, dtype, grid, block, args)


def geometry(name: str, grid: int, args: Any) -> tuple[int, int]:
    """The grid and block that a kernel should have, from its arguments; the grid of pieces is held by their values."""
    if name in (*ELEMENTWISE, "add_bias"):
        n = args[-1] if name != "add_bias" else args[-1] * args[-2]
        return min((n + 255) // 256, 8192), 256
    if name == "column_sum":
        return (args[-1] + 31) // 32, 256
    if name == "softmax_cross_entropy":
        return (args[-2] + 3) // 4, 128
    return (args[-2], 128) if name == "gather" else (grid, 256)


def check_the_largest_grid() -> None:
    """An array of more elements than the grids of elementwise kernels have threads; nothing is run."""
    import cupy

    with mock.patch.object(device, "launch") as launch:
        for n in (8192 * 256 - 255, 8192 * 256 + 1, 4096 * 256 + 1):
            TABLE["relu"].fast_bodies["cupy"](cupy.empty(n, np.float32))
    assert launch.call_count == 3
    for name, _, grid, block, args in (call.args for call in launch.call_args_list):
        assert (grid, block) == geometry(name, grid, args), (grid, block)


def check_fallbacks(rig: Rig) -> None:
    """What a body hands to the generic one: half precision, and rows named by int32. The same bits as there."""
    host = LIBRARIES["numpy"].xp
    for name in sorted(set(BODIES) - {"affine", "affine_grad"}):  # those write y += b, which CuPy would have to run
        case = next(iter(SAMPLES[name].cases(np.random.default_rng(7), 7)))
        kinds = {"f": np.float16, "i": np.int32 if name == "gather" else np.int64}

        def narrow(a: Any, kinds: dict[str, Any] = kinds) -> Any:
            return tree(lambda x: np.array(x, kinds[x.dtype.kind]), a)

        there, here = [tree(rig.place.asarray, narrow(a)) for a in case], [narrow(a) for a in case]
        results = TABLE[name].fast_bodies["cupy"](*there), TABLE[name].generic(host, *here)
        got, wanted = (leaves([r if r is not None else a[i] for i in SAMPLES[name].updates or (0,)])
                       for r, a in zip(results, (there, here), strict=True))  # fmt: skip
        for g, w in zip(got, wanted, strict=True):
            assert to_numpy(g).tobytes() == np.asarray(w).tobytes(), name


def check_table(emulator: Emulator, bodies: list[str]) -> None:
    """tests/fast/cuda/test_every_body_cuda.py, with the geometry of each launch."""
    emulator.order = "forward"
    with Watched(emulator=emulator) as rig:
        check_the_largest_grid()
        check_fallbacks(rig)
        for how in calls(test_every_body_cuda.test_every_cuda_body_agrees_with_the_generic_body):
            if how["name"] in bodies:
                with contextlib.suppress(pytest.skip.Exception):  # of a sample that may not be empty
                    test_every_body_cuda.test_every_cuda_body_agrees_with_the_generic_body(rig, **how)


class Own:
    """An optimizer of a reader: its steps are not captured, and gradients are clipped before it sees them."""

    def update(self, params: Any, grads: Any) -> None:
        self.inner.update(params, grads)

    def __init__(self) -> None:
        self.inner = SGD(lr=0.1)


def check_quiet_steps(rig: Rig, graph: bool, optimizer: Any) -> None:
    """From one line to the next the host copies nothing to the device, and reads one piece for the line."""
    heard: list[list[str]] = []

    class Watch(Report):
        def step(self, progress: Any) -> None:
            heard.append([kind for kind, _ in rig.calls if kind in ("sync", "upload", "import", "cupy")])
            rig.calls.clear()

    trainer = Trainer(mlp([12, 9, 3], backend=rig.place), optimizer)
    trainer.fit(cuda_runs.X, cuda_runs.T, 2, 2, 1.0, 5, report=Watch(), graph=graph)
    assert heard[2:5] + heard[6:] == [["sync"]] * 7, heard


def check_trainings(emulator: Emulator) -> None:
    """Short trainings: the same bits captured and not, launches counted, no look at a value between two lines."""
    emulator.order = "forward"
    for graph, optimizer in ((False, Adam()), (True, Adam()), (False, Own())):
        with Watched(emulator=emulator) as rig:
            check_quiet_steps(rig, graph, optimizer)
    for name in TRAININGS:
        test = getattr(test_capture_replay, name)
        for how in calls(test):
            if how.get("max_grad") and (how["dtype"], how["name"]) != ("float32", "adam"):
                continue  # a second of each
            if name == "test_captured_steps_have_the_same_bits" and how["dtype"] == "float64":
                continue
            with Watched(emulator=emulator) as rig:
                test(rig, **how)


def checks(
    emulator: Emulator, kernels: set[str], bodies: list[str], sync: bool = False
) -> Iterator[tuple[str, Callable[[], None]]]:
    """Each with its name: of ``kernels`` by themselves, of ``bodies``, of trainings, of all bodies."""
    ours = [name for name in BODIES if name in bodies]
    if kernels:
        yield "kernels", lambda: check_kernels(emulator, kernels)
        yield "edges", lambda: check_edges(emulator, kernels)
    if ours and not sync:
        yield "table", lambda: check_table(emulator, ours)
    yield "trainings", lambda: check_trainings(emulator)
    yield "table", lambda: check_table(emulator, BODIES)
