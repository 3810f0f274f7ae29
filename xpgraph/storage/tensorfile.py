"""Named arrays and a description in one file that cannot be misread: safetensors, with a sha256 of every part.

The layout is that of safetensors: the header's length (8 bytes, little-endian), a header in JSON, the arrays; any of
its readers can open the file. In the header's ``__metadata__`` stand, as text, ``sha256``: that of length and header
with zeros in place of itself; and ``xpgraph``: JSON with the format number, the sha256 of each array, and ``meta``.
Here such a file is written; tensor_reader.py reads it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..errors import CheckpointError, Error, NewerFormatError

FORMAT = 1
DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1",
}  # fmt: skip
HEADER_START = b'{"__metadata__":{"sha256":"'
HASH = slice(8 + len(HEADER_START), 8 + len(HEADER_START) + 64)  # where the header's own sha256 stands in the file
_NAMES = {np.dtype(kind): name for name, kind in DTYPES.items()}


class FileKind(NamedTuple):
    """What a kind of tensor files may hold, and how errors speak of it. The defaults are those of a checkpoint."""

    error: type[Error] = CheckpointError
    newer: type[Error] = NewerFormatError  # for a file that a newer xpgraph wrote
    doing: str = "Reading "  # the first beat of a message; the path follows
    if_missing: str = "Give a checkpoint that can be read."
    if_damaged: str = "Take an older checkpoint."
    hashed: bool = True  # must it have the sha256 of every part?
    header_limit: int = 8 << 20  # bytes of header, and values in its JSON: together under 64 MB as Python objects
    value_limit: int = 200_000


CHECKPOINT = FileKind()


def pieces(arrays: Mapping[str, np.ndarray], meta: Any, kind: FileKind = CHECKPOINT) -> Iterator[Any]:
    """The bytes of a file, piece by piece: ``arrays`` of real numbers, and ``meta``, anything that JSON can hold.

    The arrays are read twice, for their sha256 first. Raises ValueError for what such a file cannot hold.
    """
    stored = {name: _stored(name, a) for name, a in arrays.items()}
    order = sorted(stored, key=lambda name: -stored[name].itemsize)  # each starts at a multiple of its own item size
    header: dict[str, Any] = {"__metadata__": {"sha256": "0" * 64, "xpgraph": ""}}
    start, digests = 0, {}
    for name in order:
        a = stored[name]
        header[name] = {
            "dtype": _NAMES[a.dtype], "shape": list(a.shape), "data_offsets": [start, start + a.nbytes],
        }  # fmt: skip
        start += a.nbytes
        digests[name] = hashlib.sha256(bytes_of(a)).hexdigest()
    header["__metadata__"]["xpgraph"] = json.dumps({"format": FORMAT, "sha256": digests, "meta": meta})
    words = json.dumps(header, separators=(",", ":")).encode("ascii")
    words += b" " * (-len(words) % 8)
    if len(words) > kind.header_limit or count_values(words) > kind.value_limit:
        raise ValueError(
            f"Saving: the description of {len(arrays)} arrays takes {len(words)} bytes and {count_values(words)} "
            f"values; a file holds {kind.header_limit} and {kind.value_limit}. Put long lists of numbers into arrays."
        )
    head = bytearray(len(words).to_bytes(8, "little") + words)
    head[HASH] = hashlib.sha256(head).hexdigest().encode()
    yield bytes(head)
    for name in order:
        yield bytes_of(stored[name])


def bytes_of(a: np.ndarray) -> memoryview:
    """The memory of an array in row-major order, as bytes."""
    return a.reshape(-1).view(np.uint8).data if a.size else memoryview(bytearray())


def count_values(words: bytes) -> int:
    """At least the number of values and names in JSON text; each costs Python up to a hundred bytes."""
    return sum(words.count(mark) for mark in (b",", b"[", b"{"))


def _stored(name: str, a: np.ndarray) -> np.ndarray:
    """The array as the file has it: little-endian, in row-major order (a copy only where it is another)."""
    dtype = a.dtype.newbyteorder("<")
    if dtype not in _NAMES:
        raise ValueError(f"Saving: {name} is {a.dtype}; a file holds float16 to float64 and integers.")
    if name == "__metadata__":
        raise ValueError(f"Saving: {name!r} is no name for an array; the layout has taken it.")
    return np.asarray(a, dtype, order="C")
