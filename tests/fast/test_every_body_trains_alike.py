"""Training gives the same weights with the generic bodies, with NumPy's fast ones, and with those of numba."""

from importlib.util import find_spec

import numpy as np
import pytest

from xpgraph import SGD, AdaGrad, Adam, Momentum, RMSprop, Trainer, mlp


@pytest.mark.parametrize("name", ["fast", "numba"])
@pytest.mark.parametrize("make", [SGD, Momentum, AdaGrad, RMSprop, Adam])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("activation", "max_grad"), [("sigmoid", None), ("relu", 0.05), ("tanh", 0.05)])
def test_training_with_fast_bodies_gives_the_weights_of_the_generic_ones(
    choose_bodies, name, make, dtype, activation, max_grad
):
    if name == "numba" and find_spec("numba") is None:
        pytest.skip("numba is not installed: pip install xpgraph-nn[numba]")
    random = np.random.default_rng(3)
    x, t = random.standard_normal((60, 260)).astype(dtype), random.integers(0, 4, 60)

    def weights():
        # 260 x 40 are 10,400 weights: enough for SGD to update them by BLAS
        trainer = Trainer(mlp([260, 40, 4], activation, dtype=dtype), make(lr=0.01))
        trainer.fit(x, t, 4, 12, max_grad=max_grad, eval_interval=None)
        return trainer.model.params

    choose_bodies("generic")
    generic = weights()
    choose_bodies(name)
    # RMSprop and Adam divide by the size of a gradient, which magnifies the error of one near 0.
    tolerance = 2e-4 if dtype == "float32" else 1e-10
    for a, b in zip(generic, weights(), strict=True):
        assert np.max(np.abs(a - b)) <= tolerance * max(1.0, np.max(np.abs(b)))
