"""Compare one body of a kernel with the generic body on NumPy in float64."""

import importlib
import os
import pkgutil
from unittest import mock

import numpy as np
from layouts import lay

from xpgraph import graph, nodes, training
from xpgraph.arrays.kernels import TABLE, load_fast
from xpgraph.arrays.libraries import LIBRARIES, dtype_name, is_array, place_of

for folder in (nodes, graph, training):  # importing the modules fills the table of kernels
    for module in pkgutil.iter_modules(folder.__path__, f"{folder.__name__}."):
        importlib.import_module(module.name)
NO_ARRAYS = {"replay"}  # takes and returns steps: tests/fast/cuda/test_capture_replay.py
KERNELS = sorted(name for name, row in TABLE.items() if row.module.startswith("xpgraph.") and name not in NO_ARRAYS)


def tree(f, a):
    """f on every array of an argument or result; numbers, shapes and None stay as they are."""
    if isinstance(a, list) or (isinstance(a, tuple) and any(hasattr(part, "dtype") for part in a)):
        return type(a)(tree(f, part) for part in a)
    return f(a) if hasattr(a, "dtype") else a


def leaves(a):
    """The parts of nested lists and tuples, as one flat list."""
    return [leaf for part in a for leaf in leaves(part)] if isinstance(a, list | tuple) else [a]


def forget_bodies():
    """The table asks the environment anew at the next call of each kernel."""
    for row in TABLE.values():
        row.bodies.clear()


def bodies(row, library):
    """{name: body}: the generic body and those declared for this library, numba's too where it is installed."""
    with mock.patch.dict(os.environ, {"XPGRAPH_NUMBA": "1"}):
        load_fast(library)
    fast = {f"fast({name})": body for name, body in row.fast_bodies.items() if name.partition("+")[0] == library}
    return {"generic": row.body(library, generic=True), **fast}


def place(lib, case, dtype, layout, updates):
    """A case's arguments in the library: floats as ``dtype``, class indices as they are; ``updates`` are writable."""

    def put(a, writable):
        return tree(lambda x: lay(lib, x.astype(dtype) if x.dtype.kind == "f" else x, layout, writable), a)

    return [put(a, i in updates) for i, a in enumerate(case)]


def outputs(result, args, sample):
    """The outputs of a call, one entry for each tolerance: the results, or the arguments that it updated in place."""
    if sample.updates:
        assert result is None
        return [args[i] for i in sample.updates]
    return list(result) if isinstance(result, tuple) else [result]


def check_array(got, truth, allowed, like, label):
    """One array: it lies where ``like`` lies, with its dtype, and no error is larger than ``allowed``.

    CuPy compiles its kernels, and ours, with -ftz=true: a float32 below the normal numbers becomes 0.
    """
    if dtype_name(like) == "float32" and place_of(like).library.name == "cupy":
        allowed = allowed + float(np.finfo(np.float32).smallest_normal)
    dtype = dtype_name(like) if np.asarray(truth).dtype.kind == "f" else "int64"
    assert place_of(got) == place_of(like) and dtype_name(got) == dtype, label
    host = np.asarray(LIBRARIES[place_of(got).library.name].to_host(got), np.float64)
    assert host.shape == np.shape(truth), f"{label}: {host.shape} for {np.shape(truth)}"
    error = np.abs(host - truth)
    assert (error <= allowed).all(), f"{label}: error {np.max(error - allowed)} above the tolerance"


def check_body(lib, row, sample, body, how, label):
    """Call a body with a case; compare every output, its ``out=`` too, and see that no other argument is changed.

    ``how``: (case, dtype, layout). ``label`` begins the message of an AssertionError.
    """
    case, dtype, layout = how
    args = place(lib, case, dtype, layout, sample.updates)
    exact = [
        tree(lambda a: lib.numpy(a).astype(np.float64 if lib.numpy(a).dtype.kind == "f" else int), a) for a in args
    ]
    before = tree(lib.numpy, args)
    scales = sample.scale(*exact) if sample.scale else (None,) * len(sample.tolerances)
    K = sample.length(*exact)
    got = outputs(body(*args), args, sample)
    for i, (a, b) in enumerate(zip(args, before, strict=True)):
        if i not in sample.updates:
            same = [np.array_equal(lib.numpy(x), y) for x, y in zip(leaves(a), leaves(b), strict=True) if is_array(x)]
            assert all(same), f"{label}: argument {i} was written into"
    truths = outputs(row.generic(LIBRARIES["numpy"].xp, *exact), exact, sample)
    like = next(a for a in leaves(args) if is_array(a))
    for tolerance, output, truth, scale in zip(sample.tolerances, got, truths, scales, strict=True):
        found, true = leaves(output), leaves(truth)
        each_scale = scale if isinstance(scale, list) and len(scale) > 1 else leaves([scale]) * len(found)
        for g, t, s in zip(found, true, each_scale, strict=True):
            check_array(g, t, tolerance.allowed(t, dtype, s, K), like, label)
    if row.parameters[-1].name == "out":
        out = lay(lib, np.full(np.shape(truths[0]), np.nan, dtype), layout, writable=True)
        assert body(*args, out) is out, f"{label}: out= was not returned"
        check_array(
            out, truths[0], sample.tolerances[0].allowed(truths[0], dtype, scales[0], K), like, f"{label}, out="
        )
