"""Read a tensor file; every number in it is a claim until it has been compared with the file's size and its hashes.

Files of the safetensors library, which have no hashes, are read where the kind of file allows it.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

import numpy as np

from .atomic import PIECE
from .tensorfile import CHECKPOINT, DTYPES, FORMAT, HASH, HEADER_START, FileKind, bytes_of, count_values


class Place(NamedTuple):
    """Where an array lies in the file, in bytes from its start, and what it is."""

    begin: int
    end: int
    dtype: np.dtype
    shape: tuple[int, ...]


def read(path: Path, kind: FileKind = CHECKPOINT) -> tuple[dict[str, np.ndarray], Any]:
    """The arrays of a file and its ``meta``, once every byte has been checked; ``kind.error`` for anything else."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116  # a pipe would wait for ever
            raise kind.error(f"{kind.doing}{path}: expected a file, found something else. {kind.if_missing}")
        with path.open("rb", buffering=0) as file:
            return Reader(file, os.fstat(file.fileno()).st_size, str(path), kind).read()
    except OSError as error:
        raise kind.error(f"{kind.doing}{path}: {error.strerror or error}. {kind.if_missing}") from error


def from_bytes(raw: bytes, where: str, kind: FileKind = CHECKPOINT) -> tuple[dict[str, np.ndarray], Any]:
    """``read`` for a file in memory; ``where`` names it in errors."""
    return Reader(io.BytesIO(raw), len(raw), where, kind).read()


class Reader:
    """One file while it is read."""

    def __init__(self, file: BinaryIO | io.RawIOBase, size: int, where: str, kind: FileKind = CHECKPOINT) -> None:
        self.file, self.size, self.where, self.kind = file, size, where, kind

    def read(self) -> tuple[dict[str, np.ndarray], Any]:
        head = self._head()
        hashed = self._check_head(head)
        header = self._json(head[8:], "the header", "ASCII" if hashed else "UTF-8")
        digests, meta = self._own(header.pop("__metadata__", None), hashed)
        if hashed and set(digests) != set(header):
            self._refuse("the header", "a sha256 for each array", "other names")
        arrays = {}
        for name, place in self._places(header, len(head)).items():
            try:
                a = np.empty(place.shape, place.dtype)
            except ValueError as error:  # no bytes, but longer axes than an array may have
                self._refuse(f"array {name[:60]} in the header", "a shape that an array can have", str(error)[:80])
            digest = self._fill(a, name)
            if hashed and digest != digests[name]:
                self._refuse(f"array {name}", f"sha256 {digests[name]}", digest)
            arrays[name] = a.astype(a.dtype.newbyteorder("="), copy=False)
        return arrays, meta

    def _head(self) -> bytes:
        """The header's length and the header."""
        least = 8 + (len(HEADER_START) if self.kind.hashed else 2)
        if self.size < least:
            self._refuse("its size", f"at least {least} bytes", f"{self.size}")
        start = self._exactly(8, "the header's length")
        length = int.from_bytes(start, "little")
        where = "byte 0, the header's length"
        if length > self.size - 8:
            self._refuse(where, f"at most {self.size - 8} in a file of {self.size}", f"{length}")
        if length > self.kind.header_limit:
            self._refuse(where, f"at most {self.kind.header_limit}", f"{length}")
        return start + self._exactly(length, "the header")

    def _check_head(self, head: bytes) -> bool:
        """Check the sha256 of length and header; False where the file has none and needs none."""
        hashed = head.startswith(HEADER_START, 8)
        if not hashed and self.kind.hashed:
            self._refuse("byte 8", "the header of a checkpoint of xpgraph", repr(head[8:28]))
        if hashed:
            told = head[HASH].decode("ascii", "replace")
            digest = hashlib.sha256(head[: HASH.start] + b"0" * 64)
            digest.update(memoryview(head)[HASH.stop :])  # no copy of a long header
            if told != digest.hexdigest():
                self._refuse("the header", f"sha256 {told}", digest.hexdigest())
        if count_values(head) > self.kind.value_limit:  # before the parser makes objects of them
            self._refuse("the header", f"at most {self.kind.value_limit} values", f"{count_values(head)}")
        return hashed

    def _own(self, metadata: Any, hashed: bool) -> tuple[dict[str, str], Any]:
        """What xpgraph wrote into the metadata: the sha256 of each array, and ``meta``."""
        text = metadata.get("xpgraph") if isinstance(metadata, dict) else None
        if not isinstance(text, str):
            self._refuse("the header", "text under xpgraph", type(text).__name__)
        own = self._json(text, "xpgraph in the header", "ASCII" if hashed else "UTF-8")
        if not hashed:
            if "sha256" in metadata:
                self._refuse("the header", "its sha256 at byte 8", "it elsewhere: another program wrote the file again")
            return {}, own
        number = own.get("format")
        if type(number) is not int or number < 1:
            self._refuse("xpgraph in the header", "a format number", repr(number)[:40])
        if number > FORMAT:
            found = f"xpgraph in the header: expected format {FORMAT} or older, found format {number}"
            raise self.kind.newer(f"{self.kind.doing}{self.where}: {found}. Update xpgraph.")
        digests = own.get("sha256")
        if not isinstance(digests, dict) or not all(isinstance(d, str) for d in digests.values()) or "meta" not in own:
            self._refuse("xpgraph in the header", "sha256 and meta", ", ".join(own)[:60] or "nothing")
        return digests, own["meta"]

    def _places(self, header: dict[str, Any], start: int) -> dict[str, Place]:
        """{name: place} in the file's order, without a gap from the header to the file's end."""
        places = {}
        for name, row in header.items():
            where = f"array {name[:60]} in the header"
            known = isinstance(row, dict) and set(row) == {"dtype", "shape", "data_offsets"}
            known = known and isinstance(row["dtype"], str) and _are_counts(row["shape"], range(33))
            if not known or not _are_counts(row["data_offsets"], range(2, 3)):
                self._refuse(where, "dtype, shape and offsets", repr(row)[:80])
            if row["dtype"] not in DTYPES:
                advice = "Save it again as F32, with the program that wrote it."
                self._refuse(where, f"a dtype of {', '.join(DTYPES)}", row["dtype"][:20], advice)
            dtype, shape, (begin, end) = np.dtype(DTYPES[row["dtype"]]), tuple(row["shape"]), row["data_offsets"]
            needed = math.prod(shape) * dtype.itemsize
            if end - begin != needed:
                self._refuse(where, f"{needed} bytes for {dtype}{shape}", f"{end - begin}")
            places[name] = Place(start + begin, start + end, dtype, shape)
        places, at = dict(sorted(places.items(), key=lambda item: item[1][:2])), start
        for name, place in places.items():
            if place.begin != at:
                self._refuse(f"array {name[:60]} in the header", f"a beginning at byte {at}", f"byte {place.begin}")
            at = place.end
        if at != self.size:
            what = "truncated" if self.size < at else "something follows the arrays"
            self._refuse("its size", f"{at} bytes", f"{self.size}: {what}")
        return places

    def _fill(self, a: np.ndarray, name: str) -> str:
        """Read the next array from the file; its sha256."""
        view, digest, done = bytes_of(a), hashlib.sha256(), 0
        while done < len(view):
            n = self.file.readinto(view[done : done + PIECE])  # type: ignore[union-attr]
            if not n:
                self._refuse(f"array {name}", f"{len(view)} bytes", f"{done}: the file ended")
            digest.update(view[done : done + n])
            done += n
        return digest.hexdigest()

    def _exactly(self, n: int, what: str) -> bytes:
        """The next n bytes of the file."""
        raw = bytearray()
        while len(raw) < n and (more := self.file.read(min(PIECE, n - len(raw)))):
            raw += more
        if len(raw) != n:
            self._refuse(what, f"{n} bytes", f"{len(raw)}: the file ended")
        return bytes(raw)

    def _json(self, words: bytes | str, what: str, encoding: str) -> dict[str, Any]:
        try:
            text = words if isinstance(words, str) else words.decode(encoding)
            value = json.loads(text, object_pairs_hook=_no_name_twice)
        except (ValueError, RecursionError) as error:
            self._refuse(what, f"JSON in {encoding}", str(error)[:100])
        if not isinstance(value, dict):
            self._refuse(what, "a JSON object", type(value).__name__)
        return value

    def _refuse(self, place: str, expected: str, found: str, advice: str = "") -> NoReturn:
        what = f"{place}: expected {expected}, found {found}"
        raise self.kind.error(f"{self.kind.doing}{self.where}: {what}. {advice or self.kind.if_damaged}")


def _are_counts(value: Any, lengths: range) -> bool:
    """Is it a list, of one of these lengths, of whole numbers that an array can have?"""
    return isinstance(value, list) and len(value) in lengths and all(type(n) is int and 0 <= n < 2**62 for n in value)


def _no_name_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    together = dict(pairs)
    if len(together) != len(pairs):
        raise ValueError("a name stands twice")
    return together
