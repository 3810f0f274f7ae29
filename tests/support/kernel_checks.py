"""Hold one body of a kernel to the generic body on NumPy in float64."""

from __future__ import annotations

import importlib
import os
import pkgutil
from unittest import mock

import numpy as np
from bars import lay

from xpgraph import graph, nodes, training
from xpgraph.arrays.kernels import TABLE, load_fast
from xpgraph.arrays.libraries import LIBRARIES, dtype_name, is_array, place_of

for folder in (nodes, graph, training):  # where kernels live
    for module in pkgutil.iter_modules(folder.__path__, f"{folder.__name__}."):
        importlib.import_module(module.name)
NO_ARRAYS = {"replay"}  # takes and returns steps: tests/fast/cuda/test_capture_replay.py
KERNELS = sorted(name for name, row in TABLE.items() if row.module.startswith("xpgraph.") and name not in NO_ARRAYS)


def tree(f, a):
    """f on every array of an argument or result; numbers, shapes and None stay."""
    if isinstance(a, list) or (isinstance(a, tuple) and any(hasattr(part, "dtype") for part in a)):
        return type(a)(tree(f, part) for part in a)
    return f(a) if hasattr(a, "dtype") else a


def leaves(a):
    return [leaf for part in a for leaf in leaves(part)] if isinstance(a, list | tuple) else [a]


def bodies(row, library):
    """The generic body and those that are declared for this library, numba's too where it is installed."""
    with mock.patch.dict(os.environ, {"XPGRAPH_NUMBA": "1"}):
        load_fast(library)
    fast = {f"fast({name})": body for name, body in row.fast_bodies.items() if name.partition("+")[0] == library}
    return {"generic": row.body(library, generic=True), **fast}


def place(lib, case, dtype, layout, updates):
    """A case's arguments in the library: floats as ``dtype``, class indices as they are."""

    def put(a, writable):
        return tree(lambda x: lay(lib, x.astype(dtype) if x.dtype.kind == "f" else x, layout, writable), a)

    return [put(a, i in updates) for i, a in enumerate(case)]


def outputs(result, args, sample):
    """What came out, one entry a bar: the results, or the arguments that it changed."""
    if sample.updates:
        assert result is None
        return [args[i] for i in sample.updates]
    return list(result) if isinstance(result, tuple) else [result]


def check(got, truth, allowed, like, words):
    """One array: its place, dtype and shape, and every value within what is allowed.

    CuPy has its kernels, and ours, compiled with -ftz=true: a float32 below the normal numbers becomes 0.
    """
    if dtype_name(like) == "float32" and place_of(like).library.name == "cupy":
        allowed = allowed + float(np.finfo(np.float32).smallest_normal)
    kind = dtype_name(like) if np.asarray(truth).dtype.kind == "f" else "int64"
    assert place_of(got) == place_of(like) and dtype_name(got) == kind, words
    host = np.asarray(LIBRARIES[place_of(got).library.name].to_host(got), np.float64)
    assert host.shape == np.shape(truth), f"{words}: {host.shape} for {np.shape(truth)}"
    error = np.abs(host - truth)
    assert (error <= allowed).all(), f"{words}: error {np.max(error - allowed)} above the bar"


def check_body(lib, row, sample, body, how, words):
    args = place(lib, *how, sample.updates)
    exact = [
        tree(lambda a: lib.numpy(a).astype(np.float64 if lib.numpy(a).dtype.kind == "f" else int), a) for a in args
    ]
    before = tree(lib.numpy, args)
    scale = sample.scale(*exact) if sample.scale else (None,) * len(sample.bars)
    K = sample.length(*exact)
    result = body(*args)
    got = outputs(result, args, sample)
    for i, (a, b) in enumerate(zip(args, before, strict=True)):
        if i not in sample.updates:
            same = [np.array_equal(lib.numpy(x), y) for x, y in zip(leaves(a), leaves(b), strict=True) if is_array(x)]
            assert all(same), f"{words}: argument {i} was written into"
    truths = outputs(row.generic(LIBRARIES["numpy"].xp, *exact), exact, sample)
    like = next(a for a in leaves(args) if is_array(a))
    for bar, out, truth, size in zip(sample.bars, got, truths, scale, strict=True):
        sizes = size if isinstance(size, list) else [size]
        for g, w, s in zip(
            leaves(out), leaves(truth), sizes if len(sizes) > 1 else sizes * len(leaves(out)), strict=True
        ):
            check(g, w, bar.allowed(w, how[1], s, K), like, words)
    if row.parameters[-1].name == "out":
        out = lay(lib, np.full(np.shape(truths[0]), np.nan, how[1]), how[2], writable=True)
        assert body(*args, out) is out, f"{words}: out= was not returned"
        check(out, truths[0], sample.bars[0].allowed(truths[0], how[1], scale[0], K), like, f"{words}, out=")
