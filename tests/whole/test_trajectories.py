"""The same training from the same bits: on two backends it stays close, on one it is the same to the bit."""

from contextlib import nullcontext
from functools import cache

import numpy as np
import pytest
from libs import torch_in_one_thread
from nets import MAKE, bits
from reference import gap

from xpgraph import Trainer, mlp, to_numpy
from xpgraph.arrays.libraries import place

# max |a - b| / max |a| of any parameter array after 1, 100 and 1,000 steps of 784-100-10 (docs/accuracy.md)
BARS = {
    ("SGD", "float64"): (1e-13, 1e-10, 1e-8),
    ("Momentum", "float64"): (1e-13, 1e-10, 1e-8),
    ("SGD", "float32"): (1e-5, 1e-4, 1e-3),
    ("Momentum", "float32"): (1e-5, 1e-4, 1e-3),
    ("Adam", "float64"): (1e-12,),  # Adam divides small gradients by small gradients, so its weights may part:
    ("Adam", "float32"): (1e-3,),  # what it has learnt is compared instead
}
LR = {"SGD": 0.1, "Momentum": 0.02, "Adam": 0.001}
ROWS = 10  # a step; more would wake the threads of BLAS, which slow a busy machine down
CALLS = ((1, 1), (9, 11), (100, 9))  # (batches, epochs): 1, 99 and 900 steps


@cache
def pictures():
    """As large as MNIST's, values 0..1: a faint pattern for each class under noise; 1,000 to train, 2,000 to test."""
    rng = np.random.Generator(np.random.Philox(2026))
    patterns = rng.random((10, 784))
    t = rng.integers(0, 10, 3000)
    x = 0.12 * patterns[t] + 0.88 * rng.random((3000, 784))
    return x[:1000], t[:1000], x[1000:], t[1000:]


def one_thread(where):
    return torch_in_one_thread() if where.library.name == "torch" else nullcontext()


def train(name, dtype, where, steps):
    """The weights after 1, 100 and perhaps 1,000 steps, and the test error in percent."""
    x, t, x_test, t_test = pictures()
    model = mlp([784, 100, 10], dtype=dtype, backend=where, seed=4)
    trainer, kept = Trainer(model, MAKE[name](lr=LR[name])), []
    with one_thread(where):
        for batches, epochs in CALLS if steps == 1000 else CALLS[:2]:
            n = batches * ROWS
            trainer.fit(x[:n], t[:n], epochs, ROWS, eval_interval=None)
            kept.append([np.array(to_numpy(p)) for p in model.params])
        assert trainer.steps == steps
        return kept, 100 * (1 - model.evaluate(x_test, t_test).accuracy)


@cache
def on_numpy(name, dtype, steps):
    return train(name, dtype, place("numpy"), steps)


@pytest.mark.parametrize("steps", [100, pytest.param(1000, marks=pytest.mark.slow("training"))])
@pytest.mark.parametrize(("name", "dtype"), BARS)
def test_weights_stay_within_their_bars(lib, name, dtype, steps):
    if steps == 1000 and lib.name == "array_api_strict":
        pytest.skip("array_api_strict is slow, and NumPy inside: 100 steps show what 1,000 would")
    want, error = on_numpy(name, dtype, steps)
    kept, other_error = train(name, dtype, lib.place, steps)
    if steps == 1000:
        assert 1.0 < error < 40.0, "the data must be neither trivial nor hopeless, or equal errors would show nothing"
        assert abs(other_error - error) <= 0.3
    for bar, arrays, references in zip(BARS[name, dtype], kept, want, strict=False):
        for a, b in zip(arrays, references, strict=True):
            assert a.dtype == dtype
            assert gap(a, b) <= (0 if "numpy" in lib.name else bar)


@pytest.mark.parametrize("name", MAKE)
def test_twenty_runs_give_one_result_to_the_bit(lib, name):
    x, t, _, _ = pictures()
    results = set()
    with one_thread(lib.place):
        for _ in range(20):
            model = mlp([784, 12, 10], backend=lib.place)
            trainer = Trainer(model, MAKE[name]())
            trainer.fit(x[:40], t[:40], 2, ROWS, max_grad=1.0, eval_interval=None)
            results.add((*bits(lib, model.params), trainer.history[-1]["loss"]))
    assert len(results) == 1
