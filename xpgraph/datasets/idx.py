"""The IDX files of MNIST and Fashion-MNIST: read from a folder, or downloaded once, and checked by their SHA-256.

The format, as Y. LeCun, C. Cortes and C. Burges describe it with MNIST: two zero bytes, a type code, the number of
dimensions, the length of each as a big-endian 32-bit integer, then the values, big-endian, in row-major order.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..storage.atomic import PIECE
from .npz import open_regular

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

# Of the unpacked files: the gzip files of the mirrors differ, the bytes inside do not.
SHA256 = {
    "mnist": {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "fashion-mnist": {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
}
MIRRORS = {
    "mnist": ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    "fashion-mnist": (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ),
}
HEADER = 4 + 4 * 32  # bytes of the longest header
LIMIT = 48 << 20  # bytes of one unpacked file: the largest has 47 MB, and a forged one must not fill the memory


def read(dataset: str, stem: str, data_dir: str | os.PathLike[str] | None = None) -> np.ndarray:
    """One file of a data set as an array, its content checked against the SHA-256 of the original.

    dataset: a key of ``SHA256``; stem: a key of ``SHA256[dataset]``.
    data_dir: a folder that holds the file, with or without ``.gz``, with ``-idx`` or ``.idx`` in its name. None takes
    the file from the cache (see ``cache_folder``); if it is not there it is downloaded: from
    ``$XPGRAPH_DATA_URL/<dataset>/<stem>.gz`` if that variable is set, then from each of ``MIRRORS``.

    Returns a read-only array of uint8, of shape (N, 28, 28) for images or (N,) for labels.
    Raises DataError for a file that is missing, altered or truncated, or that cannot be downloaded.
    """
    if data_dir is not None:
        path = _find(dataset, stem, Path(data_dir))
        return _checked(path, str(path), dataset, stem)
    path = cache_folder() / dataset / f"{stem}.gz"
    if path.is_file():
        try:
            return _checked(path, str(path), dataset, stem)
        except DataError:
            pass  # the download below replaces the damaged file
    return _download(dataset, stem, path)


def parse(raw: bytes | bytearray, where: str) -> np.ndarray:
    """The array in the bytes of an IDX file, read-only for uint8, in native byte order; errors call the file ``where``.

    Raises DataError if there is no IDX header, or if it claims another size than the bytes have.
    """
    dtype, shape, start = _header(raw, where)
    need = start + math.prod(shape) * dtype.itemsize
    if len(raw) != need:  # checked before memory of the claimed size is allocated
        found = f"{len(raw)}: " + ("it is truncated" if len(raw) < need else "something follows the values")
        header = f"the header {shape} of {dtype.name}"
        raise DataError(f"Reading {where}: {header} needs {need} bytes, found {found}. Get the file again.")
    array = np.frombuffer(memoryview(raw).toreadonly(), dtype, offset=start).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _header(raw: bytes | bytearray, where: str) -> tuple[np.dtype, tuple[int, ...], int]:
    """(dtype, shape, where the values begin) as the header claims them."""
    if not (len(raw) >= 4 and raw[:2] == b"\0\0" and raw[2] in TYPES and 1 <= raw[3] <= 32):
        raise DataError(
            f"Reading {where}: an IDX file begins with 00 00, a type code and the number of dimensions, "
            f"found {raw[:4].hex(' ') or 'an empty file'}. Give the original file, packed with gzip or not."
        )
    start = 4 + 4 * raw[3]
    shape = tuple(int.from_bytes(raw[i : i + 4], "big") for i in range(4, min(start, len(raw)), 4))
    return np.dtype(TYPES[raw[2]]), shape, start


def _checked(path: Path, where: str, dataset: str, stem: str) -> np.ndarray:
    """The array in a file; DataError if its SHA-256 is not that of the original."""
    raw = _unpacked(path, where)
    array = parse(raw, where)
    digest, expected = hashlib.sha256(raw).hexdigest(), SHA256[dataset][stem]
    if digest != expected:
        origin = [f"{other}'s {name}" for other, files in SHA256.items() for name in files if files[name] == digest]
        found = f"{digest}, which is {origin[0]}" if origin else digest
        wanted = f"{dataset}'s {stem} with SHA-256 {expected}"
        advice = "Get the original file; your own arrays can be given as a .npz file."
        raise DataError(f"Checking {where}: expected {wanted}, found {found}. {advice}")
    return array


def _unpacked(path: Path, where: str) -> bytearray:
    """The file's bytes, unpacked if it is a gzip file, whatever its name.

    Reads at most one byte more than the header claims, and at most one more than LIMIT.
    """
    with open_regular(path) as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        raw = bytearray()
        try:
            stream: Any = gzip.GzipFile(fileobj=file) if packed else file
            raw += stream.read(HEADER)
            dtype, shape, start = _header(raw, where)
            need = start + math.prod(shape) * dtype.itemsize
            if need > LIMIT and (packed or os.fstat(file.fileno()).st_size > LIMIT):
                found = f"a header {shape} of {dtype.name} that claims {need}"
                raise DataError(f"Reading {where}: expected at most {LIMIT} bytes, found {found}. Get the file again.")
            most = min(need, LIMIT) + 1
            while len(raw) < most and (piece := stream.read(min(PIECE, most - len(raw)))):
                raw += piece
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"Unpacking {where}: the gzip data is damaged ({error}). Get the file again.") from error
        except OSError as error:
            raise DataError(f"Reading {where}: {error}. Make the file readable, or give another.") from error
    return raw


def _find(dataset: str, stem: str, folder: Path) -> Path:
    if not folder.is_dir():
        raise DataError(f"Loading {dataset} from {folder}: there is no such folder. Give the folder of its IDX files.")
    names = [name + end for name in (stem, stem.replace("-idx", ".idx")) for end in (".gz", "")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    advice = "Put the file there, or leave the folder out to download it."
    raise DataError(f"Loading {dataset} from {folder}: {stem} is missing; looked for {', '.join(names)}. {advice}")


def cached(dataset: str) -> bool:
    """True if all files of the data set are in the cache."""
    return all((cache_folder() / dataset / f"{stem}.gz").is_file() for stem in SHA256[dataset])


def cache_folder() -> Path:
    """The folder of downloads: the environment variable XPGRAPH_CACHE, or the cache folder of the user."""
    chosen = os.environ.get("XPGRAPH_CACHE")
    if chosen:
        return Path(chosen)
    import pooch

    return Path(pooch.os_cache("xpgraph"))


def _download(dataset: str, stem: str, path: Path) -> np.ndarray:
    """Download ``path`` from the first URL that gives the right content. The file appears complete or not at all.

    pooch could only check the packed file, which differs between mirrors; so the unpacked content is checked here.
    """
    import pooch

    own = os.environ.get("XPGRAPH_DATA_URL")
    mirrors = [f"{own.rstrip('/')}/{dataset}/", *MIRRORS[dataset]] if own else MIRRORS[dataset]
    # identity: otherwise the client may unpack the file, which would then be raw under its .gz name
    get = pooch.HTTPDownloader(chunk_size=1 << 16, headers={"Accept-Encoding": "identity"})
    failures = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="part-", dir=path.parent) as folder:
            part = Path(folder, path.name)
            for url in (mirror + path.name for mirror in mirrors):
                try:
                    get(url, str(part), None)
                    array = _checked(part, path.name, dataset, stem)
                except (OSError, ValueError) as error:  # requests' errors are OSErrors, a DataError is a ValueError
                    failures.append(f"  {url}: {error}")
                else:
                    part.replace(path)
                    return array
    except OSError as error:
        advice = "Set XPGRAPH_CACHE to a folder you can write."
        raise DataError(f"Saving {dataset}'s {path.name} in {path.parent}: {error}. {advice}") from error
    raise DataError(
        f"Downloading {dataset}'s {path.name}: no URL gave it:\n" + "\n".join(failures) + "\n"
        "Check the network, set XPGRAPH_DATA_URL to a mirror, or give a folder of the files as data_dir."
    )
