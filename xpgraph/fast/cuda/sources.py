"""The CUDA sources as text: NVRTC compiles them on a GPU, the tests compile them for the CPU.

Each file holds kernels ``extern "C" __global__ void xp_<name>(...)``. It is compiled with prelude.cu before it, once
for each dtype, with -DREAL=float or -DREAL=double. Functions here take a kernel's name with or without the xp_.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

PRELUDE = "prelude.cu"
_FOLDER = Path(__file__).parent
_KERNEL = re.compile(r'extern\s+"C"\s+__global__\s+void\s+xp_(\w+)\s*\(([^)]*)\)')


@cache
def text(file: str) -> str:
    """The whole source of a file: the prelude, then the file; the compiler reports each with its own line numbers."""
    parts = (f'#line 1 "{name}"\n{(_FOLDER / name).read_text("utf-8")}' for name in (PRELUDE, file))
    return "\n".join(parts)


def signatures(source: str) -> dict[str, tuple[str, ...]]:
    """The kernels of a source, in order: name to the C types of its parameters (``"const REAL*"``, ``"long long"``)."""
    without_comments = re.sub(r"//.*", "", source)
    return {
        name: tuple(" ".join(re.sub(r"\w+\s*$", "", p).split()).replace(" *", "*") for p in parameters.split(","))
        for name, parameters in _KERNEL.findall(without_comments)
    }


FILES = tuple(sorted(path.name for path in _FOLDER.glob("*.cu") if path.name != PRELUDE))
NAMES: dict[str, tuple[str, ...]] = {file: tuple(signatures(text(file))) for file in FILES}
_FILE_OF = {name: file for file, names in NAMES.items() for name in names}


def file_of(kernel: str) -> str:
    """The file that holds a kernel. Raises KeyError with its name if none does."""
    return _FILE_OF[kernel.removeprefix("xp_")]


def parameters(kernel: str) -> tuple[str, ...]:
    """The C types of a kernel's parameters, in order."""
    return signatures(text(file_of(kernel)))[kernel.removeprefix("xp_")]
