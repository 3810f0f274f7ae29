"""Every body of every kernel, in every dtype and layout, against the generic body on NumPy in float64."""

import numpy as np
import pytest
from kernel_checks import KERNELS, bodies, check_body
from layouts import LAYOUTS
from samples import SAMPLES
from sampling import PROMISED

from xpgraph.arrays.kernels import TABLE


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", KERNELS)
def test_every_body_agrees_with_the_generic_body_on_numpy(lib, name, dtype, layout):
    row, sample = TABLE[name], SAMPLES[name]
    n = {"empty": 0, "one_row": 1}.get(layout, 7)
    if n == 0 and sample.no_empty:
        pytest.skip(f"no empty arrays: {sample.no_empty}")
    cases = 0
    for case in sample.cases(np.random.default_rng(7), n):
        for kind, body in bodies(row, lib.place.library.name).items():
            check_body(lib, row, sample, body, (case, dtype, layout), f"{name}, {kind}, case {cases}")
        cases += 1
    assert cases


def test_every_kernel_has_samples_and_every_row_of_samples_a_kernel():
    assert sorted(SAMPLES) == KERNELS


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_no_tolerance_is_looser_than_promised_without_a_reason(name):
    sample = SAMPLES[name]
    if not sample.reason:
        for tolerance, promised in zip(sample.tolerances, PROMISED[name], strict=True):
            assert tolerance.kind == promised.kind and tolerance.n <= promised.n


def test_a_wrong_body_is_found(lib):
    """The comparison fails for one rounding too many, for values in another order, and for another dtype."""
    sample, row = SAMPLES["multiply"], TABLE["multiply"]
    case = next(iter(sample.cases(np.random.default_rng(7), 7)))
    with pytest.raises(AssertionError, match="above the tolerance"):
        check_body(lib, row, sample, lambda x, y: x * y * 1.0000002, (case, "float32", "C"), "wrong")
    with pytest.raises(AssertionError, match="above the tolerance"):
        check_body(lib, row, sample, lambda x, y: lib.xp.flip(x, axis=0) * y, (case, "float64", "strided"), "wrong")
    with pytest.raises(AssertionError):
        check_body(lib, row, sample, lambda x, y: lib.xp.astype(x * y, lib.xp.float64), (case, "float32", "C"), "wrong")
