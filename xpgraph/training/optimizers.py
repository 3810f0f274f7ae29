"""The chapter's optimizers: ``update(params, grads)`` changes all parameters in place, by a rule of ``update_rules``.

The state (``v``, ``h``, ``m``, ``iter``) is made at the first update and can be saved and restored with ``state`` and
``load_state``. Hyper-parameters are plain attributes and take effect at once.
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

_FOUND_OUT = ("_seen", "_made_for", "_narrow")  # by an Optimizer, at its next update


class Optimizer(ABC):
    """The base of every optimizer. ``slots`` names the state arrays: one list each, parallel to the parameters.

    ``rule`` is the kernel: called with the parameters, their gradients, the slots, the numbers of this step and
    ``clip``. ``update`` raises ShapeError when lengths or shapes differ, or differ from those of the first update.
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
        self._seen: list[tuple[Any, ...]] | None = None  # library, dtype and shape of the parameters
        self._made_for: list[str] | None = None  # the same in words
        self._narrow = False  # is a dtype narrower than float32, in which g² would underflow?

    def update(self, params: list[Array], grads: list[Array], clip: Array | None = None, *numbers: Any) -> None:
        """One step: change every parameter in place. Two parallel lists of arrays; the gradients are only read.

        ``clip``: a 0-d factor for all gradients. ``numbers`` stand in for ``self.numbers(iter)`` where a captured
        step reads them from its device.
        """
        try:
            seen = [(type(p), p.dtype, p.shape) for p in params]
            fits = seen == self._seen and [(type(g), g.dtype, g.shape) for g in grads] == seen
        except AttributeError:  # something is no array
            fits = False
        if not fits:
            self._begin(params, grads)
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
        """What the rule takes at step t, from 1 on: the hyper-parameters, in order, unless a subclass knows better."""
        return tuple(float(getattr(self, name)) for name in self.hyper)

    def _begin(self, params: list[Array], grads: list[Array]) -> None:
        who = f"{type(self).__name__}.update: "
        for i, p in enumerate(params):
            check_floating(who, f"params[{i}]", p)
            if not is_writable(p):
                raise ValueError(f"{who}params[{i}] is read-only; give an array that can be changed in place.")
        now = [_about(p) for p in params]
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
        self._seen = [(type(p), p.dtype, p.shape) for p in params]

    @property
    def state(self) -> dict[str, Any]:
        """``iter`` and the slots: the arrays themselves, not copies; None before the first update."""
        return {"iter": self.iter, **{slot: getattr(self, slot) for slot in self.slots}}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a copy of a ``state``; ValueError names what is missing or unknown."""
        if set(state) != set(self.state):
            raise ValueError(f"{type(self).__name__}.load_state: found {sorted(state)}; it needs {sorted(self.state)}.")
        lists = [state[slot] for slot in self.slots]
        if len({None if arrays is None else tuple(tuple(a.shape) for a in arrays) for arrays in lists}) > 1:
            raise ShapeError(f"{type(self).__name__}.load_state: the slots have different shapes; save them together.")
        self.iter = int(state["iter"])
        for slot, arrays in zip(self.slots, lists, strict=True):
            setattr(self, slot, None if arrays is None else [namespace_copy(a) for a in arrays])
        self._seen = None
        self._made_for = [_about(a) for a in lists[0]] if lists and lists[0] is not None else None

    @property
    def everything(self) -> dict[str, Any]:
        """``state`` and every other attribute, the hyper-parameters among them; not what the next update finds out."""
        return {name: value for name, value in vars(self).items() if name not in _FOUND_OUT}

    def load_everything(self, everything: dict[str, Any]) -> None:
        """Go on from a copy of ``everything`` of an optimizer of this class."""
        own = self.state
        self.load_state({name: everything[name] for name in own})
        vars(self).update({name: value for name, value in everything.items() if name not in own})

    def __repr__(self) -> str:
        form = f", form={self.form!r}" if getattr(self, "form", "paper") != "paper" else ""
        return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n)!r}' for n in self.hyper)}{form})"


def _wide(a: Array) -> Array:
    """float16 and the like as float32, in which the state is kept; other arrays as they are."""
    return a if dtype_name(a) in ("float32", "float64") else namespace_of(a).astype(a, namespace_of(a).float32)


def _about(a: Array) -> str:
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
    ``form="chapter"`` leaves ε' = ε (1e-7), as the chapter does: steps are shorter while gradients are small.
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
