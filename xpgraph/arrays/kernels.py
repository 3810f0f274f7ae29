"""Floor 1: the table of kernels. The mathematics is said once, over ``xp``; faster bodies are declared beside it.

    @kernel
    def square(xp, x):                  # the generic body: the specification, for every library
        return x * x

    @square.fast("cupy")
    def square(x): ...                  # the same function for one library: same parameters, less xp

``square(x)`` picks the body by ``type(x)`` in one dictionary look-up. ``XPGRAPH_GENERIC=1`` in the environment
turns the fast bodies off. A body ``fast("numpy", by="numba")`` needs one more library; it comes first where that is
installed, unless ``XPGRAPH_NUMBA=0``.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from .libraries import LIBRARIES, Array, library_of

TABLE: dict[str, Row] = {}
FAST = "xpgraph.fast"  # the package of the fast bodies: one module a library, loaded by name
HELPERS = {"numpy": "numba"}  # library: another that can make its bodies faster

# Written out and compiled for each kernel: a call with fixed arguments costs half of one through *args.
_DISPATCHER = """
def {name}({parameters}, /):
    try:
        _body = _bodies[type({first})]
    except KeyError:
        _body = _find({first})
    return _body({arguments})
"""


class Row:
    """One kernel: its generic body, its fast bodies by library, and the body found for each array type so far."""

    def __init__(self, generic: Callable[..., Any]) -> None:
        self.name = generic.__name__
        self.module = generic.__module__
        self.generic = generic
        self.fast_bodies: dict[str, Callable[..., Any]] = {}
        self.bodies: dict[type, Callable[..., Any]] = {}
        self.parameters = list(inspect.signature(generic).parameters.values())[1:]

    def find(self, first: Any) -> Callable[..., Any]:
        """The body for a first argument of this type; a list dispatches on its first element."""
        if isinstance(first, list | tuple):
            if not first:
                raise ValueError(f"{self.name}: the list is empty, so no library can be told; give it an array.")
            return self.bodies.get(type(first[0])) or self.find(first[0])
        library = library_of(first)
        body = self.body(library.name)
        self.bodies[type(first)] = body
        return body

    def body(self, library: str, generic: bool = False) -> Callable[..., Any]:
        """The body that a library's arrays get; the generic one where there is no faster, or on request."""
        if not generic and os.environ.get("XPGRAPH_GENERIC", "0") in ("", "0"):
            load_fast(library)
            for name in (f"{library}+{helper(library)}", library):
                if name in self.fast_bodies:
                    return self.fast_bodies[name]
        return partial(self.generic, LIBRARIES[library].xp)

    def fast(self, library: str, by: str = "") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare a faster body for one library; TypeError if its parameters are not the generic body's, less xp.

        ``by``: the library that makes it faster, one of HELPERS. The table keeps that body as ``numpy+numba``.
        """

        def declare(body: Callable[..., Any]) -> Callable[..., Any]:
            wanted = [(p.name, p.default) for p in self.parameters]
            found = [(p.name, p.default) for p in inspect.signature(body).parameters.values()]
            if found != wanted:
                raise TypeError(
                    f"{self.name}.fast({library!r}): its parameters are ({', '.join(n for n, _ in found)}); "
                    f"the generic body's, less xp, are ({', '.join(n for n, _ in wanted)}), defaults included."
                )
            if by and HELPERS.get(library) != by:
                raise ValueError(f"{self.name}.fast({library!r}, by={by!r}): its helper is {HELPERS.get(library)!r}.")
            if library not in LIBRARIES:
                raise ValueError(f"{self.name}.fast({library!r}): unknown library. Known: {', '.join(LIBRARIES)}.")
            self.fast_bodies[f"{library}+{by}" if by else library] = body
            self.bodies.clear()
            return body

        return declare


def kernel(generic: Callable[..., Any]) -> Any:
    """Make a table row of a generic body ``f(xp, first, ...)`` and return the plain function that dispatches it.

    Parameters are positional only; the only default is ``out=None``.
    """
    row = Row(generic)
    if row.name in TABLE and TABLE[row.name].module != row.module:  # the same module again: a notebook's cell
        raise ValueError(f"kernel: {row.name!r} stands in the table already, from {TABLE[row.name].module}; rename it.")
    odd = [p for p in row.parameters if p.kind is not p.POSITIONAL_OR_KEYWORD or p.default not in (p.empty, None)]
    if odd or not row.parameters:
        raise TypeError(
            f"kernel: {row.name!r} has {f'the parameter {odd[0]}' if odd else 'no parameter after xp'}; "
            "give plain positional parameters, the array first; the only default is None."
        )
    source = _DISPATCHER.format(
        name=row.name,
        first=row.parameters[0].name,
        arguments=", ".join(p.name for p in row.parameters),
        parameters=", ".join(p.name if p.default is p.empty else f"{p.name}=None" for p in row.parameters),
    )
    scope: dict[str, Any] = {"_bodies": row.bodies, "_find": row.find}
    exec(compile(source, f"<kernel {row.name}>", "exec"), scope)
    function = scope[row.name]
    function.__doc__, function.__module__ = generic.__doc__, generic.__module__
    function.fast, function.row = row.fast, row
    TABLE[row.name] = row
    return function


def store(value: Array, out: Array | None) -> Array:
    """End a generic body that takes ``out``: the value itself, or written into ``out``."""
    if out is None:
        return value
    out[...] = value
    return out


def load_fast(library: str) -> None:
    """Import ``xpgraph.fast.<library>``, if there is one, and that of its helper: their bodies declare themselves."""
    _load(library)
    helper(library)


def helper(library: str) -> str:
    """The library that helps this one here, "" if none: numba, where it is installed and XPGRAPH_NUMBA is not 0."""
    name = HELPERS.get(library, "")
    return name if name and os.environ.get(f"XPGRAPH_{name.upper()}", "1") != "0" and _works(name) else ""


@cache
def _works(name: str) -> bool:
    """Does it make bodies here? One that breaks, whatever it raises, is done without."""
    try:
        importlib.import_module(f"{FAST}.{name}")
    except Exception:
        for row in TABLE.values():
            for library in HELPERS:
                row.fast_bodies.pop(f"{library}+{name}", None)
        return False
    return True


@cache
def _load(name: str) -> None:
    path = f"{FAST}.{name}"
    if importlib.util.find_spec(path) is not None:
        importlib.import_module(path)
