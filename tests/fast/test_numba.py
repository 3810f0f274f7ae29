"""When numba's bodies run, what they leave to NumPy's, and how they are compiled."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import xpgraph
from xpgraph import Affine, Momentum, ShapeError, SoftmaxWithLoss
from xpgraph.arrays.kernels import TABLE, load_fast
from xpgraph.nodes.layers import affine, affine_grad, sigmoid, sigmoid_grad
from xpgraph.nodes.losses import softmax_cross_entropy
from xpgraph.training.update_rules import adam, momentum

pytest.importorskip("numba", reason="numba is not installed: pip install xpgraph-nn[numba]")
BODIES = {"affine", "affine_grad", "sigmoid", "sigmoid_grad", "softmax_cross_entropy", "momentum", "adagrad", "rmsprop",
          "adam"}  # fmt: skip


@pytest.fixture(autouse=True)
def numba_bodies(choose_bodies):
    choose_bodies("numba")


def test_numbas_bodies_come_first_and_can_be_turned_off(monkeypatch):
    load_fast("numpy")
    assert {name for name, row in TABLE.items() if "numpy+numba" in row.fast_bodies} == BODIES
    row = TABLE["adam"]
    assert row.body("numpy") is row.fast_bodies["numpy+numba"]
    monkeypatch.setenv("XPGRAPH_NUMBA", "0")
    assert row.body("numpy") is row.fast_bodies["numpy"]
    monkeypatch.setenv("XPGRAPH_NUMBA", "1")
    monkeypatch.setenv("XPGRAPH_GENERIC", "1")
    assert row.body("numpy") not in row.fast_bodies.values()


@pytest.mark.parametrize("error", [ImportError, OSError, AttributeError, SystemError])
def test_a_numba_whose_import_fails_is_ignored(error, tmp_path):
    (tmp_path / "numba.py").write_text(f"raise {error.__name__}('broken')")
    assert compiler_in_a_new_process(tmp_path) == ["''", "False"]


def test_without_compilation_numpys_bodies_run():
    assert compiler_in_a_new_process(NUMBA_DISABLE_JIT="1") == ["''", "False"]
    assert compiler_in_a_new_process() == ["'numba'", "True"]


def compiler_in_a_new_process(*folders, **environment):
    """The name of the compiler of NumPy's bodies, and whether it declared any; these folders are searched first."""
    code = """
import numpy as np
from xpgraph.arrays.kernels import TABLE, compiler_for
from xpgraph.nodes.layers import sigmoid
assert sigmoid(np.zeros(3, np.float32)).tolist() == [0.5] * 3
print(repr(compiler_for("numpy")), "numpy+numba" in TABLE["adam"].fast_bodies)
"""
    root = str(Path(xpgraph.__file__).parents[1])
    path = os.pathsep.join([*map(str, folders), root])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_only_the_compiler_of_a_library_may_declare_bodies_for_it():
    load_fast("numpy")
    with pytest.raises(ValueError, match=r"adam.fast\('cupy', compiler='numba'\): unknown\. Known: none, leave it out"):
        adam.fast("cupy", compiler="numba")(TABLE["adam"].fast_bodies["numpy"])


def test_without_a_folder_to_cache_in_loops_are_compiled_in_each_process(monkeypatch):
    import numba

    from xpgraph.fast.numba.nodes import compiled

    caching = []
    real = numba.njit

    def njit(*args, cache=False, **more):
        caching.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(*args, **more)

    monkeypatch.setattr(numba, "njit", njit)
    assert callable(compiled(lambda x: x))
    assert caching == [True, False]


def test_the_exponential_is_right_within_two_ulp_everywhere():
    import numba

    from xpgraph.fast.numba.nodes import UNDERFLOW, exp_float32

    largest = np.float32(88)

    @numba.njit
    def exponentials(x, y):
        for i in range(x.size):
            y[i] = exp_float32(x[i])

    special = [0.0, -0.0, 1e-30, np.nan, UNDERFLOW, largest]
    x = np.concatenate([np.linspace(UNDERFLOW, largest, 400_001), special]).astype(np.float32)
    y = np.empty_like(x)
    exponentials(x, y)
    with np.errstate(all="ignore"):
        true = np.exp(x.astype(np.float64))
        ulp = np.spacing(np.maximum(true, np.finfo(np.float32).tiny).astype(np.float32)).astype(np.float64)
    assert np.isnan(y[-3]) and np.isnan(x[-3])
    error = np.abs(y - true) / ulp
    assert np.nanmax(error) < 2


def test_sigmoid_at_the_ends_of_float32():
    x = np.array([np.inf, -np.inf, np.nan, 1e30, -1e30, 88.8, -88.8, -103.0, 0.0, -0.0], np.float32)
    with np.errstate(over="ignore"):
        true = 1 / (1 + np.exp(-x.astype(np.float64)))
    assert np.allclose(sigmoid(x), true, rtol=1e-6, atol=1e-44, equal_nan=True)
    assert sigmoid(np.float32([-np.inf, -200])).tolist() == [0, 0]
    slope = sigmoid_grad(np.ones_like(x), x)
    assert np.isnan(slope[2]) and (slope[[0, 1, 3, 4]] == 0).all() and slope[8] == slope[9] == 0.25


def test_the_loss_with_labels_out_of_range_and_scores_that_are_not_finite():
    layer, x = SoftmaxWithLoss(), np.zeros((3, 4), np.float32)
    with pytest.raises(ValueError, match=r"t\[1\] is 4 but there are 4 classes"):
        layer.forward(x, np.array([0, 4, 1]))
    with pytest.raises(ValueError, match=r"t\[2\] is -1"):
        layer.forward(x, np.array([0, 3, -1]))
    for bad in (np.nan, np.inf):
        x[1, 2] = bad
        with np.errstate(invalid="ignore"):
            loss, y, _ = softmax_cross_entropy(x, np.array([0, 1, 2]))
        assert np.isnan(loss) and np.isfinite(y[[0, 2]]).all()


def test_many_classes_of_nearly_equal_scores_lose_no_digits():
    x = np.full((2, 10_000), 0.3, np.float32)
    x[:, 0] = 0.9
    true, y_true, _ = softmax_cross_entropy(x.astype(np.float64), np.array([0, 1]))
    loss, y, _ = softmax_cross_entropy(x, np.array([0, 1]))
    assert abs(loss - true) < 1e-6 and np.max(np.abs(y / y_true - 1)) < 1e-6


def test_no_loop_writes_outside_an_array():
    optimizer, p = Momentum(lr=1.0), np.zeros((4, 3), np.float32)
    optimizer.update([p], [np.ones((4, 3), np.float32)])
    with pytest.raises(ShapeError, match=r"params\[0\] is \(4, 3\) but grads\[0\] is \(2, 3\)"):
        optimizer.update([p], [np.ones((2, 3), np.float32)])
    p, v = np.zeros((4, 3), np.float32), np.zeros((4, 3), np.float32)
    momentum([p], [np.ones((1, 3), np.float32)], [v], 1.0, 0.9)  # NumPy's body, which broadcasts
    assert (p == -1).all()
    p.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        momentum([p], [np.ones((4, 3), np.float32)], [v], 1.0, 0.9)
    node, x = Affine(np.ones((2, 3), np.float32), np.ones(3, np.float32)), np.ones((4, 2), np.float32)
    node.params[1] = np.full(1, 5, np.float32)
    assert (node.forward(x) == 7).all()
    node.params[1], node.grads[1] = np.ones(3, np.float32), np.ones(7, np.float32)
    with pytest.raises(ValueError):
        node.backward(node.forward(x))


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("kind", ["float16", ">f4", "memmap", "read-only", "0-d", "transposed"])
def test_other_kinds_of_arrays_go_to_numpys_bodies(kind, tmp_path):
    random = np.random.default_rng(0)

    def as_kind(a):
        if kind in ("float16", ">f4"):
            return a.astype(kind)
        if kind == "memmap":
            b = np.memmap(tmp_path / f"{len(list(tmp_path.iterdir()))}", np.float32, "w+", shape=a.shape)
            b[...] = a
            return b
        a = a.astype(np.float32)
        if kind == "read-only":
            a.flags.writeable = False
        return a[0, 0] if kind == "0-d" else a.T if kind == "transposed" else a

    x, dy = random.standard_normal((6, 6)), random.standard_normal((6, 6))
    for call, arrays in [(sigmoid, [x]), (sigmoid_grad, [dy, x])]:
        given = [as_kind(a) for a in arrays]
        true = call(*[np.asarray(a, np.float64) for a in given])
        assert np.allclose(call(*given), true, rtol=3e-3 if kind == "float16" else 1e-5)
    if kind == "0-d":
        return
    W, b = as_kind(random.standard_normal((6, 5))), as_kind(random.standard_normal((1, 5)))[..., 0, :]
    t = np.arange(6) % 5
    if kind == "transposed":
        W, b = np.asfortranarray(random.standard_normal((6, 5)).astype(np.float32)), np.zeros(10, np.float32)[::2]
    y = affine(as_kind(x), W, b)
    true = as_kind(x).astype(np.float64) @ W.astype(np.float64) + b.astype(np.float64)
    assert np.allclose(y, true, rtol=2e-2 if kind == "float16" else 1e-4, atol=1e-2 if kind == "float16" else 1e-5)
    loss = softmax_cross_entropy(as_kind(true), t)[0] if kind != "transposed" else softmax_cross_entropy(y, t)[0]
    assert np.allclose(loss, softmax_cross_entropy(true, t)[0], rtol=1e-2 if kind == "float16" else 1e-5)
    dW, db = np.zeros_like(W, subok=False), np.zeros(10, W.dtype)[::2]
    affine_grad(as_kind(x), y, dW, db)
    assert np.allclose(db, y.astype(np.float64).sum(0), rtol=1e-2, atol=2e-2 if kind == "float16" else 1e-5)


def test_blocks_on_threads_give_the_same_bits_as_one_loop(monkeypatch):
    from xpgraph.fast import blocks
    from xpgraph.fast.numba import training

    random = np.random.default_rng(0)
    given = [[random.standard_normal(n).astype(np.float32) ** 2 for n in (300_001, 70_000, 5)] for _ in range(4)]

    def updated(threads, threaded=0):
        monkeypatch.setattr(blocks, "threads", lambda: threads)
        monkeypatch.setattr(training, "THREADED", threaded)
        lists = [[a.copy() for a in arrays] for arrays in given]
        adam(*lists, 1e-3, 0.9, 0.999, 1e-8)
        return lists

    whole = updated(1, threaded=1 << 30)  # not cut at all
    for other in (updated(1), updated(2)):
        assert all(np.array_equal(a, b) for x, y in zip(whole, other, strict=True) for a, b in zip(x, y, strict=True))


@pytest.mark.parametrize("shape", [(7, 5), (2, 3, 4), (3, 300)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_loss_agrees_with_numpys_body_in_both_dtypes(dtype, shape):
    from xpgraph.fast.numpy import nodes as numpys

    load_fast("numpy")
    random = np.random.default_rng(3)
    x, t = random.normal(0, 200, shape).astype(dtype), random.integers(0, shape[-1], shape[:-1])
    expected = numpys.softmax_cross_entropy(x, t)
    eps = np.finfo(dtype).eps
    for found, true in zip(TABLE["softmax_cross_entropy"].fast_bodies["numpy+numba"](x, t), expected, strict=True):
        assert found.dtype == dtype and found.shape == true.shape
        assert np.allclose(found, true, rtol=100 * eps, atol=eps * 1e-3)
