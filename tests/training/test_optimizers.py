"""The five optimizers against the formulas of their papers, and what they promise about their state."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import MAKE
from reference import RULES, Reference, gap

from xpgraph import (
    SGD,
    AdaGrad,
    Adam,
    LibraryError,
    Momentum,
    Optimizer,
    RMSprop,
    ShapeError,
)
from xpgraph.arrays.libraries import layout
from xpgraph.training.optimizers import OPTIMIZERS

SHAPES = [(3, 4), (4,), (), (2, 1, 3)]
BARS = {"float64": 1e-12, "float32": 1e-4}
every_optimizer = pytest.mark.parametrize("name", MAKE)


def numbers(shape, seed, dtype="float64"):
    return np.random.Generator(np.random.Philox(seed)).standard_normal(shape).astype(dtype)


def lists(lib, dtype="float64", seed=0):
    """Parameters, gradients and the same on the host."""
    p = [np.asarray(numbers(s, seed + i, dtype)) for i, s in enumerate(SHAPES)]
    g = [np.asarray(numbers(s, seed + 50 + i, dtype)) for i, s in enumerate(SHAPES)]
    return [lib.param(a) for a in p], [lib.array(a) for a in g], p, g


def gradients(step, dtype):
    """Gradients that come and go in size and sign, down to 1e-5, and are 0 at times."""
    size = 10.0 ** (-5 * (step % 7) / 6) * (step % 11 != 0)
    return [np.asarray(numbers(s, 1000 * i + step % 23, dtype) * np.asarray(size, dtype)) for i, s in enumerate(SHAPES)]


@every_optimizer
@pytest.mark.parametrize("dtype", BARS)
def test_thousand_steps_follow_the_papers_formulas(lib, name, dtype):
    params, _, start, _ = lists(lib, dtype)
    optimizer, reference = MAKE[name](), Reference(RULES[name], start)
    host = [gradients(step, dtype) for step in range(77)]  # all pairs of size and sign; then round again
    here = [[lib.array(g) for g in grads] for grads in host]
    for step in range(1000):
        optimizer.update(params, here[step % 77])
        reference.update(host[step % 77])
    assert optimizer.iter == 1000
    for p, want in zip(params, reference.params, strict=True):
        assert lib.numpy(p).dtype == dtype
        assert gap(lib.numpy(p), want) <= BARS[dtype]


LRS = {"SGD": 1e-3, "Momentum": 2e-4, "AdaGrad": 0.5, "RMSprop": 1e-3, "Adam": 0.02, "Adam-chapter": 0.02}


@every_optimizer
def test_brings_rosenbrock_down(lib, name):
    p = lib.param([-1.2, 1.0])
    optimizer = MAKE[name](lr=LRS[name])
    for _ in range(3000):
        x, y = lib.numpy(p).tolist()
        optimizer.update([p], [lib.array([-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)])])
    x, y = lib.numpy(p).tolist()
    assert (1 - x) ** 2 + 100 * (y - x * x) ** 2 < 0.25, (x, y)  # 24.2 at the start, 4 on the valley's floor


@every_optimizer
def test_brings_a_parabola_down(lib, name):
    p = lib.param([-7.0, 2.0], "float32")
    optimizer = MAKE[name](lr={"SGD": 0.9, "Momentum": 0.1, "AdaGrad": 1.5}.get(name, 0.1))
    for _ in range(200):
        x, y = lib.numpy(p).tolist()
        optimizer.update([p], [lib.array([x / 10, 2 * y], "float32")])
    x, y = lib.numpy(p).tolist()
    assert x * x / 20 + y * y < 1e-2  # 6.45 at the start


@every_optimizer
@pytest.mark.parametrize("dtype", BARS)
def test_changes_parameters_in_place_and_nothing_else(lib, name, dtype):
    params, grads, p, g = lists(lib, dtype)
    at = [layout(a) for a in params]
    optimizer = MAKE[name]()
    optimizer.update(params, grads)
    optimizer.update(params, grads)
    assert [layout(a) for a in params] == at
    for new, old, dw, want in zip(params, p, grads, g, strict=True):
        assert lib.numpy(new).dtype == dtype
        assert not np.any(lib.numpy(new) == old)
        assert lib.numpy(dw).tobytes() == want.tobytes()


@every_optimizer
def test_a_new_learning_rate_counts_from_the_next_step(lib, name):
    params, grads, p, g = lists(lib)
    optimizer, reference = MAKE[name](lr=0.1), Reference(RULES[name], p, lr=0.1)
    for lr in (0.1, 0.02, 0.0):
        optimizer.lr = reference.hyper["lr"] = lr
        optimizer.update(params, grads)
        reference.update(g)
    for a, want in zip(params, reference.params, strict=True):
        assert gap(lib.numpy(a), want) < 1e-13


@every_optimizer
def test_an_optimizer_with_a_restored_state_continues_with_the_same_bits(lib, name):
    params, grads, _, _ = lists(lib)
    optimizer = MAKE[name]()
    assert optimizer.state == {"iter": 0} | dict.fromkeys(type(optimizer).slots)
    for _ in range(3):
        optimizer.update(params, grads)
    copies = [lib.param(lib.numpy(p)) for p in params]
    other = MAKE[name]()
    other.load_state(optimizer.state)
    assert other.iter == 3
    for _ in range(4):
        other.update(copies, grads)
    for _ in range(4):  # after the other: a restored state is a copy
        optimizer.update(params, grads)
    assert [lib.numpy(a).tobytes() for a in copies] == [lib.numpy(a).tobytes() for a in params]


def test_state_has_the_chapters_names():
    assert {name: c.slots for name, c in OPTIMIZERS.items()} == {
        "sgd": (), "momentum": ("v",), "adagrad": ("h",), "rmsprop": ("h",), "adam": ("m", "v"),
    }  # fmt: skip
    assert [Momentum().v, AdaGrad().h, RMSprop().h, Adam().m, Adam().v, Adam().iter] == [None] * 5 + [0]


@pytest.mark.parametrize("other", [Momentum, AdaGrad])
def test_a_state_of_another_kind_is_refused_and_nothing_changes(lib, other):
    params, grads, _, _ = lists(lib)
    optimizer = Adam()
    optimizer.update(params, grads)
    before = optimizer.m
    with pytest.raises(ValueError, match="it needs"):
        optimizer.load_state(other().state)
    half = {**optimizer.state, "v": optimizer.v[:2]}
    with pytest.raises(ShapeError, match="different shapes"):
        optimizer.load_state(half)
    assert optimizer.m is before
    assert optimizer.iter == 1


@every_optimizer
def test_another_number_or_shape_of_parameters_is_an_error(lib, name):
    params, grads, p, _ = lists(lib)
    optimizer = MAKE[name](lr=0.0)
    optimizer.update(params, grads)
    longer = [*params, params[0]], [*grads, grads[0]]
    swapped = [params[1], params[0], *params[2:]], [grads[1], grads[0], *grads[2:]]
    for wrong in ((params[:2], grads[:2]), longer, swapped):
        with pytest.raises(ShapeError, match="make a new optimizer"):
            optimizer.update(*wrong)
    with pytest.raises(ShapeError, match="4 params but 3 grads; give one gradient for each"):
        optimizer.update(params, grads[:3])
    assert optimizer.iter == 1
    assert [lib.numpy(a).tobytes() for a in params] == [a.tobytes() for a in p]


@every_optimizer
def test_the_first_update_checks_its_lists(lib, name):
    params, grads, _, _ = lists(lib)
    with pytest.raises(ShapeError, match="4 params but 3 grads"):
        MAKE[name]().update(params, grads[:3])
    with pytest.raises(ShapeError, match=r"params\[1\] is \(4,\) but grads\[1\] is \(3, 4\)"):
        MAKE[name]().update(params, [grads[0], *grads[:3]])


def test_gradients_of_another_library_are_refused(lib):
    other = pytest.importorskip("array_api_strict") if lib.xp.__name__.endswith("numpy") else np
    with pytest.raises(LibraryError, match=r"grads\[0\] is an? \w+ array, params\[0\] lives in .*; make"):
        SGD().update([lib.param([1.0])], [other.asarray([1.0])])


@every_optimizer
def test_an_update_of_no_parameters_only_counts(name):
    optimizer = MAKE[name]()
    optimizer.update([], [])
    assert optimizer.iter == 1


@given(
    name=st.sampled_from(sorted(MAKE)),
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=60)
def test_updating_all_parameters_together_equals_updating_each_alone(name, sizes, seed):
    together = [numbers((n,), seed + i) for i, n in enumerate(sizes)]
    alone = [a.copy() for a in together]
    one, many = MAKE[name](), [MAKE[name]() for _ in sizes]
    for step in range(3):
        grads = [numbers((n,), seed + 97 * step + i + 7) for i, n in enumerate(sizes)]
        one.update(together, grads)
        for optimizer, p, g in zip(many, alone, grads, strict=True):
            optimizer.update([p], [g])
    assert [a.tobytes() for a in together] == [a.tobytes() for a in alone]


@pytest.mark.parametrize("g", [1.0, 1e-3, 1e-6, -1e-6])
def test_adams_first_step_is_that_of_algorithm_1(lib, g):
    def step(optimizer):
        p = lib.param([0.0])
        optimizer.update([p], [lib.array([g])])
        return float(lib.numpy(p)[0])

    def follows_algorithm_1(optimizer):
        assert step(optimizer) == pytest.approx(-0.001 * g / (abs(g) + 1e-8), rel=1e-9)

    follows_algorithm_1(Adam())
    if abs(g) < 1e-5:
        with pytest.raises(AssertionError):
            follows_algorithm_1(Adam(form="chapter"))
        assert abs(step(Adam(form="chapter"))) == pytest.approx(0.00024, rel=0.01)


@pytest.mark.parametrize("optimizer", [AdaGrad, RMSprop])
def test_epsilon_stands_outside_the_root_and_is_a_keyword(lib, optimizer):
    for eps in (1e-7, 0.5):
        p, h = lib.param([0.0]), {AdaGrad: 1.0, RMSprop: 0.01}[optimizer] * 1e-12
        optimizer(lr=1.0, **({} if eps == 1e-7 else {"eps": eps})).update([p], [lib.array([1e-6])])
        assert float(lib.numpy(p)[0]) == pytest.approx(-1e-6 / (math.sqrt(h) + eps), rel=1e-9)


@every_optimizer
@pytest.mark.parametrize("lr", [math.nan, math.inf, -0.1, "0.1", None, True])
def test_a_learning_rate_that_is_no_number_is_refused(name, lr):
    with pytest.raises(ValueError, match=r"give a number, 0 or more"):
        MAKE[name](lr=lr)


@pytest.mark.parametrize("wrong", [-0.1, 1.001, 2.0, math.nan, math.inf, "0.9", None, False])
def test_decay_rates_outside_0_to_1_are_refused(wrong):
    for kind, name in ((Momentum, "momentum"), (RMSprop, "decay_rate"), (Adam, "beta1"), (Adam, "beta2")):
        with pytest.raises(ValueError) as caught:
            kind(**{name: wrong})
        assert str(caught.value) == f"{kind.__name__}: {name} is {wrong!r}; give a number, from 0 to 1."
    Momentum(momentum=0), Momentum(momentum=1), RMSprop(decay_rate=1), RMSprop(eps=7.0), Adam(beta1=0.0, beta2=0.0)


def test_parameters_are_checked_only_when_they_are_new(lib, monkeypatch):
    """Checking them at each step would take as long as a small update."""
    looks, look = [], SGD._check
    monkeypatch.setattr(SGD, "_check", lambda self, params, grads: (looks.append(params), look(self, params, grads)))
    optimizer, g = SGD(), lib.array([1.0])
    p, q = lib.param([1.0]), lib.param([1.0, 2.0])
    for params in ([p], [p], [lib.param([3.0])]):
        optimizer.update(params, [g])
    assert looks == [[p]]
    with pytest.raises(ShapeError):
        optimizer.update([q], [g])


def test_adam_refuses_betas_of_1_and_unknown_forms():
    for wrong in ({"beta1": 1.0}, {"beta2": 1.0}, {"beta1": -0.1}, {"form": "book"}):
        with pytest.raises(ValueError, match=r"Adam: (beta\d|form) is"):
            Adam(**wrong)


@pytest.mark.parametrize("name", ["Momentum", "Adam"])
def test_an_optimizer_refuses_parameters_of_other_shapes_than_its_state(lib, name):
    other, used = MAKE[name](lr=0.1), MAKE[name](lr=0.1)
    p, g = [lib.param([1.0, 2.0])], [lib.array([1.0, 2.0])]
    other.update([lib.param([[1.0], [2.0]])], [lib.array([[1.0], [2.0]])])
    used.update(p, g)
    place = lib.place
    for optimizer in (MAKE[name](lr=0.1), used):
        optimizer.load_state(other.state)
        with pytest.raises(ShapeError) as caught:
            optimizer.update(p, g)
        assert str(caught.value) == (
            f"{name}.update: params are now float64 (2,) in {place}, but the state was made for float64 (2, 1) in "
            f"{place}; make a new optimizer for another model."
        )
        optimizer.load_state(MAKE[name](lr=0.1).state)  # that of one that has made no step yet: for any sizes
        optimizer.update(p, g)


def test_a_users_own_optimizer_names_its_slots(lib):
    class Lion(Optimizer):
        slots = ("m",)
        hyper = ("lr", "beta")

        def rule(params, grads, m_, lr, beta, clip=None):
            for p, g, m in zip(params, grads, m_, strict=True):
                m *= beta
                m += g
                p -= lr * lib.xp.sign(m)

    p = lib.param([1.0, -1.0])
    optimizer = Lion(lr=0.5, beta=0.9)
    optimizer.update([p], [lib.array([2.0, -3.0])])
    assert lib.numpy(p).tolist() == [0.5, -0.5]
    assert lib.numpy(optimizer.state["m"][0]).tolist() == [2.0, -3.0]


def test_repr_can_be_read_back():
    assert repr(Momentum(lr=0.5)) == "Momentum(lr=0.5, momentum=0.9)"
    assert repr(Adam(form="chapter")) == "Adam(lr=0.001, beta1=0.9, beta2=0.999, eps=1e-07, form='chapter')"
    with pytest.raises(TypeError, match=r"Optimizer: it has no rule; name the kernel"):
        Optimizer()
