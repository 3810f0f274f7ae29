"""Arguments and data that fit refuses before the first update, and errors for numbers that are not finite."""

from __future__ import annotations

import math

import numpy as np
import pytest
from book_training import PlainAffine, PlainLoss, PlainSigmoid, TwoLayerNet
from nets import Witness, bits, net, weights
from reference import toy

from xpgraph import (
    SGD,
    Affine,
    Chain,
    DTypeError,
    LibraryError,
    MatMul,
    Momentum,
    NonFiniteError,
    Report,
    ShapeError,
    Sigmoid,
    SoftmaxWithLoss,
    Trainer,
    mlp,
)

X, T = toy()


def with_last(t, value):
    t = np.array(t)
    t[-1] = value
    return t


WRONG_DATA = {
    "lengths": (X, T[:-1], ShapeError, "x has 24 rows but t has 23"),
    "float indices": (X, T.astype(float), DTypeError, "class indices are integers"),
    "a column of indices": (X, T[:, None], ShapeError, r"reshape\(t, \(-1,\)\)"),
    "an index too large": (X, with_last(T, 3), ValueError, r"t\[23\] is 3 but there are 3 classes"),
    "an index below 0": (X, with_last(T, -1), ValueError, r"t\[23\] is -1"),
    "no rows": (X[:0], T[:0], ShapeError, "at least one row"),
    "columns": (X[:, :3], T, ShapeError, "x needs 4 columns"),
    "booleans": (X > 0, T, DTypeError, "real numbers or integers"),
    "truth for labels": (X, T > 0, DTypeError, "real numbers or integers"),
    "other classes": (X, np.eye(4)[T], ShapeError, r"t is \(\d+, 4\)"),
}


@pytest.mark.parametrize("case", WRONG_DATA)
@pytest.mark.parametrize("own", [False, True], ids=["Chain", "TwoLayerNet"])
def test_wrong_data_is_refused_before_the_first_update(lib, case, own):
    """The bad label is the last of all: with batches of 2 it is, most likely, not in the first."""
    x, t, error, words = WRONG_DATA[case]
    w = [lib.param(a) for a in weights()]
    model = TwoLayerNet(*w, Affine, Sigmoid, SoftmaxWithLoss) if own else net(lib, weights())
    trainer = Trainer(model, Momentum())
    with pytest.raises(error, match=words) as raised:
        trainer.fit(lib.array(x), lib.array(t), batch_size=2, eval_interval=None)
    assert isinstance(raised.value, ValueError | TypeError)
    assert bits(lib, model.params) == [a.tobytes() for a in weights()]
    assert (trainer.steps, trainer.current_epoch, trainer.optimizer.iter) == (0, 0, 0)


def test_validation_labels_are_checked_before_the_first_update(lib):
    model = net(lib, weights())
    data = lib.array(X), lib.array(T)
    with pytest.raises(ValueError, match=r"validation t\[23\] is 9 but there are 3 classes"):
        Trainer(model, SGD()).fit(*data, validation=(data[0], lib.array(with_last(T, 9))), eval_interval=None)
    with pytest.raises(ShapeError, match="fit: validation: x has 24 rows but t has 20"):
        Trainer(model, SGD()).fit(*data, validation=(data[0], lib.array(T[:20])), eval_interval=None)
    assert bits(lib, model.params) == [a.tobytes() for a in weights()]


def test_uint8_labels_with_more_than_256_classes(lib):
    """uint8 labels and 300 classes: 300 is not a uint8."""
    model = mlp([4, 300], backend=lib.place)
    t = (np.arange(24) * 11 % 256).astype("uint8")
    Trainer(model, SGD()).fit(lib.array(X), lib.array(t), max_epoch=1, eval_interval=None)
    assert math.isfinite(model.evaluate(lib.array(X), lib.array(t)).loss)


def test_data_that_is_not_an_array_is_refused():
    model = mlp([4, 3])
    for x, t in ((X.tolist(), T), (X, T.tolist()), (None, T), (X, 3)):
        with pytest.raises(TypeError, match="make it an array"):
            Trainer(model, SGD()).fit(x, t)


def test_only_numpy_data_is_moved(lib):
    if "numpy" in lib.name:
        torch = pytest.importorskip("torch")
        model, x, t = mlp([4, 3]), torch.asarray(X), torch.asarray(T)
    else:
        model, x, t = mlp([4, 3]), lib.array(X), lib.array(T)
    before = [p.tobytes() for p in model.params]
    for call in (Trainer(model, SGD()).fit, model.evaluate):
        with pytest.raises(LibraryError, match="give NumPy data, which is moved once"):
            call(x, t)
    with pytest.raises(LibraryError, match=r"x lives in .*, the model in numpy"):
        model.predict(x)
    with pytest.raises(LibraryError, match="t lives in"):
        Trainer(model, SGD()).fit(X, t)
    assert [p.tobytes() for p in model.params] == before


ARGUMENTS = {
    "max_epoch": (-1, 1.5, "3", None, True),
    "batch_size": (0, -1, 2.0, None, False),
    "eval_interval": (0, -2, 1.5, True),
    "max_grad": (0, -1.0, math.nan, math.inf, "1", True),
}


@pytest.mark.parametrize(("name", "value"), [(name, v) for name, values in ARGUMENTS.items() for v in values])
def test_wrong_arguments_are_refused(name, value):
    model = mlp([4, 3])
    before = [p.tobytes() for p in model.params]
    with pytest.raises((ValueError, TypeError)):
        Trainer(model, SGD()).fit(X, T, **{name: value})
    assert [p.tobytes() for p in model.params] == before


@pytest.mark.parametrize("seed", [-1, 2**64, 0.5, None])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises((ValueError, TypeError), match="seed"):
        Trainer(mlp([4, 3]), SGD(), seed=seed).fit(X, T)


def test_a_wrong_model_or_optimizer_is_refused():
    with pytest.raises(TypeError, match="has no params"):
        Trainer(type("Half", (), {"forward": 1, "backward": 1})(), SGD())
    with pytest.raises(TypeError, match="has no update"):
        Trainer(mlp([4, 3]), 0.1)
    with pytest.raises(TypeError, match=r"SGD is a class; make one: SGD\(...\)"):
        Trainer(mlp([4, 3]), SGD)


def test_wrong_validation_data_is_refused_before_the_first_update(lib):
    model = mlp([4, 5, 3], backend=lib.place)
    before = [lib.numpy(p).tobytes() for p in model.params]
    x, t = X, T
    for wrong, words in (
        ((x,), "not a pair"),
        (x, "not a pair"),
        ((x, t[:, None]), r"rows of shape \(1,\)"),
        ((x, t * 1.0), "validation t is float64"),
        ((x[:, :2], t), r"rows of shape \(2,\)"),
        ((x.tolist(), t), "validation x is a list"),
    ):
        with pytest.raises((TypeError, ValueError), match=words):
            Trainer(model, SGD()).fit(x, t, validation=wrong, eval_interval=None)
    assert [lib.numpy(p).tobytes() for p in model.params] == before


def test_a_layer_object_used_twice_by_a_users_class_is_refused():
    """Its second forward overwrites what the first one's backward needs; a Chain makes a twin."""
    layer = Affine(np.eye(4), np.zeros(4))
    model = TwoLayerNet(np.eye(4), np.zeros(4), np.eye(4), np.zeros(4), lambda W, b: layer, Sigmoid, SoftmaxWithLoss)
    with pytest.raises(ValueError, match=r"params\[0\] and params\[2\] are one array, and so are their gradients"):
        Trainer(model, SGD()).fit(X, T)


def test_a_chain_says_what_a_beginner_forgot():
    with pytest.raises(TypeError, match=r"this chain has no loss.*loss=SoftmaxWithLoss\(\)"):
        Trainer(Chain(Affine(np.eye(4), np.zeros(4)), Sigmoid()), SGD()).fit(X, T)
    with pytest.raises(TypeError, match=r"node 1 is a loss.*give it as Chain\(..., loss=...\)"):
        Chain(Affine(np.eye(4), np.zeros(4)), SoftmaxWithLoss())


def test_numpy_numbers_are_accepted_as_arguments():
    model = mlp([np.int64(4), np.int32(5), T.max() + 1])
    Trainer(model, SGD(lr=np.float32(0.1))).fit(
        X, T, batch_size=np.int64(8), max_grad=np.float32(1.0), eval_interval=None
    )
    assert model.predict(X, batch_size=np.int64(7)).shape == (len(X), 3)


class NoScalar(Witness):
    def __init__(self, made):
        super().__init__()
        self.made = made

    def forward(self, x, t):
        return self.made(x)


@pytest.mark.parametrize("made", [lambda x: x, lambda x: x[:1, 0], lambda x: None, lambda x: "0.3", lambda x: [0.3]])
def test_a_loss_that_is_not_a_scalar_is_refused(made):
    with pytest.raises(DTypeError, match="not a scalar loss; return the 0-d mean"):
        Trainer(NoScalar(made), SGD()).fit(X, T)


@pytest.mark.parametrize("made", [lambda x: 0.5, lambda x: np.float32(0.5), lambda x: np.asarray(0.5), lambda x: 1])
def test_any_scalar_is_a_loss(made):
    trainer = Trainer(NoScalar(made), SGD())
    trainer.fit(X, T, max_epoch=1, eval_interval=None)
    assert trainer.history[0]["loss"] == float(made(X))


# --- numbers that stop being finite ---


def test_a_loss_that_is_not_finite_stops_before_the_update(lib):
    model = net(lib, weights())
    trainer = Trainer(model, SGD(lr=0.1))
    trainer.fit(lib.array(X), lib.array(T), max_epoch=2, batch_size=12, eval_interval=None)
    before, history = bits(lib, model.params), list(trainer.history)
    x = X.copy()
    x[7, 2] = math.nan
    with pytest.raises(NonFiniteError) as raised:
        trainer.fit(lib.array(x), lib.array(T), max_epoch=1, batch_size=24, eval_interval=None)
    assert raised.value.step == 5 and trainer.history == history
    if lib.place.library.on_host(model.params[0]):
        assert "at step 5 the loss is nan; the first gradient that is not finite is that of 0.W" in str(raised.value)
        assert bits(lib, model.params) == before
        assert (trainer.steps, trainer.optimizer.iter) == (4, 4)
    else:
        assert "the loss of step 5 was nan, and later updates used it" in str(raised.value)


class Explodes(MatMul):
    """A node whose own gradient alone is not finite."""

    def backward(self, dy, input_grad=True):
        dx = super().backward(dy, input_grad)
        self.grads[0] *= math.inf
        return dx


def test_a_norm_that_is_not_finite_names_the_parameter_at_fault(lib):
    """The gradients are looked at before clipping, which makes NaN of all."""
    rng = np.random.Generator(np.random.Philox(1))
    w = [rng.standard_normal(s) for s in ((4, 5), (5, 3))]
    model = Chain(MatMul(lib.param(w[0])), Explodes(lib.param(w[1])), loss=SoftmaxWithLoss())
    on_host = lib.place.library.on_host(model.params[0])
    words = r"gradient norm is (inf|nan); .* of 1\.W" if on_host else r"the parameter 0\.W is not finite"
    with np.errstate(invalid="ignore"), pytest.raises(NonFiniteError, match=words):
        Trainer(model, SGD()).fit(lib.array(X), lib.array(T), max_grad=1.0, eval_interval=None)
    if on_host:
        assert bits(lib, model.params) == [a.tobytes() for a in w]


def test_errors_number_the_parameters_of_a_users_own_model():
    model = TwoLayerNet(*weights(), PlainAffine, PlainSigmoid, PlainLoss)
    x = X.copy()
    x[0, 0] = math.nan
    with pytest.raises(NonFiniteError, match=r"not finite is that of params\[0\]\. The parameters are those of step 0"):
        Trainer(model, SGD()).fit(x, T, batch_size=24)
    assert [p.tobytes() for p in model.params] == [a.tobytes() for a in weights()]


def as_on_a_device(lib, loss):
    """NumPy's 0-d results are its scalars, which need no device."""
    return lib.xp.asarray(loss)


@pytest.mark.parametrize("eval_interval", [None, 1, 3, 50])
def test_on_a_device_the_first_non_finite_loss_is_found_when_losses_are_read(lib, monkeypatch, eval_interval):
    """As on a GPU, but on every library: losses are read together, every eval_interval and at the end of an epoch."""
    monkeypatch.setattr("xpgraph.training.steps.on_host", lambda loss: False)
    model = net(lib, weights())
    trainer = Trainer(model, SGD(lr=0.1))
    data = lib.array(X), lib.array(T)
    options = {"batch_size": 2, "eval_interval": eval_interval, "report": Report()}
    trainer.fit(*data, max_epoch=1, **options)
    forward, calls = model.forward, []

    def spoil(bx, bt):
        calls.append(bx)
        return as_on_a_device(lib, forward(bx, bt) * (math.nan if len(calls) in (6, 7) else 1.0))

    model.forward = spoil
    with pytest.raises(NonFiniteError, match="the loss of step 18 was nan") as raised:
        trainer.fit(*data, max_epoch=2, **options)
    assert raised.value.step == 12 + 6
    assert len(calls) == {None: 12, 1: 6, 3: 7, 50: 12}[eval_interval]
    assert trainer.current_epoch == 1


def test_losses_read_later_are_the_losses_read_at_once(lib, monkeypatch):
    entries = []
    for _ in range(2):
        model = net(lib, weights())
        forward = model.forward
        model.forward = lambda bx, bt, forward=forward: as_on_a_device(lib, forward(bx, bt))
        trainer = Trainer(model, SGD(lr=0.1))
        trainer.fit(lib.array(X), lib.array(T), max_epoch=2, batch_size=5, eval_interval=2, report=Report())
        entries.append((trainer.loss_list, [r["loss"] for r in trainer.history]))
        monkeypatch.setattr("xpgraph.training.steps.on_host", lambda loss: False)
    assert entries[0] == entries[1]


def test_the_report_is_ended_when_a_run_fails():
    class Ends(Report):
        ended = 0

        def end(self):
            self.ended += 1

    report, x = Ends(), X.copy()
    x[3] = math.nan
    with pytest.raises(NonFiniteError):
        Trainer(mlp([4, 3]), SGD()).fit(x, T, report=report)
    assert report.ended == 1


def test_a_non_finite_gradient_under_a_finite_loss_is_found(lib):
    """∞ in x before a sigmoid: the loss is finite, the gradient of the weights is not, and this step is the last."""
    model = mlp([2, 3, 2], backend=lib.place)
    x = lib.array([[np.inf, 1.0], [1.0, 2.0]], "float32")
    with np.errstate(invalid="ignore"), pytest.raises(NonFiniteError, match=r"parameter 0\.W is not finite") as caught:
        Trainer(model, SGD()).fit(x, lib.array([0, 1]), max_epoch=1, eval_interval=None)
    assert caught.value.step == 1
