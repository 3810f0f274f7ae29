"""NVRTC, which needs no GPU, compiles the CUDA sources: no warnings, every kernel, vector accesses, no stray double."""

import re
from importlib.resources import files

import pytest

from xpgraph.fast.cuda.sources import FILES, NAMES, PRELUDE, file_of, parameters, text

REALS = {"float32": "float", "float64": "double"}
CUPY_OPTIONS = ("--device-as-default-execution-space", "-ftz=true")  # cupy.RawModule adds them


@pytest.fixture(scope="module")
def nvrtc():
    module = pytest.importorskip("cupy", reason="CuPy is not installed").cuda.nvrtc
    try:
        module.getVersion()
    except Exception as e:  # CuPy's loader has an exception of its own
        pytest.skip(f"NVRTC is not installed ({type(e).__name__})")
    return module


def compiled(nvrtc, file, dtype, arch):
    """The compiled program; fails with the compiler's log."""
    program = nvrtc.createProgram(text(file), file, [], [])
    try:
        nvrtc.compileProgram(program, ["-std=c++17", f"-DREAL={REALS[dtype]}", *CUPY_OPTIONS, f"-arch={arch}"])
    except nvrtc.NVRTCError:
        pytest.fail(f"{file}, {dtype}, {arch}:\n{nvrtc.getProgramLog(program)}")
    log = nvrtc.getProgramLog(program).strip("\0\n ")
    assert not log, f"{file}, {dtype}, {arch}:\n{log}"
    return program


@pytest.mark.parametrize("arch", ["sm_80", "sm_90", "sm_100"])
@pytest.mark.parametrize("dtype", REALS)
@pytest.mark.parametrize("file", FILES)
def test_a_source_compiles(nvrtc, file, dtype, arch):
    cubin = nvrtc.getCUBIN(compiled(nvrtc, file, dtype, arch))
    assert cubin[:4] == b"\x7fELF"
    for name in NAMES[file]:
        assert f".text.xp_{name}\0".encode() in cubin


@pytest.mark.parametrize("file", FILES)
def test_float32_computes_nothing_in_float64(nvrtc, file):
    """One literal without REAL() would be a double: 1/64 of the speed on most GPUs."""
    ptx = nvrtc.getPTX(compiled(nvrtc, file, "float32", "compute_90")).decode()
    assert ".visible .entry xp_" in ptx
    assert re.findall(r"\S+\.f64.*", ptx) == []
    assert ".local" not in ptx  # no array in slow memory


@pytest.mark.parametrize(("dtype", "width"), [("float32", 4), ("float64", 2)])
def test_an_update_moves_16_bytes_at_a_time(nvrtc, dtype, width):
    ptx = nvrtc.getPTX(compiled(nvrtc, "update.cu", dtype, "compute_90")).decode()
    arrays = {"sgd": (2, 1), "momentum": (3, 2), "adagrad": (3, 2), "rmsprop": (3, 2), "adam": (4, 3)}
    for name, (loads, stores) in arrays.items():
        body = ptx.partition(f".visible .entry xp_{name}(")[2].partition(".visible .entry")[0]
        found = [len(re.findall(rf"\b{word}\S*\.v{width}\.", body)) for word in ("ld", "st")]
        assert found == [loads, stores], name


def test_names_and_parameters_are_read_from_the_sources():
    assert NAMES["update.cu"] == ("sgd", "momentum", "adagrad", "rmsprop", "adam")
    assert file_of("relu") == file_of("xp_relu") == "elementwise.cu"
    assert parameters("xp_relu") == parameters("relu") == ("const REAL*", "REAL*", "long long")
    assert parameters("clip_rate") == ("const Piece*", "REAL*", "unsigned*", "REAL", "REAL*", "REAL*")
    names = [name for kernels in NAMES.values() for name in kernels]
    assert len(names) == len(set(names)) == 16 and all(NAMES.values())
    with pytest.raises(KeyError, match="nothing"):
        file_of("nothing")


def test_the_sources_need_no_header():
    assert PRELUDE not in FILES
    for file in FILES:
        assert "#include" not in text(file) and len(max(text(file).splitlines(), key=len)) <= 120


def test_the_sources_are_part_of_the_package():
    resources = files("xpgraph.fast.cuda")
    assert all((resources / file).is_file() for file in (*FILES, PRELUDE))
