"""The CUDA kernels at the two ends of a step, in the emulator: the rows of a batch, the update of all parameters."""

import numpy as np
import pytest
from cuda_emulator import Device, in_every_order, why_not
from samples import SAMPLES

import xpgraph  # noqa: F401  (fills the table)
from xpgraph.arrays.kernels import TABLE
from xpgraph.arrays.libraries import LIBRARIES

if why_not():
    pytest.skip(why_not(), allow_module_level=True)

RULES = {  # the numbers that a CUDA kernel takes, from those of the generic body
    "sgd": lambda lr: (lr,),
    "momentum": lambda lr, mu: (lr, mu),
    "adagrad": lambda lr, eps: (lr, eps),
    "rmsprop": lambda lr, rho, eps: (lr, rho, 1 - rho, eps),
    "adam": lambda alpha, beta1, beta2, eps: (alpha, beta1, 1 - beta1, beta2, 1 - beta2, eps),
}
NO_CELLS = (None,) * 4


def cases(name, n):
    """(lists, numbers) of each case without clipping; lists: parameters, gradients, states."""
    for case in SAMPLES[name].cases(np.random.default_rng(n), n):
        if not isinstance(case[-1], np.ndarray):
            yield [a for a in case if isinstance(a, list)], [a for a in case if isinstance(a, float)]


def placed(device, lists, odd=()):
    """The lists on the device, those of ``odd`` misaligned for vectors, and their table of pieces."""
    moved = []
    for i, arrays in enumerate(lists):
        device.shift = int(i in odd)
        moved.append([device.put(a, changes=i != 1) for a in arrays])
    device.shift = 0
    return moved, device.pieces(*moved)


def updated(emulator, name, dtype, lists, numbers, clip=None, odd=()):
    """All parameters, then all states, after one launch."""

    def work(device):
        on_device, pieces = placed(device, lists, odd)
        factor = None if clip is None else device.put(np.array([clip]))
        device.launch(name, len(lists[0]), 256, pieces, *RULES[name](*numbers), factor, *NO_CELLS)
        return on_device[0] + [a for arrays in on_device[2:] for a in arrays]

    return in_every_order(emulator, dtype, work)


def check_update(emulator, name, dtype, n, clip=None, odd=()):
    for lists, numbers in cases(name, n):
        got = updated(emulator, name, dtype, lists, numbers, clip, odd)
        exact = [[a.astype(dtype).astype(np.float64) for a in arrays] for arrays in lists]
        exact[1] = [g * (1 if clip is None else float(np.dtype(dtype).type(clip))) for g in exact[1]]
        scales = SAMPLES[name].scale(*exact, *numbers)
        TABLE[name].generic(LIBRARIES["numpy"].xp, *exact, *numbers)
        truth = exact[0] + [a for arrays in exact[2:] for a in arrays]
        scale_of_each = [s for scale in scales for s in scale]
        tolerances = [tolerance for tolerance in SAMPLES[name].tolerances for _ in lists[0]]
        for g, t, s, tolerance in zip(got, truth, scale_of_each, tolerances, strict=True):
            error, allowed = np.abs(g - t), tolerance.allowed(t, dtype, s, 0)
            assert (error <= allowed).all(), f"{name}: error {np.max(error - allowed)} above the tolerance"


@pytest.mark.parametrize("name", RULES)
def test_update(emulator, name, dtype):
    for n in (0, 1, 3, 31, 33):
        check_update(emulator, name, dtype, n)


@pytest.mark.parametrize("name", RULES)
def test_update_with_clipping_and_misaligned_arrays(emulator, name, dtype):
    for odd in [(0, 1, 2, 3), (1,), (len(RULES[name].__code__.co_varnames),)]:
        check_update(emulator, name, dtype, 3, 0.37, odd)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", RULES)
def test_a_gradient_that_is_not_finite_changes_only_its_element(emulator, name, dtype, bad):
    lists, numbers = next(cases(name, 3))
    good = updated(emulator, name, dtype, lists, numbers)
    lists[1][0][1, 2] = bad
    got = updated(emulator, name, dtype, lists, numbers)
    assert not np.isfinite(got[0][1, 2])
    got[0][1, 2] = good[0][1, 2]
    np.testing.assert_array_equal(got[0], good[0])
    nothing = updated(emulator, name, dtype, lists, numbers, clip=np.nan)
    assert all(np.isnan(p).all() for p in nothing[: len(lists[0])])


@pytest.mark.parametrize("name", RULES)
def test_numbers_from_the_table_give_the_bits_of_numbers_as_arguments(emulator, name, dtype):
    """Three steps as a captured step makes them, by the counters on the device."""
    rng = np.random.default_rng(3)
    lists, numbers = next(cases(name, 3))
    rows = [[a * (1 + k / 10) for a in RULES[name](*numbers)] for k in range(3)]
    rows = np.array(rows).astype(dtype).astype(float)
    x, t, order = rng.standard_normal((12, 7)), np.arange(12), rng.permutation(12)

    def work(device):
        on_device, pieces = placed(device, lists)
        table, cells = device.put(rows), device.put(np.array([0, -7]), changes=True)
        loss, losses = device.put(np.zeros(1), changes=True), device.new(4)
        x_, t_, order_ = (device.put(a) for a in (x, t, order))
        bx, bt = device.new((4, 7)), device.new(4, int)
        sizes = [a.array.nbytes // 12 for a in (x_, t_)]
        for k in range(3):
            device.launch("gather", 4, 128, x_, bx, sizes[0], t_, bt, sizes[1], order_, 4, 4, cells)
            assert (bt.array == order[4 * k : 4 * k + 4]).all() and (bx.array == x_.array[bt.array]).all()
            assert cells.array.tolist() == [k, k]
            loss.array[...] = k + 0.5
            wrong = [float("nan")] * rows.shape[1]  # the arguments are not used
            device.launch(name, len(lists[0]), 256, pieces, *wrong, None, table, cells, loss, losses)
            assert cells.array.tolist() == [k + 1, k]
        assert losses.array[:3].tolist() == [0.5, 1.5, 2.5] and np.isnan(losses.array[3])
        return [a for arrays in on_device for a in arrays]

    def one_by_one(device):
        on_device, pieces = placed(device, lists)
        for row in rows:
            device.launch(name, len(lists[0]), 256, pieces, *map(float, row), None, *NO_CELLS)
        return [a for arrays in on_device for a in arrays]

    captured, single = (in_every_order(emulator, dtype, w) for w in (work, one_by_one))
    assert [a.tobytes() for a in captured] == [a.tobytes() for a in single]


@pytest.mark.parametrize("shift", [(0, 0), (1, 1), (2, 2), (4, 4), (8, 8), (2, 0), (0, 2), (4, 8), (8, 0), (0, 1)])
@pytest.mark.parametrize("width", [0, 1, 2, 3, 4, 8, 12, 16, 784, 3136])
def test_gather(emulator, width, shift):
    """Rows of any length at any address, byte for byte."""
    rng = np.random.default_rng(width)
    x, t = rng.integers(0, 256, (9, width)).astype(np.uint8), rng.integers(0, 10, 9)
    order = rng.integers(0, 9, 33)

    def work(device):
        device.shift = shift[0]
        x_ = device.put(x)
        device.shift = shift[1]
        bx = device.put(np.zeros((33, width), np.uint8), changes=True)
        device.shift = 0
        t_, bt, order_ = device.put(t), device.new(33, int), device.put(order)
        device.launch("gather", 33, 128, x_, bx, width, t_, bt, 8, order_, 0, 33, None)
        return [bx, bt]

    bx, bt = in_every_order(emulator, "float32", work)
    assert (bx == x[order]).all() and (bt == t[order]).all()


def test_a_null_state_is_not_touched(emulator):
    device = Device(emulator, "float32")
    p, g = device.put(np.ones(5), changes=True), device.put(np.ones(5))
    device.launch("sgd", 1, 256, device.pieces([p], [g]), 0.5, None, *NO_CELLS)
    device.check()
    assert (p.array == 0.5).all()
