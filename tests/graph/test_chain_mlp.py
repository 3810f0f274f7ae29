"""mlp: its layers and their sizes, and weights that depend on the seed alone."""

import hashlib
import math

import numpy as np
import pytest

from xpgraph import Affine, ReLU, Sigmoid, Tanh, mlp


def test_mlp_is_the_same_bits_everywhere(lib):
    digest = hashlib.sha256()
    for p in mlp([5, 4, 3], seed=11, backend=lib.place).params:
        digest.update(lib.numpy(p).tobytes())
    assert digest.hexdigest()[:16] == "1f798d0d45478286"


def test_mlp_has_the_layers_asked_for():
    model = mlp([784, 500, 10])
    assert [type(n) for n in model.nodes] == [Affine, Sigmoid, Affine]
    assert [p.shape for p in model.params] == [(784, 500), (500,), (500, 10), (10,)]
    assert {p.dtype.name for p in model.params} == {"float32"}
    assert [type(n) for n in mlp([4, 3, 3, 2], "relu").nodes] == [Affine, ReLU, Affine, ReLU, Affine]
    assert [type(n) for n in mlp([4, 2, 2], "tanh").nodes] == [Affine, Tanh, Affine]
    assert not np.array_equal(mlp([4, 3], seed=1).params[0], mlp([4, 3], seed=2).params[0])
    assert not np.array_equal(*(p[:3, :3] for p in mlp([3, 3, 3]).params[::2]))


HE, XAVIER = math.sqrt(2 / 400), math.sqrt(2 / 700)


@pytest.mark.parametrize(
    ("activation", "init", "std"),
    [
        ("sigmoid", None, XAVIER), ("tanh", "xavier", XAVIER), ("relu", None, HE),
        ("sigmoid", "he", HE), ("relu", "std=0.01", 0.01), ("relu", 0.5, 0.5), ("relu", 0, 0.0),
    ],
)  # fmt: skip
def test_initialisers_have_their_standard_deviation(activation, init, std):
    W, b = mlp([400, 300], activation, init=init, dtype="float64").params
    assert b.tolist() == [0.0] * 300
    assert W.std() == pytest.approx(std, rel=0.01)
    assert abs(W.mean()) <= 5 * std / math.sqrt(W.size)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sizes": [4]}, {"sizes": [4, 0]}, {"sizes": [4, 2.0]}, {"sizes": [True, 3]}, {"activation": "gelu"},
        {"init": "big"}, {"init": "std=-1"}, {"init": math.nan}, {"dtype": "float16"}, {"seed": -1},
    ],
)  # fmt: skip
def test_mlp_refuses(wrong):
    with pytest.raises(ValueError):
        mlp(**({"sizes": [4, 3]} | wrong))
