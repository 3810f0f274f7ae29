"""Floor 4: named arrays and a description in one file that cannot be misread: safetensors, with a sha256 of every part.

The layout is that of safetensors: the header's length (8 bytes, little-endian), a header in JSON, the arrays; any of
its readers can open the file. In the header's ``__metadata__`` stand, as text, ``sha256``: that of length and header
with zeros in place of itself; and ``xpgraph``: JSON with the format number, the sha256 of each array, and ``meta``.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np

from ..errors import CheckpointError, NewerFormatError
from .atomic import PIECE

FORMAT = 1
HEADER_LIMIT = 8 << 20  # bytes of header, and values in its JSON: together under 64 MB once they are Python objects
VALUE_LIMIT = 200_000
_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1",
}  # fmt: skip
_NAMES = {np.dtype(kind): name for name, kind in _DTYPES.items()}
_START = b'{"__metadata__":{"sha256":"'
_HASH = slice(8 + len(_START), 8 + len(_START) + 64)  # where the header's own sha256 stands in the file


def pieces(arrays: Mapping[str, np.ndarray], meta: Any) -> Iterator[Any]:
    """The bytes of a file, piece by piece: ``arrays`` of real numbers, and ``meta``, anything that JSON can hold.

    The arrays are read twice, for their sha256 first. Raises ValueError for what such a file cannot hold.
    """
    stored = {name: _stored(name, a) for name, a in arrays.items()}
    order = sorted(stored, key=lambda name: -stored[name].itemsize)  # each begins at a multiple of its own item size
    header: dict[str, Any] = {"__metadata__": {"sha256": "0" * 64, "xpgraph": ""}}
    place, digests = 0, {}
    for name in order:
        a = stored[name]
        header[name] = {
            "dtype": _NAMES[a.dtype], "shape": list(a.shape), "data_offsets": [place, place + a.nbytes],
        }  # fmt: skip
        place += a.nbytes
        digests[name] = hashlib.sha256(_flat(a)).hexdigest()
    header["__metadata__"]["xpgraph"] = json.dumps({"format": FORMAT, "sha256": digests, "meta": meta})
    words = json.dumps(header, separators=(",", ":")).encode("ascii")
    words += b" " * (-len(words) % 8)
    if len(words) > HEADER_LIMIT or _values(words) > VALUE_LIMIT:
        raise ValueError(
            f"Saving: the description of {len(arrays)} arrays takes {len(words)} bytes and {_values(words)} values; a "
            f"file holds {HEADER_LIMIT} and {VALUE_LIMIT}. Put long lists of numbers into arrays."
        )
    head = bytearray(len(words).to_bytes(8, "little") + words)
    head[_HASH] = hashlib.sha256(head).hexdigest().encode()
    yield bytes(head)
    for name in order:
        yield _flat(stored[name])


def read(path: Path) -> tuple[dict[str, np.ndarray], Any]:
    """The arrays of a file and its ``meta``, once every byte has been checked; CheckpointError for anything else."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116  # a pipe would wait for ever
            raise CheckpointError(f"Reading {path}: expected a file, found something else. Give a checkpoint.")
        with path.open("rb", buffering=0) as file:
            return _Reader(file, os.fstat(file.fileno()).st_size, str(path)).read()
    except OSError as error:
        raise CheckpointError(
            f"Reading {path}: {error.strerror or error}. Give a checkpoint that can be read."
        ) from error


def from_bytes(raw: bytes, where: str) -> tuple[dict[str, np.ndarray], Any]:
    """``read`` for a file in memory; ``where`` names it in errors."""
    return _Reader(io.BytesIO(raw), len(raw), where).read()


class _Reader:
    """One file being read; every number in it is a claim until it has been compared with the file's size."""

    def __init__(self, file: BinaryIO | io.RawIOBase, size: int, where: str) -> None:
        self.file, self.size, self.where = file, size, where

    def read(self) -> tuple[dict[str, np.ndarray], Any]:
        head = self._head()
        header = self._json(head[8:], "the header")
        own = self._own(header.pop("__metadata__", None))
        if set(own["sha256"]) != set(header):
            self._refuse("the header", "a sha256 for each array", "other names")
        places = self._places(header, 8 + len(head[8:]))
        arrays = {}
        for name, (_, _, dtype, shape) in places.items():
            try:
                a = np.empty(shape, dtype)
            except ValueError as error:  # no bytes, but longer axes than an array may have
                self._refuse(f"array {name[:60]} in the header", "a shape that an array can have", str(error)[:80])
            digest = self._fill(a, name)
            if digest != own["sha256"][name]:
                self._refuse(f"array {name}", f"sha256 {own['sha256'][name]}", digest)
            arrays[name] = a.astype(a.dtype.newbyteorder("="), copy=False)
        return arrays, own["meta"]

    def _head(self) -> bytes:
        """Length and header, their sha256 checked."""
        if self.size < 8 + len(_START):
            self._refuse("its size", f"at least {8 + len(_START)} bytes", f"{self.size}")
        start = self._exactly(8, "the header's length")
        length = int.from_bytes(start, "little")
        if length > self.size - 8:
            self._refuse(
                "byte 0, the header's length", f"at most {self.size - 8} in a file of {self.size}", f"{length}"
            )
        if length > HEADER_LIMIT:
            self._refuse("byte 0, the header's length", f"at most {HEADER_LIMIT}", f"{length}")
        head = start + self._exactly(length, "the header")
        if not head.startswith(_START, 8):
            self._refuse("byte 8", "the header of a checkpoint of xpgraph", repr(head[8:28]))
        told = head[_HASH]
        blank = hashlib.sha256(head[: _HASH.start])
        blank.update(b"0" * 64)
        blank.update(memoryview(head)[_HASH.stop :])
        if told != blank.hexdigest().encode():
            self._refuse("the header", f"sha256 {told.decode('ascii', 'replace')}", blank.hexdigest())
        if _values(head) > VALUE_LIMIT:  # before the parser makes objects of them
            self._refuse("the header", f"at most {VALUE_LIMIT} values", f"{_values(head)}")
        return head

    def _own(self, metadata: Any) -> dict[str, Any]:
        text = metadata.get("xpgraph") if isinstance(metadata, dict) else None
        if not isinstance(text, str):
            self._refuse("the header", "text under xpgraph", type(text).__name__)
        own = self._json(text, "xpgraph in the header")
        number = own.get("format")
        if type(number) is not int or number < 1:
            self._refuse("xpgraph in the header", "a format number", repr(number)[:40])
        if number > FORMAT:
            raise NewerFormatError(
                f"Reading {self.where}: xpgraph in the header: expected format {FORMAT} or older, found format "
                f"{number}. Update xpgraph."
            )
        digests = own.get("sha256")
        if not isinstance(digests, dict) or not all(isinstance(d, str) for d in digests.values()) or "meta" not in own:
            self._refuse("xpgraph in the header", "sha256 and meta", ", ".join(own)[:60] or "nothing")
        return own

    def _places(self, header: dict[str, Any], start: int) -> dict[str, tuple[int, int, np.dtype, tuple[int, ...]]]:
        """{name: (begin, end, dtype, shape)} in the file's order, without a gap from the header to the file's end."""
        places = {}
        for name, row in header.items():
            known = isinstance(row, dict) and set(row) == {"dtype", "shape", "data_offsets"} and _kind(row["dtype"])
            if not known or not _counts(row["shape"], 32) or not _counts(row["data_offsets"], 2, 2):
                self._refuse(f"array {name[:60]} in the header", "dtype, shape and offsets", repr(row)[:80])
            dtype, shape, (begin, end) = np.dtype(_DTYPES[row["dtype"]]), tuple(row["shape"]), row["data_offsets"]
            if end - begin != math.prod(shape) * dtype.itemsize:
                needed = math.prod(shape) * dtype.itemsize
                self._refuse(f"array {name[:60]} in the header", f"{needed} bytes for {dtype}{shape}", f"{end - begin}")
            places[name] = (start + begin, start + end, dtype, shape)
        places, at = dict(sorted(places.items(), key=lambda item: item[1][:2])), start
        for name, (begin, end, _, _) in places.items():
            if begin != at:
                self._refuse(f"array {name[:60]} in the header", f"a beginning at byte {at}", f"byte {begin}")
            at = end
        if at != self.size:
            found = "truncated" if self.size < at else "something follows the arrays"
            self._refuse("its size", f"{at} bytes", f"{self.size}: {found}")
        return places

    def _fill(self, a: np.ndarray, name: str) -> str:
        view, digest, done = _flat(a), hashlib.sha256(), 0
        while done < len(view):
            n = self.file.readinto(view[done : done + PIECE])  # type: ignore[union-attr]
            if not n:
                self._refuse(f"array {name}", f"{len(view)} bytes", f"{done}: the file ended")
            digest.update(view[done : done + n])
            done += n
        return digest.hexdigest()

    def _exactly(self, n: int, what: str) -> bytes:
        found = bytearray()
        while len(found) < n and (more := self.file.read(min(PIECE, n - len(found)))):
            found += more
        if len(found) != n:
            self._refuse(what, f"{n} bytes", f"{len(found)}: the file ended")
        return bytes(found)

    def _json(self, words: bytes | str, what: str) -> dict[str, Any]:
        try:
            text = words if isinstance(words, str) else words.decode("ascii")
            value = json.loads(text, object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:
            self._refuse(what, "JSON in ASCII", str(error)[:100])
        if not isinstance(value, dict):
            self._refuse(what, "a JSON object", type(value).__name__)
        return value

    def _refuse(self, place: str, expected: str, found: str) -> NoReturn:
        what = f"{place}: expected {expected}, found {found}"
        raise CheckpointError(f"Reading {self.where}: {what}. Take an older checkpoint.")


def _stored(name: str, a: np.ndarray) -> np.ndarray:
    """The array as the file has it: little-endian, in row-major order (a copy only where it is another)."""
    dtype = a.dtype.newbyteorder("<")
    if dtype not in _NAMES:
        raise ValueError(f"Saving: {name} is {a.dtype}; a file holds float16 to float64 and integers.")
    if name == "__metadata__":
        raise ValueError(f"Saving: {name!r} is no name for an array; the layout has taken it.")
    return np.asarray(a, dtype, order="C")


def _flat(a: np.ndarray) -> memoryview:
    return a.reshape(-1).view(np.uint8).data if a.size else memoryview(bytearray())


def _values(words: bytes) -> int:
    """No less than how many values and names JSON text has; each costs Python up to a hundred bytes."""
    return sum(words.count(mark) for mark in (b",", b"[", b"{"))


def _kind(name: Any) -> bool:
    return isinstance(name, str) and name in _DTYPES


def _counts(value: Any, most: int, least: int = 0) -> bool:
    """Is it a short list of whole numbers, none negative, none beyond what an array can have?"""
    return (
        isinstance(value, list)
        and least <= len(value) <= most
        and all(type(n) is int and 0 <= n < 2**62 for n in value)
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found
