"""Mutants of the CUDA path are killed by the suite's checks; the experiment with 60 is ci/faults --cuda."""

from __future__ import annotations

import importlib

import pytest
from cuda_rig import why_not

if why_not():
    pytest.skip(f"no CUDA rig: {why_not()}", allow_module_level=True)

from mutation import cuda
from mutation.__main__ import main
from mutation.changes import Mutant, mutant, read
from mutation.cuda import device_mutants, drawn, judge, mutants, planted_sources, reached
from mutation.equivalents import CUDA
from mutation.trials import tried
from xpgraph.fast.cuda import sources

FEW = {  # a file, what stands there, what stands there instead; what must see it
    "a removed line": ("fast/cuda/loss.cu", "if (t[j] != 0) loss += t[j] * row.surprise(j);", ""),
    "a removed barrier": ("fast/cuda/reduce.cu", "    __syncthreads();\n    if (lane", "    if (lane"),
    "the fence before": ("fast/cuda/prelude.cu", "    __threadfence();  // what", "    ;  // what"),
    "the fence after": ("fast/cuda/prelude.cu", "    __threadfence();  // nothing", "    ;  // nothing"),
    "blocks that are not the last": ("fast/cuda/reduce.cu", "(!last_block(ticket)) return", "(!last_block(ticket))"),
    "a missing bound": ("fast/cuda/loss.cu", "    if (i < rows) {", "    if (true) {"),
    "a read too far": ("fast/cuda/reduce.cu", "    if (column < columns)", "    if (column <= columns)"),
    "shared memory": ("fast/cuda/prelude.cu", "REAL parts[32]", "REAL parts[16]"),
    "alignment": ("fast/cuda/update.cu", "odd |= bits(piece.a)", "odd |= 0"),
    "a wrong operator": ("fast/cuda/update.cu", "v = mu * v - lr * g", "v = mu * v + lr * g"),
    "a loop without end": ("fast/cuda/prelude.cu", "mask > 0; mask /= 2) value", "mask >= 0; mask /= 2) value"),
    "a wrong grid": ("fast/cupy.py", "-(-rows // 4), 128", "rows // 4, 128"),
    "a wrong block": ("fast/cuda/capture.py", "count, 128, args", "count, 64, args"),
    "no largest grid": ("fast/cupy.py", "min(-(-n // 256), 8192)", "-(-n // 256)"),
    "rows for columns": ("fast/cupy.py", "total.data.ptr, *dz.shape)", "total.data.ptr, *dz.shape[::-1])"),
    "swapped addresses": ("fast/cupy.py", "rate.data.ptr, norm.data.ptr", "norm.data.ptr, rate.data.ptr"),
    "swapped in a fallback": ("fast/cupy.py", "generic(losses.softmax_cross_entropy, x, t)",
                              "generic(losses.softmax_cross_entropy, t, x)"),
    "a read of a parameter": ("training/steps.py", "        state.steps += 1\n",
                              "        state.steps += 1\n        float(self.model.params[0].sum())\n"),
    "a look at each step": ("training/steps.py", "        state.batch += 1\n",
                            "        state.batch += 1\n        state.losses.values()\n"),
    "an upload while capturing": ("fast/cuda/capture.py", "        step = steps.gradients(bx, bt)\n",
                                  "        step = steps.gradients(bx, bt)\n"
                                  "        device.upload(self.order, steps.batches.permutation)\n"),
}  # fmt: skip


def hand_picked(name: str) -> Mutant:
    file, old, new = FEW[name]
    assert read(file).count(old) == 1, f"{name}: the source has changed: choose the mutant anew"
    start = read(file).index(old)
    operator = "sync" if file.startswith("training/") or "upload" in name else "missing"
    m = mutant(file, "", operator, (start, start + len(old)), new)
    return m._replace(
        function=min((m for m in mutants() if m.file == file), key=lambda n: abs(n.line - m.line)).function
    )


@pytest.mark.slow("mutants")
def test_each_mutant_is_killed_and_nothing_is_found_in_the_source_as_it_is():
    importlib.import_module("mutation.cuda_checks")  # once, for all processes
    sound, *done = tried(judge, [None, *map(hand_picked, FEW)], jobs=2, limit=600)
    assert sound.finding is None
    assert [name for name, t in zip(FEW, done, strict=True) if t.finding is None] == []


def test_the_draw_is_the_same_each_time_and_has_no_mutant_twice():
    assert drawn(30, seed=3) == drawn(30, seed=3) != drawn(30, seed=4)
    assert len(set(drawn(30, seed=3))) == 30


def test_every_operator_occurs_and_every_mutant_differs():
    assert {m.operator for m in mutants()} == {"missing", "geometry", "swap", "sync", "bound", "operator"}
    assert {m.file for m in mutants()} == {*cuda.HOST, *cuda.DEVICE}
    for m in mutants():
        assert m.text != read(m.file)


def test_every_kernel_has_mutants_of_its_own():
    kernels = {f"xp_{name}" for file in sources.FILES for name in sources.NAMES[file]}
    assert kernels <= {m.function for m in mutants()}


def test_what_is_declared_is_still_there_and_says_why(monkeypatch):
    """Each row leaves something out; a kernel that changes must not leave a dead one behind."""
    kept = len(device_mutants())
    for row in CUDA:
        monkeypatch.setattr(cuda, "CUDA", tuple(r for r in CUDA if r is not row))
        assert row[-1] and len(device_mutants()) > kept, row


def test_a_mutant_reaches_the_kernels_that_run_it():
    m = next(m for m in mutants() if m.function == "last_block")
    assert reached(m) == {"clip_rate", "softmax_cross_entropy"}
    texts = planted_sources(m)
    assert [file for file in sources.FILES if texts[file] != sources.text(file)] == ["loss.cu", "reduce.cu"]
    assert reached(next(m for m in mutants() if m.function == "Adam.step")) == {"adam"}


@pytest.mark.parametrize(("missing", "words"), [("cuda_rig", "cupy does not import"), ("cuda_emulator", "g++")])
def test_a_missing_tool_is_said(monkeypatch, capsys, missing, words):
    monkeypatch.setattr(importlib.import_module(missing), "why_not", lambda: f"{words}, which is missing")
    assert main(["cuda"]) == 2
    assert words in capsys.readouterr().err
