"""The chapter's optimizers: ``update(params, grads)`` changes all parameters in place, by a rule of ``update_rules``.

The state (``v``, ``h``, ``m``, ``iter``) is made by the first update; ``state`` and ``load_state`` save and restore it.
Hyperparameters are plain attributes; a new value is used from the next update on.
"""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Callable
from numbers import Real
from typing import Any, ClassVar

from ..arrays.libraries import Array, dtype_name, home, is_writable, namespace_of
from ..errors import ShapeError
from ..nodes.checks import check_floating, check_pair
from ..nodes.copying import namespace_copy
from .update_rules import adagrad, adam, momentum, rmsprop, sgd

_DERIVED = ("_checked", "_made_for", "_narrow")  # attributes that the next update derives from the parameters


class Optimizer(ABC):
    """The base class of optimizers. A subclass says what its update is.

    Attributes
    ----------
    rule : kernel
        Updates all parameters in place: ``rule(params, grads, *slots, *numbers, clip)``.
    slots : tuple of str
        The names of the state. Each is a list with one array for each parameter, or None before the first update.
    hyper : tuple of str
        The names of the hyperparameters, the numbers of the rule. ``iter`` counts the updates.
    """

    rule: ClassVar[Callable[..., None]]
    slots: ClassVar[tuple[str, ...]] = ()
    hyper: ClassVar[tuple[str, ...]] = ("lr",)
    form: str

    def __init__(self, **hyper: float) -> None:
        if not hasattr(type(self), "rule"):
            raise TypeError(f"{type(self).__name__}: it has no rule; name the kernel of its update: rule = sgd.")
        for name, value in hyper.items():
            most = math.inf if name in ("lr", "eps") else 1.0
            if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= most or math.isinf(value):
                span = "0 or more" if most == math.inf else "from 0 to 1"
                raise ValueError(f"{type(self).__name__}: {name} is {value!r}; give a number, {span}.")
            setattr(self, name, float(value))
        self.iter = 0
        for slot in self.slots:
            setattr(self, slot, None)
        self._checked: list[tuple[Any, ...]] | None = None  # library, dtype and shape of parameters that were checked
        self._made_for: list[str] | None = None  # the same in words, for errors
        self._narrow = False  # is a dtype narrower than float32? g² would underflow in it

    def update(self, params: list[Array], grads: list[Array], clip: Array | None = None, *numbers: Any) -> None:
        """Change every parameter in place, by one step.

        Parameters
        ----------
        params, grads : list of array
            The parameters and their gradients, in the same order and of the same shapes. Gradients are only read.
        clip : array, optional
            A 0-d factor for all gradients.
        *numbers : Any
            Stand-ins for ``self.numbers(iter)`` in a captured step, whose kernel reads them on the device.

        Raises ShapeError if lengths or shapes differ, or differ from those of the first update; DTypeError or
        LibraryError for arrays of other kinds; ValueError for a parameter that is read-only.
        """
        try:
            new = [(type(p), p.dtype, p.shape) for p in params]
            same = new == self._checked and [(type(g), g.dtype, g.shape) for g in grads] == new
        except AttributeError:  # one of them is not an array
            same = False
        if not same:
            self._check(params, grads)
        self.iter += 1
        if params:
            type(self).rule(
                params,
                [_wide(g) for g in grads] if self._narrow else grads,
                *[getattr(self, slot) for slot in self.slots],
                *(numbers or self.numbers(self.iter)),
                clip,
            )

    def numbers(self, t: int) -> tuple[float, ...]:
        """The numbers of the rule at step t, from 1 on: the hyperparameters, unless a subclass overrides this."""
        return tuple(float(getattr(self, name)) for name in self.hyper)

    def _check(self, params: list[Array], grads: list[Array]) -> None:
        """Check arrays that were not checked before, and make the state if there is none."""
        who = f"{type(self).__name__}.update: "
        for i, p in enumerate(params):
            check_floating(who, f"params[{i}]", p)
            if not is_writable(p):
                raise ValueError(f"{who}params[{i}] is read-only; give an array that can be changed in place.")
        now = [_describe(p) for p in params]
        then = self._made_for
        if then is not None and now != then:
            raise ShapeError(
                f"{who}params are now {', '.join(now)}, but the state was made for {', '.join(then)}; "
                "make a new optimizer for another model."
            )
        if len(params) != len(grads):
            raise ShapeError(f"{who}{len(params)} params but {len(grads)} grads; give one gradient for each.")
        for i, (p, g) in enumerate(zip(params, grads, strict=True)):
            check_pair(who, f"grads[{i}]", g, f"params[{i}]", p)
            if p.shape != g.shape:
                raise ShapeError(
                    f"{who}params[{i}] is {tuple(p.shape)} but grads[{i}] is {tuple(g.shape)}; give both one shape."
                )
        for slot in self.slots:
            if getattr(self, slot) is None:
                setattr(self, slot, [namespace_of(p).zeros_like(_wide(p)) for p in params])
        self._made_for = now
        self._narrow = any(_wide(p) is not p for p in params)
        self._checked = [(type(p), p.dtype, p.shape) for p in params]

    @property
    def state(self) -> dict[str, Any]:
        """``iter`` and the slots, by name. The arrays are those in use, not copies; None before the first update."""
        return {"iter": self.iter, **{slot: getattr(self, slot) for slot in self.slots}}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from a copy of a ``state``. ValueError, which changes nothing, if it has other names or shapes."""
        if set(state) != set(self.state):
            raise ValueError(f"{type(self).__name__}.load_state: found {sorted(state)}; it needs {sorted(self.state)}.")
        lists = [state[slot] for slot in self.slots]
        if len({None if arrays is None else tuple(tuple(a.shape) for a in arrays) for arrays in lists}) > 1:
            raise ShapeError(f"{type(self).__name__}.load_state: the slots have different shapes; save them together.")
        self.iter = int(state["iter"])
        for slot, arrays in zip(self.slots, lists, strict=True):
            setattr(self, slot, None if arrays is None else [namespace_copy(a) for a in arrays])
        self._checked = None
        self._made_for = [_describe(a) for a in lists[0]] if lists and lists[0] is not None else None

    @property
    def everything(self) -> dict[str, Any]:
        """``state``, hyperparameters and all other attributes, for checkpoints."""
        return {name: value for name, value in vars(self).items() if name not in _DERIVED}

    def load_everything(self, everything: dict[str, Any]) -> None:
        """Continue from a copy of what ``everything`` was, of an optimizer of the same class."""
        names = set(self.state)
        self.load_state({name: everything[name] for name in names})
        vars(self).update({name: value for name, value in everything.items() if name not in names})

    def __repr__(self) -> str:
        form = f", form={self.form!r}" if getattr(self, "form", "paper") != "paper" else ""
        return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n)!r}' for n in self.hyper)}{form})"


def _wide(a: Array) -> Array:
    """An array of a dtype narrower than float32 as float32, the dtype of its state; others unchanged."""
    return a if dtype_name(a) in ("float32", "float64") else namespace_of(a).astype(a, namespace_of(a).float32)


def _describe(a: Array) -> str:
    return f"{dtype_name(_wide(a))} {tuple(a.shape)} in {home(a)}"


class SGD(Optimizer):
    """Stochastic gradient descent: θ ← θ - η g, η = lr. (Robbins & Monro 1951)"""

    rule = sgd

    def __init__(self, lr: float = 0.01) -> None:
        super().__init__(lr=lr)


class Momentum(Optimizer):
    """Gradient descent with momentum: v ← μ v - η g; θ ← θ + v, η = lr, μ = momentum. (Polyak 1964)"""

    v: list[Array]
    rule = momentum
    slots = ("v",)
    hyper = ("lr", "momentum")

    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        super().__init__(lr=lr, momentum=momentum)


class AdaGrad(Optimizer):
    """AdaGrad: h ← h + g²; θ ← θ - η g / (√h + ε). (Duchi, Hazan & Singer 2011; ε as in the chapter)"""

    h: list[Array]
    rule = adagrad
    slots = ("h",)
    hyper = ("lr", "eps")

    def __init__(self, lr: float = 0.01, eps: float = 1e-7) -> None:
        super().__init__(lr=lr, eps=eps)


class RMSprop(Optimizer):
    """RMSprop: h ← ρ h + (1-ρ) g²; θ ← θ - η g / (√h + ε), ρ = decay_rate. (Hinton 2012, lecture 6e)"""

    h: list[Array]
    rule = rmsprop
    slots = ("h",)
    hyper = ("lr", "decay_rate", "eps")

    def __init__(self, lr: float = 0.01, decay_rate: float = 0.99, eps: float = 1e-7) -> None:
        super().__init__(lr=lr, decay_rate=decay_rate, eps=eps)


class Adam(Optimizer):
    """Adam, Algorithm 1 of Kingma & Ba (arXiv:1412.6980): m̂ = m/(1-β₁ᵗ), v̂ = v/(1-β₂ᵗ); θ ← θ - η m̂ / (√v̂ + ε).

    Computed as θ ← θ - α m / (√v + ε') with α = η √(1-β₂ᵗ) / (1-β₁ᵗ) and ε' = ε √(1-β₂ᵗ), which is the same.
    ``form="chapter"`` takes ε' = ε = 1e-7, as the chapter does: it makes shorter steps while gradients are small.
    """

    m: list[Array]
    v: list[Array]
    rule = adam
    slots = ("m", "v")
    hyper = ("lr", "beta1", "beta2", "eps")

    def __init__(
        self,
        lr: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        *,
        eps: float | None = None,
        form: str = "paper",
    ) -> None:
        if form not in ("paper", "chapter"):
            raise ValueError(f"Adam: form is {form!r}; give 'paper' or 'chapter'.")
        self.form = form
        super().__init__(
            lr=lr, beta1=beta1, beta2=beta2, eps=(1e-8 if form == "paper" else 1e-7) if eps is None else eps
        )
        for name, beta in (("beta1", beta1), ("beta2", beta2)):
            if beta >= 1:
                raise ValueError(f"Adam: {name} is {beta!r}; give a number from 0 up to, but not, 1.")

    def numbers(self, t: int) -> tuple[float, ...]:
        lr, beta1, beta2, eps = super().numbers(t)
        root = math.sqrt(1.0 - beta2**t)
        return lr * root / (1.0 - beta1**t), beta1, beta2, eps * root if self.form == "paper" else eps


OPTIMIZERS = {c.__name__.lower(): c for c in (SGD, Momentum, AdaGrad, RMSprop, Adam)}
