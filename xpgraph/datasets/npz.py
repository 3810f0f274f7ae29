"""Read arrays of numbers from a .npz file that need not be trusted: nothing is unpickled, every claim is checked.

A .npz is a zip of .npy files. Before memory is allocated, what each header claims is compared with the sizes in the
zip, and these with the size of the file. Memory grows only with bytes that are really there.
"""

from __future__ import annotations

import io
import math
import os
import stat
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, NoReturn

import numpy as np

from ..errors import DataError
from ..storage.atomic import PIECE

DIRECTORY_LIMIT = 1 << 20  # bytes of the zip's directory: thousands of names
HEADER_LIMIT = 10_000  # bytes of the header of a .npy, as in NumPy
SMALL, RATIO = 1 << 25, 100  # a zip bomb unpacks to more than 32 MiB and to more than 100 times its size
Names = tuple[str, ...]
_ADVICE = "Make it again with numpy.savez from arrays of numbers."


def open_regular(path: Path) -> io.BufferedReader:
    """Open a data file. DataError if it is missing, unreadable or not a regular file: a pipe might never end."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116
            raise DataError(f"Reading {path}: expected a file, found a folder, a pipe or a device. Give a file.")
        return path.open("rb")
    except FileNotFoundError as error:
        raise DataError(f"Reading {path}: there is no such file. Check the path.") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise DataError(f"Reading {path}: {error}. Make the file readable, or give another.") from error


def read(path: Path, needed: Iterable[str], optional: Iterable[str] = ()) -> dict[str, np.ndarray]:
    """The arrays of these names; all ``needed`` ones must be there. Other members of the file are not read.

    Raises DataError for a file that is damaged, of another kind, or that claims more than it holds.
    """
    with open_regular(path) as file:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about duplicate names and old headers
                return _members(file, path, tuple(needed), tuple(optional))
        except DataError:
            raise
        except Exception as error:  # zipfile, its codecs and NumPy can raise anything for a damaged file
            raise DataError(f"Reading {path}: {type(error).__name__}: {error}. {_ADVICE}") from error


class _LimitedReads(io.BufferedReader):
    """A file that refuses reads of more than DIRECTORY_LIMIT bytes at a time, as a forged zip directory would cause."""

    def __init__(self, file: io.BufferedReader, path: Path) -> None:
        super().__init__(file.raw)
        self.path = path

    def read(self, n: int | None = -1, /) -> bytes:
        if n is None or n < 0:
            n = max(0, os.fstat(self.fileno()).st_size - self.tell())
        if n > max(DIRECTORY_LIMIT, PIECE):
            _refuse(self.path, "the zip's directory", f"at most {DIRECTORY_LIMIT} bytes", f"{n}")
        return super().read(n)


def _members(file: io.BufferedReader, path: Path, needed: Names, optional: Names) -> dict[str, np.ndarray]:
    if not zipfile.is_zipfile(file):
        raise DataError(f"Reading {path}: not a .npz file, or a truncated one. {_ADVICE}")
    size = os.fstat(file.fileno()).st_size
    with zipfile.ZipFile(_LimitedReads(file, path)) as archive:
        members: dict[str, zipfile.ZipInfo] = {}
        for info in archive.infolist():
            name = info.filename
            if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/"):
                _refuse(path, f"member {name[:60]!r}", "a plain name", "a path that leads out of the folder")
            if name.removesuffix(".npy") in (*needed, *optional):
                if name in members or not name.endswith(".npy"):
                    _refuse(path, f"member {name!r}", "one .npy file of that name", "something else, or a second one")
                members[name] = info
        keys = [key for key in (*needed, *optional) if f"{key}.npy" in members]
        missing = [key for key in needed if key not in keys]
        if missing:
            names = [info.filename.removesuffix(".npy") for info in archive.infolist()]
            found = f"array {' and '.join(missing)} missing, found {(', '.join(names[:20]) or 'none')[:400]}"
            raise DataError(f"Reading {path}: {found}. Save it with numpy.savez({path.name!r}, x=..., t=...).")
        wanted = [members[f"{key}.npy"] for key in keys]
        for info in wanted:
            _check_member(info, size, path)
        packed, unpacked = sum(info.compress_size for info in wanted), sum(info.file_size for info in wanted)
        if unpacked > max(SMALL, RATIO * packed):
            advice = "If they are yours, save them with numpy.savez, which does not pack."
            most, found = f"at most {RATIO} times their {packed} bytes", f"{unpacked} after unpacking"
            _refuse(path, f"members {', '.join(keys)}", most, found, advice)
        return {key: _array(archive, info, path, key) for key, info in zip(keys, wanted, strict=True)}


def _check_member(info: zipfile.ZipInfo, size: int, path: Path) -> None:
    """Compare the sizes that the zip claims with the file and with each other."""
    where = f"member {info.filename}"
    if info.flag_bits & 1:
        _refuse(path, where, "plain data", "encrypted data")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        _refuse(path, where, "stored or deflated data, as NumPy writes", f"compression {info.compress_type}")
    if info.compress_size > size:
        _refuse(path, where, f"at most the file's {size} bytes", f"{info.compress_size}: it is truncated")
    if info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size:
        _refuse(path, where, f"{info.compress_size} bytes, as stored", f"{info.file_size}")


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, key: str) -> np.ndarray:
    with archive.open(info) as stream:
        start, shape, fortran, dtype = _header(stream, info, path, key)
        body = math.prod(shape) * dtype.itemsize
        if body != info.file_size - start:
            _refuse(path, f"{key}, {dtype}{shape}", f"{body} bytes of values", f"{info.file_size - start}")
        values = bytearray()
        while piece := stream.read(PIECE):  # to the end, where zipfile checks the checksum
            values += piece
    if len(values) != body:
        _refuse(path, f"{key}, {dtype}{shape}", f"{body} bytes of values", f"{len(values)}: it is truncated")
    return np.frombuffer(values, dtype).reshape(shape, order="F" if fortran else "C")


def _header(
    stream: IO[bytes], info: zipfile.ZipInfo, path: Path, key: str
) -> tuple[int, tuple[int, ...], bool, np.dtype]:
    """(bytes before the values, shape, is it in Fortran order?, dtype) of one .npy."""
    magic = stream.read(8)
    if magic not in (b"\x93NUMPY\1\0", b"\x93NUMPY\2\0"):
        _refuse(path, f"member {info.filename}", "an array of numbers in .npy format", repr(magic))
    width = 2 if magic[6] == 1 else 4
    length_bytes = stream.read(width)
    length = int.from_bytes(length_bytes, "little")
    if length > min(HEADER_LIMIT, info.file_size):  # NumPy would first read all of it
        _refuse(path, f"{key}'s header", f"at most {min(HEADER_LIMIT, info.file_size)} bytes", f"{length}")
    text = io.BytesIO(length_bytes + stream.read(length))
    reader = np.lib.format.read_array_header_1_0 if magic[6] == 1 else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = reader(text, HEADER_LIMIT)
    if dtype.hasobject:
        _refuse(path, key, "numbers", "Python objects, which only pickle could read and which may run code")
    if dtype.kind not in "biufcUS" or any(n < 0 for n in shape) or len(shape) > 32:
        _refuse(path, f"{key}'s header", "an array of numbers", f"{dtype}{shape}"[:80])
    return 8 + width + length, shape, fortran, dtype


def _refuse(path: Path, place: str, expected: str, found: str, advice: str = _ADVICE) -> NoReturn:
    raise DataError(f"Reading {path}: {place}: expected {expected}, found {found}. {advice}")
