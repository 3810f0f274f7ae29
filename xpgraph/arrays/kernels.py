"""The table of kernels: each function is written once over ``xp``, and may have faster bodies for single libraries.

    @kernel
    def square(xp, x):                  # the generic body: the specification, for every library
        return x * x

    @square.fast("cupy")
    def square(x): ...                  # the same function for one library: the same parameters without xp

``square(x)`` picks the body by ``type(x)`` with one dictionary look-up. A body ``fast("numpy", compiler="numba")`` is
preferred if Numba is installed. ``XPGRAPH_GENERIC=1`` in the environment turns all fast bodies off, ``XPGRAPH_NUMBA=0``
those compiled by Numba.
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
FAST = "xpgraph.fast"  # the package of the fast bodies: one module for each library, loaded by name
COMPILERS = {"numpy": "numba"}  # for the arrays of a library: a compiler of faster bodies

# Compiled for each kernel with its own parameters: a call through *args would cost twice as much.
_DISPATCHER = """
def {name}({parameters}, /):
    try:
        _body = _bodies[type({first})]
    except KeyError:
        _body = _find({first})
    return _body({arguments})
"""


class Row:
    """One kernel: its generic body, its fast bodies by library, and the ``bodies`` chosen so far, by array type."""

    def __init__(self, generic: Callable[..., Any]) -> None:
        self.name = generic.__name__
        self.module = generic.__module__
        self.generic = generic
        self.fast_bodies: dict[str, Callable[..., Any]] = {}
        self.bodies: dict[type, Callable[..., Any]] = {}
        self.parameters = list(inspect.signature(generic).parameters.values())[1:]

    def find(self, first: Any) -> Callable[..., Any]:
        """The body for a call with this first argument: an array, or a list of arrays. Remembers it by type."""
        if isinstance(first, list | tuple):
            if not first:
                raise ValueError(f"{self.name}: the list is empty, so its library is unknown; give it an array.")
            return self.bodies.get(type(first[0])) or self.find(first[0])
        body = self.bodies[type(first)] = self.body(library_of(first).name)
        return body

    def body(self, library: str, generic: bool = False) -> Callable[..., Any]:
        """The body for a library's arrays: the fastest, or the generic one if there is no other or on request."""
        if not generic and not generic_only():
            load_fast(library)
            for name in (f"{library}+{compiler_for(library)}", library):
                if name in self.fast_bodies:
                    return self.fast_bodies[name]
        return partial(self.generic, LIBRARIES[library].xp)

    def fast(self, library: str, compiler: str = "") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Declare a faster body for one library. Its parameters must be those of the generic body without xp.

        ``compiler``: what compiles it, if anything: that of COMPILERS. The table has such a body as ``numpy+numba``.
        Raises TypeError for other parameters, ValueError for an unknown library or compiler.
        """

        def declare(body: Callable[..., Any]) -> Callable[..., Any]:
            expected = [(p.name, p.default) for p in self.parameters]
            found = [(p.name, p.default) for p in inspect.signature(body).parameters.values()]
            if found != expected:
                raise TypeError(
                    f"{self.name}.fast({library!r}): its parameters are ({', '.join(n for n, _ in found)}); "
                    f"give those of the generic body without xp, ({', '.join(n for n, _ in expected)}), "
                    "with the same defaults."
                )
            if library not in LIBRARIES:
                raise ValueError(f"{self.name}.fast({library!r}): unknown library. Known: {', '.join(LIBRARIES)}.")
            if compiler and COMPILERS.get(library) != compiler:
                known = COMPILERS.get(library, "none, leave it out")
                raise ValueError(f"{self.name}.fast({library!r}, compiler={compiler!r}): unknown. Known: {known}.")
            self.fast_bodies[f"{library}+{compiler}" if compiler else library] = body
            self.bodies.clear()
            return body

        return declare


def kernel(generic: Callable[..., Any]) -> Any:
    """Decorator for a generic body ``f(xp, x, ...)``: add it to the table, return the function that picks the body.

    That function has the parameters without xp, positional only. The first is an array or a list of arrays; the only
    default is None, as in ``out=None``. Raises TypeError for other parameters, ValueError for a name that is taken.
    """
    row = Row(generic)
    if row.name in TABLE and TABLE[row.name].module != row.module:  # the same module again: a notebook's cell
        raise ValueError(f"kernel: {row.name!r} is in the table already, from {TABLE[row.name].module}; rename it.")
    wrong = [p for p in row.parameters if p.kind is not p.POSITIONAL_OR_KEYWORD or p.default not in (p.empty, None)]
    if wrong or not row.parameters:
        raise TypeError(
            f"kernel: {row.name!r} has {f'the parameter {wrong[0]}' if wrong else 'no parameter after xp'}; "
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
    """The end of a generic body with ``out``: return the value, or ``out`` with the value written into it."""
    if out is None:
        return value
    out[...] = value
    return out


def generic_only() -> bool:
    """True if ``XPGRAPH_GENERIC`` turns the fast bodies off."""
    return os.environ.get("XPGRAPH_GENERIC", "0") not in ("", "0")


def load_fast(library: str) -> None:
    """Import ``xpgraph.fast.<library>``, if there is one, and the bodies of its compiler; they declare themselves."""
    if importlib.util.find_spec(f"{FAST}.{library}") is not None:
        importlib.import_module(f"{FAST}.{library}")
    compiler_for(library)


def compiler_for(library: str) -> str:
    """The compiler used for a library's bodies here: ``"numba"`` if it works and XPGRAPH_NUMBA is not 0, else ""."""
    name = COMPILERS.get(library, "")
    return name if name and os.environ.get(f"XPGRAPH_{name.upper()}", "1") != "0" and _import_compiled(name) else ""


@cache
def _import_compiled(compiler: str) -> bool:
    """Import the bodies of a compiler; if that fails for any reason, drop those already declared and return False."""
    try:
        importlib.import_module(f"{FAST}.{compiler}")
    except Exception:
        for row in TABLE.values():
            for library in COMPILERS:
                row.fast_bodies.pop(f"{library}+{compiler}", None)
        return False
    return True
