"""An emulator of CUDA: g++ compiles the CUDA sources with cuda_emulator.h, and the CPU runs them thread by thread.

    emulator = Emulator(order="reverse")
    emulator.launch("relu", "float32", 4, 256, (x.ctypes.data, y.ctypes.data, x.size))

Threads run in an order of choice: "forward", "reverse" or a seed for a shuffled one. A correct kernel gives the same
bits in all. The emulator sees missing barriers, misaligned accesses and writes outside an array; it does not see how
fast anything is, nor what real concurrency would do.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xpgraph.fast.cuda import sources as library

HEADER = Path(__file__).with_name("cuda_emulator.h")
FLAGS = ("-std=c++17", "-O1", "-ffp-contract=off", "-fsanitize=alignment,bounds", "-fPIC", "-shared", "-w")
ORDERS = ("forward", "reverse", 11)
REALS = {"float32": ("float", ctypes.c_float), "float64": ("double", ctypes.c_double)}
DTYPES = tuple(REALS)
FAULTS = {
    1: "a grid of no blocks, or a block of no or more than 1024 threads",
    2: "a __syncthreads reached by only some threads of a block, or not at the same line",
    3: "a shuffle reached by only some lanes of a warp, or with a mask of fewer than 32",
    4: "a barrier in a kernel that seemed to have none",
    5: "an atomicAdd without a __threadfence of every thread of its block before it, or after it",
    6: "a read or write of more bytes than its address is aligned to",
    7: "an index outside a local or shared array",
}


def why_not() -> str:
    """Why the emulator cannot run here; empty if it can."""
    if not sys.platform.startswith("linux"):
        return "the CUDA emulator needs Linux"
    return "" if shutil.which("g++") else "the CUDA emulator needs g++, which is not installed"


class Emulator:
    """``sources``: {file: whole text} instead of the library's own, so that a test can plant a fault."""

    def __init__(self, sources: dict[str, str] | None = None, order: str | int = "forward") -> None:
        if why_not():
            raise RuntimeError(why_not())
        self.order = order
        self.texts = {file: library.text(file) for file in library.FILES} if sources is None else dict(sources)
        self._where = {kernel: file for file, text in self.texts.items() for kernel in library.signatures(text)}
        self._loaded: dict[tuple[str, str], ctypes.CDLL] = {}

    def kernels(self) -> list[str]:
        return sorted(self._where)

    def launch(self, name: str, dtype: str, grid: int, block: int, args: Sequence[int | float]) -> None:
        """Run kernel xp_<name> over the grid; ``args``: pointers as addresses, and numbers.

        Raises RuntimeError for what would make a GPU hang or fail, TypeError for a wrong number of arguments.
        """
        file = self._where[name]
        types = library.signatures(self.texts[file])[name]
        if len(args) != len(types):
            raise TypeError(f"{name}: {len(args)} arguments; it takes ({', '.join(types)}).")
        values = [_value(name, t, dtype, a) for t, a in zip(types, args, strict=True)]
        addresses = (ctypes.c_void_p * len(values))(*(ctypes.addressof(v) for v in values))
        if (file, dtype) not in self._loaded:
            self._loaded[file, dtype] = ctypes.CDLL(str(build(file, self.texts[file], dtype)))
        how, seed = (2, self.order) if isinstance(self.order, int) else ({"forward": 0, "reverse": 1}[self.order], 0)
        run = getattr(self._loaded[file, dtype], f"launch_{name}")
        code = run(ctypes.c_uint(grid), ctypes.c_uint(block), how, ctypes.c_ulonglong(seed), addresses)
        if code:
            raise RuntimeError(f"xp_{name}<<<{grid}, {block}>>>: {FAULTS[code]}")


def build(file: str, text: str, dtype: str) -> Path:
    """Compile one source to a shared library; the file is reused as long as the source stays the same."""
    whole = _program(text)
    key = hashlib.sha256("\0".join((whole, HEADER.read_text("utf-8"), dtype, *FLAGS)).encode()).hexdigest()[:24]
    folder = _cache()
    made = folder / f"{file.removesuffix('.cu')}-{dtype}-{key}.so"
    if not made.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            source, built = Path(scratch, f"{file}.cpp"), Path(scratch, "built.so")
            source.write_text(whole, "utf-8")
            done = subprocess.run(
                ["g++", *FLAGS, f"-DREAL={REALS[dtype][0]}", "-include", str(HEADER), str(source), "-o", str(built)],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                raise RuntimeError(f"g++ cannot compile {file} for {dtype}:\n{done.stderr}")
            built.replace(made)
    return made


def with_barriers(text: str) -> set[str]:
    """The functions of a source that call a barrier or a shuffle, directly or through another function."""
    bodies: dict[str, str] = {}
    depth, start, head = 0, 0, ""
    plain = re.sub(r"//.*|#line.*", "", text)
    for brace in re.finditer(r"[{}]", plain):
        if brace[0] == "{" and depth == 0:
            head, start = plain[start : brace.start()], brace.end()
        depth += 1 if brace[0] == "{" else -1
        if brace[0] == "}" and depth == 0:
            named = re.search(r"(\w+)\s*\([^()]*\)\s*$", head) or re.search(r"(\w+)\s*$", head)
            if named:
                bodies[named[1]] = bodies.get(named[1], "") + plain[start : brace.start()]
            start = brace.end()
    found = {"__syncthreads", "__shfl\\w*"}
    while True:
        pattern = re.compile(rf"\b(?:{'|'.join(found)})\b")
        more = {name for name, body in bodies.items() if pattern.search(body)} - found
        if not more:
            return found & set(bodies)
        found |= more


def _program(text: str) -> str:
    """The C++ program of a source: the source in its own namespace, and a function launch_<name> for each kernel."""
    fibres = with_barriers(text)
    entries = []
    for name, types in library.signatures(text).items():
        values = ", ".join(f"*({t}*)values[{i}]" for i, t in enumerate(types))
        entries.append(
            f"static void call_{name}(void** values) {{ xp_{name}({values}); }}\n"
            f'extern "C" int launch_{name}(unsigned grid, unsigned block, int how, unsigned long long seed, void** v) '
            f"{{ return emulated::launch(call_{name}, {int(f'xp_{name}' in fibres)}, grid, block, how, seed, v); }}\n"
        )
    return f"namespace {{\n{text}\n}}\n{''.join(entries)}"


def _value(name: str, ctype: str, dtype: str, value: int | float):
    """One argument as the C type that the kernel takes."""
    if ctype.endswith("*"):
        return ctypes.c_void_p(value)
    if ctype == "REAL":
        return REALS[dtype][1](value)
    if ctype == "long long":
        return ctypes.c_longlong(value)
    raise TypeError(f"{name}: a parameter of type {ctype!r}; kernels take pointers, REAL and long long.")


def _cache() -> Path:
    """The folder of compiled sources. It must belong to this user, because its files are loaded and run."""
    folder = Path(tempfile.gettempdir(), f"xpgraph-emulator-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise RuntimeError(f"CUDA emulator: {folder} belongs to another user; remove it.")
    return folder


class Guarded:
    """A copy of an array between two guard zones that no kernel may write into, ``shift`` bytes past a multiple of 64.

    Around an array that is only read, the zones hold NaN, so that a read outside shows in the result. Around one that
    changes they hold another pattern.
    """

    ZONE = 1 << 14  # bytes: large enough to hold the stray writes of a whole block

    def __init__(self, a: np.ndarray, shift: int = 0, changes: bool = False) -> None:
        a = np.array(a, order="C")
        self._fill = 0xFE if changes else 0xFF
        self._memory = np.full(a.nbytes + 2 * self.ZONE + 64 + shift, self._fill, np.uint8)
        start = -self._memory.ctypes.data % 64 + self.ZONE + shift
        self._inside = slice(start, start + a.nbytes)
        self._before = None if changes else a.tobytes()
        self.array = self._memory[self._inside].view(a.dtype).reshape(a.shape)
        self.array[...] = a
        self.address = self._memory.ctypes.data + start

    def check(self) -> None:
        around = self._memory[: self._inside.start], self._memory[self._inside.stop :]
        assert all((zone == self._fill).all() for zone in around), f"a kernel wrote outside an array {self.array.shape}"
        assert self._before in (None, self.array.tobytes()), f"a kernel wrote into an input {self.array.shape}"


class Device:
    """Guarded arrays, and launches on them; ``shift`` moves every array by so many elements off its alignment."""

    def __init__(self, emulator, dtype, shift=0):
        self.emulator, self.dtype, self.shift, self.arrays = emulator, np.dtype(dtype), shift, []

    def put(self, a, changes=False):
        """A guarded copy of ``a``, floats as this dtype; ``changes``: a kernel may write into it."""
        a = np.asarray(a, self.dtype if np.asarray(a).dtype.kind == "f" else None)
        self.arrays.append(Guarded(a, self.shift * a.itemsize, changes))
        return self.arrays[-1]

    def new(self, shape, kind=None):
        """An output array, filled with NaN, or with -1 if ``kind`` is an integer type."""
        return self.put(np.full(shape, -1 if kind else np.nan, kind), changes=True)

    def ticket(self):
        """The counter by which last_block finds the last block."""
        return self.put(np.zeros(1, np.uint32), changes=True)

    def pieces(self, *lists):
        """A table of pieces, one for each parameter, from parallel lists p, g and up to two states, else null."""
        rows = [[*(x.address for x in row), *[0] * (4 - len(row)), row[0].array.size] for row in zip(*lists)]  # noqa: B905
        self.shift, shift = 0, self.shift
        table = self.put(np.array(rows, np.int64))
        self.shift = shift
        return table

    def launch(self, name, grid, block, *args):
        values = [a.address if isinstance(a, Guarded) else 0 if a is None else a for a in args]
        self.emulator.launch(name, self.dtype.name, grid, block, values)

    def check(self):
        for array in self.arrays:
            array.check()


def in_every_order(emulator, dtype, work, shift=0):
    """The outputs of ``work(device)``. Asserts that all orders of threads give the same bits, none written outside."""
    runs = []
    for order in ORDERS:
        emulator.order = order
        device = Device(emulator, dtype, shift)
        runs.append([np.array(out.array) for out in work(device)])
        device.check()
    for run in runs[1:]:
        assert [a.tobytes() for a in run] == [a.tobytes() for a in runs[0]], (
            "results depend on the order of the threads"
        )
    return runs[0]
