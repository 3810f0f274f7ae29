"""Data on its way into a model. Nodes refuse arrays of another library; fit, evaluate and predict move NumPy data.

x becomes the parameters' dtype, integers included (no scaling); labels t stay integers, or
become the parameters' dtype if they are probabilities.
"""

from __future__ import annotations

from typing import Any

from ..arrays.libraries import (
    HOST,
    Array,
    as_array,
    dtype_name,
    home,
    is_array,
    library_of,
    namespace_of,
    place_of,
    together,
)
from ..errors import DTypeError, LibraryError, ShapeError
from ..nodes.copying import parts
from ..nodes.losses import SoftmaxWithLoss, check_probabilities, check_range


def first_parameter(model: Any) -> Array | None:
    """The first parameter of the model, which says where the model lives; None if there is none."""
    return next((p for p in model.params if is_array(p)), None)


def import_data(a: Any, name: str, who: str, W: Array | None) -> Array:
    """Data ``a``, called ``name`` ("x" or "t"), where W lives and in W's dtype; integer labels t stay integers.

    Raises DTypeError, ShapeError or LibraryError for what is no such data, or lives elsewhere and is not NumPy's.
    """
    if not is_array(a):
        raise DTypeError(f"{who}: {name} is a {type(a).__name__}; {as_array(a, name)}.")
    if a.ndim == 0 or a.shape[0] == 0:
        raise ShapeError(f"{who}: {name} is {tuple(a.shape)}; it needs at least one row.")
    xp = namespace_of(a)
    floating = xp.isdtype(a.dtype, "real floating")
    bool_one_hot = name == "t" and a.ndim > 1 and xp.isdtype(a.dtype, "bool")
    if not floating and not bool_one_hot and not xp.isdtype(a.dtype, "integral"):
        raise DTypeError(f"{who}: {name} is {dtype_name(a)}; give real numbers or integers.")
    if W is None:
        return a
    cast = floating or bool_one_hot or name == "x"
    if library_of(a) is not library_of(W) and library_of(a) is HOST:
        return place_of(W).asarray(a.astype(dtype_name(W) if cast else "int64", copy=False))
    if not together(a, W):
        if library_of(a) is library_of(W):
            advice = f"move it: xp.asarray({name}, device=...), or give NumPy data, which is moved once"
            raise LibraryError(f"{who}: {name} is on {a.device}, the model on {W.device}; {advice}.")
        advice = f"give NumPy data, which is moved once: xpgraph.to_numpy({name})"
        raise LibraryError(f"{who}: {name} lives in {home(a)}, the model in {home(W)}; {advice}.")
    return xp.astype(a, W.dtype, copy=False) if cast else a


def check_lengths(who: str, x: Array, t: Array) -> None:
    """ShapeError unless x and t have the same number of rows."""
    if x.shape[0] != t.shape[0]:
        raise ShapeError(f"{who}: x has {x.shape[0]} rows but t has {t.shape[0]}; give one label for each row.")


def check_labels(who: str, model: Any, t: Array) -> None:
    """After one forward: ValueError unless all of t, indices or probabilities, fits the losses inside.

    Looks at each SoftmaxWithLoss among the model's attributes; a loss that a model makes in its forward is not seen.
    """
    xp = namespace_of(t)
    for part in parts(model):
        if not isinstance(part, SoftmaxWithLoss) or part.y is None:
            continue
        if tuple(t.shape[1:]) == tuple(part.y.shape[1:]):  # y is of one batch, t of all rows
            check_probabilities(who, t)
        elif t.ndim < part.y.ndim:
            indices = xp.astype(t, xp.int64, copy=False)  # not every library compares uint8 labels with 300 classes
            check_range(who, indices, part.y.shape[-1])
