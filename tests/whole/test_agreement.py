"""How far the libraries lie from NumPy, kernel by kernel, and float32 from the truth on long sweeps.

float64: at most 2 ulp (exp, log, sigmoid 4, softmax 16). float32: relative 1e-6. What sums: |a - b| <= 16 u Σ|terms|
for K <= 4096, for in ulp the same difference can be thousands. ``pytest -rP`` shows what was found.
"""

import numpy as np
import pytest
from samples import SAMPLES

from xpgraph.arrays.libraries import LIBRARIES
from xpgraph.nodes import basic as nodes
from xpgraph.nodes import layers, losses

HOST = LIBRARIES["numpy"].xp
ULPS = {
    nodes.add: 0,
    nodes.multiply: 0,
    layers.relu: 0,
    layers.relu_grad: 0,
    layers.sigmoid: 4,
    layers.sigmoid_grad: 4,  # the exponential of sigmoid
    layers.tanh: 2,
    layers.tanh_grad: 4,
    layers.stable_softmax: 16,
}
SPREAD = {layers.tanh: 20, layers.tanh_grad: 40, layers.stable_softmax: 5}


def pair(lib, kernel, *args):
    """The kernel's values in the library and on NumPy, both as float64."""
    there = lib.numpy(kernel(*(lib.array(a) for a in args)))
    here = kernel.row.generic(HOST, *args)
    assert there.dtype == here.dtype and there.shape == here.shape
    return there.astype(float), here.astype(float)


def ulps(got, truth, dtype):
    return np.max(np.abs(got - truth) / np.spacing(np.abs(truth).astype(dtype)).astype(float))


@pytest.mark.parametrize("kernel", ULPS, ids=lambda k: k.__name__)
def test_elementwise_kernels_agree(lib, kernel):
    rng, spread = np.random.default_rng(11), SPREAD.get(kernel, 80)
    args = [rng.uniform(-spread, spread, (4000, 10)) for _ in kernel.row.parameters]
    there, here = pair(lib, kernel, *args)
    found = ulps(there, here, "float64")
    there, here = pair(lib, kernel, *(a.astype(np.float32) for a in args))
    relative = np.max(np.abs(there - here) / np.maximum(np.abs(here), np.finfo(np.float32).tiny))
    print(f"{found} ulp in float64, {relative:.1e} relative in float32")
    assert found <= ULPS[kernel]
    assert relative <= 1e-6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("K", [1, 7, 64, 784, 4096])
def test_products_and_sums_agree_and_float32_is_near_the_truth(lib, K, dtype):
    rng, u = np.random.default_rng(K), np.finfo(dtype).eps / 2
    A, B, b = (rng.standard_normal(s).astype(dtype) for s in ((20, K), (K, 10), (10,)))
    wide = np.abs(A).astype(float) @ np.abs(B).astype(float)
    found = {}
    for kernel, args, scale in ((nodes.matmul, (A, B), wide), (layers.affine, (A, B, b), wide + np.abs(b))):
        there, here = pair(lib, kernel, *args)
        found[kernel.__name__] = np.max(np.abs(there - here) / scale) / u
    for name, call, scale in (
        ("sum_to", lambda sum_to, x: sum_to(x, (10,)), np.sum(np.abs(B), axis=0)),
        ("sum_over", lambda sum_over, x: sum_over(x, (0,), False), np.sum(np.abs(B), axis=0)),
    ):
        row = getattr(nodes, name)
        there, here = call(row, lib.array(B)), call(lambda *a, f=row: f.row.generic(HOST, *a), B)
        found[name] = np.max(np.abs(lib.numpy(there).astype(float) - here.astype(float)) / scale) / u
    assert max(found.values()) <= 16, found
    if dtype == "float32":
        off = np.abs(lib.numpy(nodes.matmul(lib.array(A), lib.array(B))) - A.astype(float) @ B.astype(float))
        found["of the truth"] = np.max(off / wide) / u
        assert found["of the truth"] <= 2 * (K + 4)
    print(found)


# --- float32 against float64 ---


def float32_ulps(lib, kernel, *args):
    args = [a.astype(np.float32) for a in args]
    got = lib.numpy(kernel(*(lib.array(a) for a in args))).astype(float)
    return ulps(got, kernel.row.generic(HOST, *(a.astype(float) for a in args)), np.float32)


def test_sigmoid_in_float32_on_a_sweep(lib):
    x = np.linspace(-87, 87, 200_001)
    value, gradient = float32_ulps(lib, layers.sigmoid, x), float32_ulps(lib, layers.sigmoid_grad, np.ones_like(x), x)
    print(f"sigmoid {value} ulp, gradient {gradient} ulp")
    assert value <= SAMPLES["sigmoid"].tolerances[0].n == 4
    assert gradient <= SAMPLES["sigmoid_grad"].tolerances[0].n == 8


@pytest.mark.parametrize("size", [0.1, 1, 10, 80])
def test_log_softmax_in_float32(lib, size):
    """Seen through the loss, one row at a time: abs 8u (1 + max|z|)."""
    rng, u, worst = np.random.default_rng(2), np.finfo(np.float32).eps / 2, 0.0
    for classes in (2, 10, 100):
        x = (rng.standard_normal((1, classes)) * size).astype(np.float32)
        z = x.astype(float) - x.max()
        truth = z - np.log(np.exp(z).sum())
        got = [
            -float(losses.SoftmaxWithLoss().forward(lib.array(x), lib.array([t]))) - truth[0, t] for t in range(classes)
        ]
        worst = max(worst, np.max(np.abs(got)) / (8 * u * (1 + np.max(np.abs(z)))))
    print(f"{worst:.2f} of the bound")
    assert worst <= 1
