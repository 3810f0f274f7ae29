"""The CUDA kernels in the emulator: within tolerance, the same bits in any order of threads, no stray writes."""

import math

import numpy as np
import pytest
from cuda_emulator import Device, Emulator, in_every_order, why_not
from samples import SAMPLES

import xpgraph  # noqa: F401  (fills the table)
from xpgraph.arrays.kernels import TABLE
from xpgraph.arrays.libraries import LIBRARIES

if why_not():
    pytest.skip(why_not(), allow_module_level=True)

ELEMENTWISE = ("sigmoid", "sigmoid_grad", "relu", "relu_grad", "tanh", "tanh_grad")


def generic(name, *args):
    return TABLE[name].generic(LIBRARIES["numpy"].xp, *args)


def rounded(a, dtype):
    """The values that the kernel gets, in float64."""
    return np.asarray(a).astype(dtype).astype(np.float64)


def near(got, truth, allowed, label=""):
    assert got.shape == np.shape(truth)
    error = np.abs(got.astype(np.float64) - truth)
    assert (error <= allowed).all(), f"{label}: error {np.max(error - allowed)} above the tolerance"


def check_elementwise(emulator, dtype, name, sizes=(0, 1, 31, 32, 33, 257), shift=0):
    for n in sizes:
        for case in SAMPLES[name].cases(np.random.default_rng(n), n):

            def work(device, case=case):
                out = device.new(case[0].shape)
                device.launch(name, 3, 64, *map(device.put, case), out, out.array.size)
                return [out]

            truth = generic(name, *(rounded(a, dtype) for a in case))
            (got,) = in_every_order(emulator, dtype, work, shift)
            near(got, truth, SAMPLES[name].tolerances[0].allowed(truth, dtype, None, 0), f"{name}, {case[0].shape}")


def check_column_sum(emulator, dtype, shapes=((33, 33),), block=256):
    for rows, columns in shapes:
        a = np.random.default_rng(rows).standard_normal((rows, columns))

        def work(device, a=a, rows=rows, columns=columns):
            out = device.new(columns)
            device.launch("column_sum", -(-columns // 32), block, device.put(a), out, rows, columns)
            return [out]

        a = rounded(a, dtype)
        (got,) = in_every_order(emulator, dtype, work)
        allowed = SAMPLES["sum_to"].tolerances[0].allowed(None, dtype, np.sum(np.abs(a), axis=0), rows)
        near(got, np.sum(a, axis=0), allowed, f"{rows} x {columns}")


def clip(emulator, dtype, grads, max_norm):
    """(rate, norm) of two launches with one ticket."""

    def work(device):
        gs = [device.put(g) for g in grads]
        ticket, partials, outs = device.ticket(), device.new(len(gs)), [device.new(1) for _ in range(4)]
        pieces = device.pieces(gs, gs)
        for rate, norm in (outs[:2], outs[2:]):
            device.launch("clip_rate", len(gs), 256, pieces, partials, ticket, max_norm, rate, norm)
            assert ticket.array[0] == 0
        return outs

    outs = in_every_order(emulator, dtype, work)
    assert outs[0].tobytes() == outs[2].tobytes() and outs[1].tobytes() == outs[3].tobytes()
    return float(outs[0][0]), float(outs[1][0])


def check_clip(emulator, dtype):
    grads = [np.random.default_rng(n).standard_normal(n) for n in (5000, 1, 33, 0, 257, 32)]
    exact = [rounded(g, dtype) for g in grads]
    truth = float(generic("global_norm", exact))
    allowed = SAMPLES["global_norm"].tolerances[0].allowed(truth, dtype, truth, sum(g.size for g in grads))
    rate, norm = clip(emulator, dtype, grads, 0.5)
    near(np.float64(norm), truth, allowed)
    near(np.float64(rate), 0.5 / (truth + 1e-6), 0.5 * (allowed / truth + 4 * np.finfo(dtype).eps) / truth)
    assert clip(emulator, dtype, grads, 1e9)[0] == 1


def loss(emulator, dtype, x, t):
    """[loss, y, dx] of two launches with one ticket."""
    rows, classes = math.prod(x.shape[:-1]), x.shape[-1]

    def work(device):
        target, ticket, row_loss = device.put(t), device.ticket(), device.new(rows)
        x_, outs = device.put(x), [device.new(s) for s in ((1,), x.shape, x.shape)]
        labels, probabilities = (target, None) if t.dtype.kind == "i" else (None, target)
        for _ in range(2):
            outs[0].array[...] = row_loss.array[...] = np.nan
            ends = (outs[1], outs[2], row_loss, outs[0], ticket, rows, classes)
            device.launch("softmax_cross_entropy", -(-rows // 4), 128, x_, labels, probabilities, *ends)
            assert ticket.array[0] == 0
        return outs

    return in_every_order(emulator, dtype, work)


def onehot(t, classes):
    return np.equal.outer(t, np.arange(classes)).astype(float)


def check_loss(emulator, dtype, cases):
    sample = SAMPLES["softmax_cross_entropy"]
    subnormal = 2 * float(np.finfo(dtype).smallest_subnormal)  # no relative error is promised for those
    for x, t in cases:
        results = loss(emulator, dtype, x, t)
        x, t = rounded(x, dtype), t if t.dtype.kind == "i" else rounded(t, dtype)
        truths = generic("softmax_cross_entropy", x, t)
        scales = sample.scale(x, t if t.ndim == x.ndim else onehot(t, x.shape[-1]))
        names = "loss", "y", "dx"
        for name, got, truth, scale, tolerance in zip(names, results, truths, scales, sample.tolerances, strict=True):
            allowed = tolerance.allowed(truth, dtype, scale, 0) + subnormal
            near(np.reshape(got, np.shape(truth)), truth, allowed, name)


def labelled(rows, classes):
    rng = np.random.default_rng(classes)
    x = rng.standard_normal((rows, classes)) * 3
    return [(x, rng.integers(0, classes, rows)), (x, onehot(rng.integers(0, classes, rows), classes))]


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(emulator, name, dtype):
    check_elementwise(emulator, dtype, name)
    check_elementwise(emulator, dtype, name, (33,), shift=1)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_of_nan_infinity_and_large_numbers(emulator, name, dtype):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1000.0, -1000.0])
    case = [np.ones(7), x] if name.endswith("_grad") else [x]

    def work(device):
        out = device.new(7)
        device.launch(name, 1, 32, *map(device.put, case), out, 7)
        return [out]

    np.testing.assert_array_equal(in_every_order(emulator, dtype, work)[0], generic(name, *case))


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (1, 1), (7, 31), (33, 10), (2, 257), (1000, 1)])
def test_add_bias(emulator, dtype, shape):
    y, b = (np.random.default_rng(1).standard_normal(s).astype(dtype) for s in (shape, shape[1]))

    def work(device):
        out = device.put(y, changes=True)
        device.launch("add_bias", 3, 96, out, device.put(b), *shape)
        return [out]

    np.testing.assert_array_equal(in_every_order(emulator, dtype, work)[0], y + b)


def test_column_sum(emulator, dtype):
    shapes = [(rows, columns) for rows in (0, 1, 7, 8, 33, 257) for columns in (1, 31, 32, 33, 100)]
    check_column_sum(emulator, dtype, [*shapes, (5000, 10)])
    check_column_sum(emulator, dtype, [(33, 33)], block=1024)
    assert np.isnan(in_columns(emulator, dtype, [[1.0, np.nan, 2.0], [1.0, 1.0, np.inf]])).tolist() == [0, 1, 0]


def in_columns(emulator, dtype, a):
    device = Device(emulator, dtype)
    out = device.new(3)
    device.launch("column_sum", 1, 256, device.put(np.array(a)), out, 2, 3)
    return out.array


def test_clip_rate(emulator, dtype):
    check_clip(emulator, dtype)
    for bad in (np.nan, np.inf):
        rate, norm = clip(emulator, dtype, [np.ones(33), np.array([1.0, bad])], 1.0)
        assert math.isnan(rate) and not math.isfinite(norm)
    assert clip(emulator, dtype, [np.zeros(3)], 1.0) == (1.0, 0.0)


@pytest.mark.parametrize("rows", [1, 7, 33])
def test_softmax_cross_entropy(emulator, dtype, rows):
    check_loss(emulator, dtype, SAMPLES["softmax_cross_entropy"].cases(np.random.default_rng(7), rows))


@pytest.mark.parametrize(("rows", "classes"), [(5, 1), (257, 10), (6, 33), (3, 1000), (1, 50_000)])
def test_softmax_cross_entropy_of_any_number_of_classes(emulator, dtype, rows, classes):
    check_loss(emulator, dtype, labelled(rows, classes))


def test_many_equal_classes_lose_no_digits(emulator, dtype):
    x = np.full((1, 50_000), -0.1)
    x[0, 0] = 0.0
    check_loss(emulator, dtype, [(x, np.array([1]))])


@pytest.mark.parametrize("label", [-1, 10, 2**40])
def test_a_label_outside_the_classes(emulator, dtype, label):
    x, t = labelled(6, 10)[0]
    t[2] = label
    got, y, dx = loss(emulator, dtype, x, t)
    assert np.isnan(got[0]) and np.isfinite(y).all()
    np.testing.assert_allclose(dx[2], y[2] / 6, rtol=1e-6)


def test_impossible_and_unknown_scores(emulator, dtype):
    x = np.array([[0.0, -np.inf, 0.0], [1.0, 1.0, -np.inf]])
    soft = np.array([[0.5, 0.0, 0.5], [0.25, 0.75, 0.0]])
    got, y, _ = loss(emulator, dtype, x, soft)
    assert got[0] == pytest.approx(math.log(2), rel=1e-6) and (y[:, 1] == [0, 0.5]).all()
    for bad in (np.nan, np.inf):
        x[1, 0] = bad
        got, y, dx = loss(emulator, dtype, x, np.array([0, 1]))
        assert np.isnan(got[0]) and np.isnan(y[1]).all() and np.isfinite(dx[0]).all()


FAULTS = {  # fault: (file, text there, text instead, the check that must find it)
    "a bound": ("elementwise.cu", "< n; i += stride()) y[i] = x[i] <", "<= n; i += stride()) y[i] = x[i] <", "relu"),
    "the stride": ("elementwise.cu", "+= stride()) y[i] = x[i] <", "+= 2 * stride()) y[i] = x[i] <", "relu"),
    "half of z": ("elementwise.cu", "exp(-2 * fabs", "exp(-fabs", "tanh_grad"),
    "no barrier before the columns' sums": ("reduce.cu", "__syncthreads();\n    if (lane", "if (lane", "columns"),
    "half a barrier": ("reduce.cu", "__syncthreads();\n    if (lane", "if (lane) __syncthreads(); if (lane", "columns"),
    "the bound of columns": ("reduce.cu", "lane != 0 || column >= columns", "lane != 0", "columns"),
    "block_sum again, no barrier": ("reduce.cu", "__syncthreads();  // an earlier", "// an earlier", "twice"),
    "block_sum without barrier": ("reduce.cu", "__syncthreads();\n    value = 0", "value = 0", "clip"),
    "a block counted too early": ("loss.cu", "__syncthreads();\n    if (threadIdx", "if (threadIdx", "loss"),
    "last_block without barrier": ("loss.cu", "__syncthreads();\n    __threadfence();  // nothing", "", "loss"),
    "the ticket": ("loss.cu", "if (last) *ticket = 0;", "", "loss"),
    "the bound of rows": ("loss.cu", "if (i < rows) {", "if (true) {", "loss"),
    "half a warp": ("loss.cu", "mask = 16; mask > 0; mask /= 2) value", "mask = 8; mask > 0; mask /= 2) value", "loss"),
    "Kahan's term": ("loss.cu", "lost = (sum - row.sum) - term", "lost = 0", "equal"),
}  # fmt: skip
TWICE = """
extern "C" __global__ void xp_twice(const REAL* x, REAL* y) {
    y[threadIdx.x] = block_sum(x[threadIdx.x]) + block_sum(-2 * x[threadIdx.x]);
}
"""
CHECKS = {
    "relu": lambda e: check_elementwise(e, "float32", "relu", (33, 257)),
    "tanh_grad": lambda e: check_elementwise(e, "float32", "tanh_grad", (33,)),
    "columns": lambda e: check_column_sum(e, "float32"),
    "clip": lambda e: check_clip(e, "float32"),
    "loss": lambda e: check_loss(e, "float32", labelled(33, 33)),
    "twice": lambda e: check_sums_in_a_row(e),
    "equal": lambda e: test_many_equal_classes_lose_no_digits(e, "float32"),
}


@pytest.mark.slow("compiler")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(emulator, fault):
    file, old, new, check = FAULTS[fault]
    text = emulator.texts[file]
    assert text.count(old) == 1, "the source has changed: adapt FAULTS to it"
    with pytest.raises((AssertionError, RuntimeError)):
        CHECKS[check](Emulator({file: text.replace(old, new)}))


def check_sums_in_a_row(emulator):
    """Two block_sum in a row, which no kernel of the library has yet."""
    emulator = Emulator({"twice.cu": emulator.texts["reduce.cu"] + TWICE})

    def work(device):
        out = device.new(128)
        device.launch("twice", 1, 128, device.put(np.arange(128.0)), out)
        return [out]

    assert (in_every_order(emulator, "float32", work)[0] == -127 * 64).all()


def test_sums_in_a_row(emulator):
    check_sums_in_a_row(emulator)


def test_the_emulator_names_what_a_gpu_would_hang_on(emulator):
    file, old, new, check = FAULTS["half a barrier"]
    with pytest.raises(RuntimeError, match=r"xp_column_sum<<<2, 256>>>: a __syncthreads reached by only some threads"):
        CHECKS[check](Emulator({file: emulator.texts[file].replace(old, new)}))
    with pytest.raises(RuntimeError, match="a grid of no blocks"):
        emulator.launch("relu", "float32", 0, 256, (0, 0, 0))
    with pytest.raises(TypeError, match=r"relu: 2 arguments; it takes \(const REAL\*, REAL\*, long long\)"):
        emulator.launch("relu", "float32", 1, 256, (0, 0))
