"""test_every_body.py for the CuPy bodies, without a GPU: each called as on a device, on arrays in host memory.

Which kernel is launched, with which grid and arguments, is the library's own doing. A test rig (cuda_rig.py) stands in
for the device: kernels run in the emulator of cuda_emulator.py, cuBLASLt products in NumPy.
"""

import numpy as np
import pytest
from cuda_rig import Rig, why_not
from kernel_checks import KERNELS, check_body
from layouts import LAYOUTS
from libs import Lib
from samples import SAMPLES

from xpgraph.arrays.kernels import TABLE

pytestmark = pytest.mark.skipif(bool(why_not()), reason=f"no CUDA rig: {why_not()}")
BODIES = [name for name in KERNELS if not why_not() and TABLE[name].body("cupy") and "cupy" in TABLE[name].fast_bodies]


@pytest.fixture(scope="module")
def rig():
    with Rig() as rig:
        yield rig


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", BODIES)
def test_every_cuda_body_agrees_with_the_generic_body(rig, name, dtype, layout):
    row, sample, lib = TABLE[name], SAMPLES[name], Lib("cupy", rig.place)
    n = {"empty": 0, "one_row": 1}.get(layout, 7)
    if n == 0 and sample.no_empty:
        pytest.skip(f"no empty arrays: {sample.no_empty}")
    for number, case in enumerate(sample.cases(np.random.default_rng(7), n)):
        check_body(lib, row, sample, row.fast_bodies["cupy"], (case, dtype, layout), f"{name}, cuda, case {number}")


def test_cupy_has_the_bodies_that_a_training_step_needs():
    products = {"matmul", "affine", "affine_grad"}
    maps = {f"{name}{end}" for name in ("sigmoid", "relu", "tanh") for end in ("", "_grad")}
    updates = {"sgd", "momentum", "adagrad", "rmsprop", "adam", "clip_rate"}
    assert set(BODIES) == {*products, *maps, *updates, "sum_to", "softmax_cross_entropy", "gather"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", BODIES)
def test_packed_arrays_launch_only_our_kernels_and_cublaslt(rig, name, dtype):
    """With arrays in C order, no body falls back silently to kernels of CuPy."""
    lib, sample = Lib("cupy", rig.place), SAMPLES[name]
    case = next(iter(sample.cases(np.random.default_rng(7), 7)))
    rig.calls.clear()
    check_body(lib, TABLE[name], sample, TABLE[name].fast_bodies["cupy"], (case, dtype, "C"), name)
    assert {kind for kind, _ in rig.calls} <= {"kernel", "cublaslt", "sync", "upload", "import"}, rig.calls
    assert any(kind in ("kernel", "cublaslt") for kind, _ in rig.calls)
