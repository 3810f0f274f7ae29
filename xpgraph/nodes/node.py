"""Floor 2: what a node is, and the checks that nodes share.

    forward(*inputs) -> outputs     backward(*douts) -> gradients of the inputs     params, grads: parallel lists

One input or output is the bare array; several are a tuple, in order. A node never writes into its inputs, and
an array that it returned belongs to its caller.
"""

from __future__ import annotations

import copy
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

from ..arrays.libraries import (
    Array,
    Place,
    as_array,
    dtype_name,
    home,
    is_array,
    is_known,
    layout,
    namespace_of,
    place,
    place_of,
    together,
)
from ..errors import DTypeError, Error, LibraryError, ShapeError
from .wires import record


class Node(ABC):
    """The base of every node. A subclass names its parts; ``repr``, saving and moving read them from there."""

    names: ClassVar[tuple[str, ...]] = ()  # of the parameters, in the order of the constructor
    options: ClassVar[tuple[str, ...]] = ()  # constructor arguments that are plain values, kept as attributes
    saved: ClassVar[tuple[str, ...]] = ()  # what forward keeps for backward, under the letters of the formula
    # Nothing but array operations in forward and backward: no counting, no branch on a value, no read-back. Each class
    # says it for itself; a CUDA graph replays the operations, not the Python around them.
    capturable: ClassVar[bool] = False
    n_outputs: int = 1  # how many arrays forward returns
    is_loss: bool = False  # does forward return a loss, so that backward takes a number?

    def __init__(self, *params: Array) -> None:
        for name, p in zip(self.names, params, strict=True):
            check_floating(f"{type(self).__name__}: ", name, p)
            if home(p) == home(params[0]) and not together(p, params[0]):
                raise apart(f"{type(self).__name__}: ", name, p, self.names[0], params[0])
            if not together(p, params[0]) or p.dtype != params[0].dtype:
                raise LibraryError(
                    f"{type(self).__name__}: {self.names[0]} is {_kind(params[0])} but {name} is {_kind(p)}; "
                    "make both with the same library, device and dtype."
                )
        self.params = list(params)
        self.grads = [namespace_of(p).zeros_like(p) for p in params]
        for letter in self.saved:
            setattr(self, letter, None)

    @abstractmethod
    def forward(self, *inputs: Any) -> Any:
        """Compute the outputs and keep what backward needs."""

    @abstractmethod
    def backward(self, *douts: Any) -> Any:
        """From the gradients of the outputs, compute those of the inputs and overwrite ``grads`` in place."""

    def __call__(self, *wires: Any) -> Any:
        """Called on wires, a node records the call, for a Graph: one wire, or a tuple for several outputs."""
        return record(self, *wires)

    def named_parameters(self) -> list[tuple[str, Array, Array]]:
        """(name, value, gradient) of each parameter."""
        return list(zip(self.names, self.params, self.grads, strict=True))

    def describe(self) -> dict[str, Any]:
        """What a model file says of this node, as plain data: its class, how many parameters, its options."""
        return _describe(self)

    def to(self, backend: str | Place, dtype: str | None = None) -> Any:
        """A new node on another backend (``"cupy"``), perhaps in another dtype (``"float64"``).

        Weights that share memory share it there too; this node and its arrays stay as they are.
        """
        return move(self, backend if isinstance(backend, Place) else place(backend), dtype)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """A copy in which shared and tied weights stay so; what forward kept is not copied."""
        params = list(self.params)
        return move(self, place_of(params[0])) if params else rebuild(self, namespace_copy, {})

    def __repr__(self) -> str:
        parts = [f"{o}={getattr(self, o)!r}" for o in self.options]
        if self.params:
            W = self.params[0]
            parts = [" -> ".join(str(n) for n in W.shape), dtype_name(W), home(W), *parts]
        return f"{type(self).__name__}({', '.join(parts)})"


def is_node(thing: Any) -> bool:
    """Does it look like a node: a user's own class needs no base class."""
    return callable(getattr(thing, "forward", None)) and callable(getattr(thing, "backward", None))


def describe(node: Any) -> dict[str, Any]:
    """``node.describe()``; of a class without the base class, what its attributes say."""
    return node.describe() if isinstance(node, Node) else _describe(node)


def _describe(node: Any) -> dict[str, Any]:
    return {
        "type": type(node).__name__,
        "params": len(getattr(node, "params", ())),
        "options": {name: getattr(node, name) for name in getattr(node, "options", ())},
    }


def takes_input_grad(backward: Callable[..., Any]) -> bool:
    """Does this ``backward`` have the option ``input_grad``, to leave out the gradients of the inputs?"""
    try:
        return "input_grad" in inspect.signature(backward).parameters
    except (TypeError, ValueError):  # a backward of C code does not tell
        return False


def parts(thing: Any, seen: set[int] | None = None) -> Iterator[Any]:
    """Every node inside ``thing``, itself included, each once: attributes, lists, tuples and dicts are searched."""
    seen = set() if seen is None else seen
    if id(thing) in seen or is_array(thing):
        return
    seen.add(id(thing))
    if is_node(thing):
        yield thing
        inside: Any = vars(thing).values() if hasattr(thing, "__dict__") else ()
    elif isinstance(thing, list | tuple):
        inside = thing
    elif isinstance(thing, dict):
        inside = thing.values()
    else:
        return
    for part in inside:
        yield from parts(part, seen)


def rebuild(thing: Any, replace: Callable[[Array], Array], memo: dict[int, Any]) -> Any:
    """A copy of a node with every array ``a`` replaced by ``replace(a)``; one object stays one object."""
    if id(thing) in memo:
        return memo[id(thing)]
    new: Any = thing
    if is_array(thing):
        new = replace(thing)
    elif isinstance(thing, list):
        new = [rebuild(part, replace, memo) for part in thing]
    elif type(thing) is tuple:
        new = tuple(rebuild(part, replace, memo) for part in thing)
    elif isinstance(thing, dict):
        new = {key: rebuild(part, replace, memo) for key, part in thing.items()}
    elif is_node(thing) and not isinstance(thing, type) and hasattr(thing, "__dict__"):
        new = copy.copy(thing)
        memo[id(thing)] = new  # before its parts: a part may point back
        forgotten = getattr(thing, "saved", ())
        for key, part in vars(thing).items():
            setattr(new, key, None if key in forgotten else rebuild(part, replace, memo))
    memo[id(thing)] = new
    return new


def twin(node: Any) -> Any:
    """The same parameters used a second time: the same arrays, gradients and memory of its own."""
    kept = {id(p): p for p in getattr(node, "params", ())}
    return rebuild(node, namespace_copy, kept)


def uses(nodes: Iterable[Any]) -> tuple[list[Any], dict[int, int]]:
    """Nodes as they run beside each other: a second use of one is a twin. {place of a twin: place of the first use}."""
    run: list[Any] = []
    twins: dict[int, int] = {}
    first: dict[int, int] = {}
    seen: set[int] = set()
    for i, node in enumerate(nodes):
        inside = {id(part) for part in parts(node)}
        if id(node) in first:
            twins[i] = first[id(node)]
        first.setdefault(id(node), i)
        run.append(node if seen.isdisjoint(inside) else twin(node))
        seen |= inside
    return run, twins


def namespace_copy(a: Array) -> Array:
    """A copy of an array, in its own library and on its own device."""
    return namespace_of(a).asarray(a, copy=True)


def move(node: Any, where: Place, dtype: str | None = None) -> Any:
    """A copy of a node in another place, its floating arrays as ``dtype`` if given.

    Arrays that share memory, as they are or transposed, share it there.
    """
    moved: dict[Any, Array] = {}

    def moved_array(a: Array) -> Array:
        floating = dtype is not None and namespace_of(a).isdtype(a.dtype, "real floating")
        return where.asarray(a, dtype if floating else None, copy=True)

    def replace(a: Array) -> Array:
        here = layout(a)
        if 0 in a.shape:
            return moved_array(a)
        if here not in moved:
            moved[here] = moved_array(a)
            if a.ndim == 2:
                turned = type(here)(here.address, here.shape[::-1], here.strides[::-1])
                moved.setdefault(turned, where.xp.matrix_transpose(moved[here]))
        return moved[here]

    return rebuild(node, replace, {})


# --- checks: cheap where all is well, and in three beats where it is not --------------------------------------

_floating: dict[tuple[type, Any], bool] = {}  # by array type too: dtypes of two libraries do not like to be compared


def check_floating(who: str, letter: str, x: Any) -> None:
    """DTypeError unless ``x`` is an array of real floating numbers."""
    try:
        if _floating[type(x), x.dtype]:
            return
    except (KeyError, AttributeError, TypeError):
        if not is_known(x):
            raise DTypeError(f"{who}{letter} is a {type(x).__name__}; {as_array(x, letter, 'float32')}.") from None
        if _floating.setdefault((type(x), x.dtype), _is_floating(x)):
            return
    raise DTypeError(f"{who}{letter} is {_dtype(x)}; convert it to a real floating dtype, such as float32.")


def _is_floating(x: Array) -> bool:
    """Real floating numbers in the machine's own byte order."""
    return bool(namespace_of(x).isdtype(x.dtype, "real floating")) and not _foreign(x)


def check_pair(who: str, a_name: str, a: Array, b_name: str, b: Array) -> None:
    """Refuse two arrays that differ in library, device or dtype; ``b`` is the one that others follow."""
    if type(a) is type(b) and a.dtype == b.dtype and together(a, b):
        return
    check_floating(who, a_name, a)
    check_floating(who, b_name, b)
    if not together(a, b):
        raise apart(who, a_name, a, b_name, b)
    if a.dtype != b.dtype:
        raise DTypeError(
            f"{who}{a_name} is {_dtype(a)} but {b_name} is {_dtype(b)}; give both one dtype: "
            f"xp.astype({a_name}, {b_name}.dtype)."
        )


def apart(who: str, a_name: str, a: Array, b_name: str, b: Array) -> LibraryError:
    """The error for two arrays of different libraries, or of one library on two devices."""
    if home(a).partition(":")[0] != home(b).partition(":")[0]:
        article = "an" if home(a)[0] in "aeiou" else "a"
        return LibraryError(
            f"{who}{a_name} is {article} {home(a)} array, {b_name} lives in {home(b)}; "
            f"make {a_name} with the same library: xp.asarray({a_name})."
        )
    return LibraryError(
        f"{who}{a_name} is on {a.device}, {b_name} on {b.device}; "
        f"move it: xp.asarray({a_name}, device={b_name}.device)."
    )


def check_gradient(who: str, letter: str, dy: Any, like: Any, shape: tuple[int, ...]) -> None:
    """A gradient that comes in must look like the output that went out; ``like`` was kept by forward."""
    if like is None:
        raise Error(f"{who}forward has not been called; call it before backward.")
    check_pair(who, letter, dy, "the input", like)
    if dy.shape != shape:
        raise ShapeError(f"{who}{letter} is {tuple(dy.shape)} but forward returned {tuple(shape)}; give it that shape.")


def _kind(a: Array) -> str:
    return f"{dtype_name(a)} in {home(a)}"


def _dtype(a: Array) -> str:
    return f"{a.dtype.name} of foreign byte order" if _foreign(a) else dtype_name(a)  # str() would give ">f8" for it


def _foreign(a: Array) -> bool:
    return getattr(a.dtype, "byteorder", "=") in ("<", ">")
