"""Matrix products through cuBLASLt: real cupy.ndarray objects over host memory, a fake library."""

import itertools

import numpy as np
import pytest
from cuda_arrays import device_array, host_view
from fake_cublaslt import BGRADA, BIAS, CublasLt

cupy = pytest.importorskip("cupy", reason="CuPy is not installed")

from xpgraph.fast.cuda import cublaslt, cublaslt_plan  # noqa: E402  (they import CuPy)

STREAM, WORKSPACE = 0x5EA0, 0x7E0000000000
TOLERANCE = {"float32": 1e-5, "float64": 1e-13}
LAYOUTS = ("rows", "columns", "rows apart", "columns apart")
SIZES = ((4, 8, 16), (7, 5, 3), (1, 5, 3), (5, 1, 3), (5, 3, 1), (1, 1, 1), (1, 1, 6), (33, 17, 129))  # m, k, n


@pytest.fixture
def use(monkeypatch):
    """``use(fake)``: put it in the place of the library, with no handle, workspace or plan made yet."""

    def put(cublas):
        monkeypatch.setattr(cublaslt, "load", lambda: cublas)
        for module, name in ((cublaslt_plan, "handles"), (cublaslt, "workspaces"), (cublaslt, "plans")):
            monkeypatch.setattr(module, name, {})
        monkeypatch.setattr(cublaslt, "device_number", lambda: 0)
        monkeypatch.setattr(cublaslt, "stream_address", lambda: STREAM)
        monkeypatch.setattr(cublaslt, "workspace_limit", lambda device: 8 * cublaslt.MIB)
        monkeypatch.setattr(cublaslt, "workspace_address", lambda device, stream: WORKSPACE)
        return cublas

    return put


@pytest.fixture
def cublas(use):
    return use(CublasLt())


def lay(a, layout):
    """A device array with the values of ``a``; "apart" leaves a gap after each row or column."""
    rows, columns = a.shape
    gap = 3 if layout.endswith("apart") else 0
    if layout.startswith("rows"):
        view = np.full((rows, columns + gap), np.nan, a.dtype)[:, :columns]
    else:
        view = np.full((columns, rows + gap), np.nan, a.dtype)[:, :rows].T
    view[...] = a
    return device_array(view)


def draw(m, k, n, dtype):
    rng = np.random.default_rng(m + 10 * k + 100 * n)
    return [rng.standard_normal(shape).astype(dtype) for shape in ((m, k), (k, n), (n,))]


def check(got, truth):
    truth = np.asarray(truth)
    assert np.allclose(host_view(got), truth, rtol=0, atol=TOLERANCE[str(got.dtype)] * (np.abs(truth).max() + 1))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_layout(cublas, size, dtype):
    """All in one test, so that the plan of one layout, wrongly used for the next, would show."""
    m, k, n = size
    a, b, _ = draw(m, k, n, dtype)
    for layouts in itertools.product(LAYOUTS, repeat=3):
        out = lay(np.full((m, n), np.nan, dtype), layouts[2])
        assert cublaslt.matmul(lay(a, layouts[0]), lay(b, layouts[1]), out)
        check(out, a.astype("f8") @ b)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_bias_and_column_sum(cublas, size, dtype):
    m, k, n = size
    a, b, bias = draw(m, k, n, dtype)
    for layouts in itertools.product(LAYOUTS, LAYOUTS, ("rows", "rows apart")):
        x, y = lay(a, layouts[0]), lay(b, layouts[1])
        out, sums = lay(np.full((m, n), np.nan, dtype), layouts[2]), device_array(np.full(n, np.nan, dtype))
        assert cublaslt.matmul(x, y, out, bias=device_array(bias))
        check(out, a.astype("f8") @ b + bias)
        host_view(out)[...] = np.nan
        done = cublaslt.matmul(x, y, out, column_sum=sums)
        assert done or not layouts[1].startswith("rows")
        if done:
            assert layouts[1].startswith("rows") or 1 in (k, n)
            check(out, a.astype("f8") @ b)
            check(sums, b.astype("f8").sum(0))


def test_backward_of_an_affine_node(cublas):
    x, dy, _ = draw(100, 784, 10, "float32")[0], *draw(3, 100, 10, "float32")[1:]
    dW, db = device_array(np.empty((784, 10), "f4")), device_array(np.empty(10, "f4"))
    assert cublaslt.matmul(device_array(x).T, device_array(dy), dW, column_sum=db)
    check(dW, x.T.astype("f8") @ dy)
    check(db, dy.astype("f8").sum(0))


def arrays(**changes):
    """Good arguments of a product (4, 5) by (5, 6), some of them replaced."""
    a, b, v = draw(4, 5, 6, "float32")
    made = {"a": a, "b": b, "out": np.zeros((4, 6), "f4"), "v": v} | changes
    return [device_array(made[name]) for name in ("a", "b", "out", "v")]


WIDE = np.zeros((40, 40), "f4")
UNSUPPORTED = {
    "a reversed": {"a": WIDE[3::-1, :5]},
    "a with reversed rows": {"a": WIDE[:4, 4::-1]},
    "every second column": {"b": WIDE[:5, 0:12:2]},
    "one row for all": {"a": np.broadcast_to(WIDE[0, :5], (4, 5))},
    "one number for all": {"a": np.broadcast_to(np.float32(1), (4, 5))},
    "rows that overlap": {"b": np.lib.stride_tricks.as_strided(WIDE, (5, 6), (8, 4))},
    "columns that overlap": {"b": np.lib.stride_tricks.as_strided(WIDE, (5, 6), (4, 8))},
    "out in every second column": {"out": WIDE[:4, 0:12:2].copy()[:, ::-1]},
    "half precision": {name: np.zeros(shape, "f2") for name, shape in (("a", (4, 5)), ("b", (5, 6)), ("out", (4, 6)))},
    "integers": {name: np.zeros(shape, "i4") for name, shape in (("a", (4, 5)), ("b", (5, 6)), ("out", (4, 6)))},
    "two dtypes": {"b": np.zeros((5, 6))},
    "out of another dtype": {"out": np.zeros((4, 6))},
    "no rows": {"a": np.zeros((0, 5), "f4"), "out": np.zeros((0, 6), "f4")},
    "nothing to sum": {"a": np.zeros((4, 0), "f4"), "b": np.zeros((0, 6), "f4")},
    "no columns": {"b": np.zeros((5, 0), "f4"), "out": np.zeros((4, 0), "f4")},
    "shapes that do not fit": {"b": np.zeros((4, 6), "f4")},
    "out of another shape": {"out": np.zeros((6, 4), "f4")},
    "three axes": {"a": np.zeros((1, 4, 5), "f4")},
    "a vector": {"a": np.zeros(5, "f4"), "out": np.zeros(6, "f4")},
    "at an odd address": {"a": np.zeros(81, "u1")[1:].view("f4").reshape(4, 5)},
}
BAD_VECTORS = {
    "too short": {"v": np.zeros(5, "f4")},
    "strided": {"v": np.zeros(12, "f4")[::2]},
    "reversed": {"v": np.zeros(6, "f4")[::-1]},
    "of another dtype": {"v": np.zeros(6)},
    "a row": {"v": np.zeros((1, 6), "f4")},
    "out in columns": {"out": np.zeros((6, 4), "f4").T},
}


@pytest.mark.parametrize("changes", list(UNSUPPORTED.values()), ids=UNSUPPORTED)
def test_unsupported_arrays_give_false_and_no_call(cublas, changes):
    a, b, out, _ = arrays(**changes)
    assert cublaslt.matmul(a, b, out) is cublaslt.matmul(a, b, out) is False
    assert not cublas.made and not cublas.calls


@pytest.mark.parametrize("word", ["bias", "column_sum"])
@pytest.mark.parametrize("changes", list(BAD_VECTORS.values()), ids=BAD_VECTORS)
def test_unsupported_vectors_give_false_and_no_call(cublas, changes, word):
    a, b, out, v = arrays(**changes)
    assert cublaslt.matmul(a, b, out, **{word: v}) is False
    assert not cublas.made and not cublas.calls


def test_unsupported_column_sums_give_false_and_no_call(cublas):
    a, b, out, v = arrays()
    assert cublaslt.matmul(a, b, out, bias=v, column_sum=v) is False
    assert cublaslt.matmul(a, arrays(b=np.zeros((6, 5), "f4").T)[1], out, column_sum=v) is False
    assert not cublas.made and not cublas.calls


def test_an_algorithm_is_looked_for_once_for_each_shape(cublas):
    for _ in range(3):
        a, b, out, _ = arrays()
        assert cublaslt.matmul(a, b, out)
    made = cublas.made
    assert (len(cublas.problems), len(cublas.calls)) == (1, 3)
    assert cublaslt.matmul(a, b, out) and cublas.made == made
    assert cublaslt.matmul(*arrays(a=np.zeros((3, 5), "f4"), out=np.zeros((3, 6), "f4"))[:3])
    assert cublaslt.matmul(*arrays(b=np.zeros((6, 5), "f4").T)[:3])
    assert len(cublas.problems) == 3
    call = cublas.calls[-1]
    assert (call.m, call.n, call.k, call.ops, call.stream) == (6, 4, 5, (1, 0), STREAM)


def at_shift(a, shift):
    """A device array whose address is ``shift`` float32 past a multiple of 16."""
    block = np.zeros(a.size + 8, "f4")
    start = -(block.ctypes.data // 4) % 4 + shift
    block[start : start + a.size] = a.ravel()
    return device_array(block[start : start + a.size].reshape(a.shape))


@pytest.mark.parametrize("which", range(4))
def test_each_alignment_has_a_plan(cublas, which):
    for shift in (0, 1, 2, 3, 4):
        made = [at_shift(host_view(a), shift if i == which else 0) for i, a in enumerate(arrays())]
        assert cublaslt.matmul(*made[:3], bias=made[3])
        check(made[2], host_view(made[0]).astype("f8") @ host_view(made[1]) + host_view(made[3]))
    assert [alignments for _, alignments in cublas.problems] == [[16] * 4, [4] * 4, [8] * 4]


def test_bias_vectors_may_alternate(cublas):
    a, b, out, first = arrays()
    second = device_array(np.arange(6, dtype="f4"))
    product = host_view(a).astype("f8") @ host_view(b)
    for v in (first, second, first, second):
        assert cublaslt.matmul(a, b, out, bias=v)
        check(out, product + host_view(v))
    assert cublaslt.matmul(a, b, out)
    check(out, product)
    assert [call.bias for call in cublas.calls] == [first.data.ptr, second.data.ptr] * 2 + [0]
    assert len(cublas.problems) == 2


def test_old_descriptors_and_plans_are_destroyed(cublas, monkeypatch):
    monkeypatch.setattr(cublaslt_plan, "MAX_DESCRIPTORS", 3)
    monkeypatch.setattr(cublaslt, "MAX_PLANS", 2)
    a, b, out, _ = arrays()
    vectors = [device_array(np.full(6, i, "f4")) for i in range(20)]
    for v in vectors * 2:
        assert cublaslt.matmul(a, b, out, bias=v)
        check(out, host_view(a).astype("f8") @ host_view(b) + host_view(v))
    for m in range(1, 20):
        assert cublaslt.matmul(*arrays(a=np.zeros((m, 5), "f4"), out=np.zeros((m, 6), "f4"))[:3])
    kinds = [made.kind for made in cublas.objects.values()]
    assert kinds.count("descriptor") <= 2 * 3 and kinds.count("layout") <= 2 * 3 and kinds.count("preference") == 0


def test_a_refused_epilogue_gives_false_and_is_remembered(use):
    cublas = use(CublasLt(refuse=(BGRADA,)))
    a, b, out, v = arrays()
    for _ in range(3):
        assert cublaslt.matmul(a, b, out, column_sum=v) is False
    assert len(cublas.problems) == 1 and not cublas.calls
    assert cublaslt.matmul(a, b, out, bias=v) and cublas.calls[-1].epilogue == BIAS


def test_the_workspace_is_passed_if_the_algorithm_needs_one(use):
    cublas = use(CublasLt(workspace=4096))
    assert cublaslt.matmul(*arrays()[:3]) and cublas.calls[-1].workspace == (WORKSPACE, 4096)
    cublas = use(CublasLt(workspace=9 * cublaslt.MIB))  # more than there is
    assert cublaslt.matmul(*arrays()[:3]) is False


def test_each_stream_has_a_workspace(monkeypatch):
    monkeypatch.setattr(cublaslt, "workspaces", {})
    monkeypatch.setattr(cublaslt, "workspace_limit", lambda device: 8 * cublaslt.MIB)
    sizes = []

    class Memory:
        def __init__(self, size):
            sizes.append(size)
            self.ptr = len(sizes) << 20

    monkeypatch.setattr(cupy.cuda, "Memory", Memory)
    assert [cublaslt.workspace_address(*at) >> 20 for at in ((0, 1), (0, 2), (0, 1), (1, 1), (0, 2))] == [1, 2, 1, 3, 2]
    assert sizes == [8 * cublaslt.MIB] * 3


@pytest.mark.parametrize(
    "name", ["cublasLtCreate", "cublasLtMatmulDescCreate", "cublasLtMatmulAlgoGetHeuristic", "cublasLtMatmul"]
)
def test_a_failed_call_is_named(use, name):
    cublas = use(CublasLt(status={name: 13}))
    a, b, out, _ = arrays()
    for _ in range(2):
        with pytest.raises(
            cublaslt.CublasLtError, match=rf"{name} returned status 13 \(CUBLAS_STATUS_EXECUTION_FAILED\)"
        ):
            cublaslt.matmul(a, b, out)
    assert issubclass(cublaslt.CublasLtError, RuntimeError)
    cublas.status.clear()
    assert cublaslt.matmul(a, b, out)


def test_precision(cublas):
    a, b, _ = draw(33, 65, 17, "float32")
    results = {}
    for dtype, precision in (("f4", "fp32"), ("f4", "tf32"), ("f8", "fp32"), ("f8", "tf32")):
        out = device_array(np.zeros((33, 17), dtype))
        assert cublaslt.matmul(device_array(a.astype(dtype)), device_array(b.astype(dtype)), out, precision=precision)
        results[dtype, precision] = host_view(out)
    truth = results["f8", "fp32"]
    assert np.array_equal(truth, results["f8", "tf32"])
    assert np.abs(results["f4", "fp32"] - truth).max() < 1e-5
    assert 1e-4 < np.abs(results["f4", "tf32"] - truth).max() < 5e-2
    assert [call.compute for call in cublas.calls] == [68, 77, 70, 70]
    with pytest.raises(ValueError, match="precision is 'fp16'; give one of fp32, tf32"):
        cublaslt.matmul(*arrays()[:3], precision="fp16")
