"""Faults planted in the CUDA path are found by the suite's checks; the experiment with 60 is ci/faults --cuda."""

from __future__ import annotations

import importlib

import pytest
from cuda_rig import why_not

if why_not():
    pytest.skip(f"no CUDA rig: {why_not()}", allow_module_level=True)

import cuda_faults
from cuda_faults import ROOT, Fault, draw, faults, planted_sources, reached, trials
from cuda_mutations import KINDS, NO_FAULT, Change

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
    "a read of the loss": ("steps.py", "        self.trainer.steps += 1\n",
                           "        self.trainer.steps += 1\n        float(self.model.params[0].sum())\n"),
    "a look at each step": ("run.py", "        self.samples += rows\n",
                            "        self.samples += rows\n        self._from_device([p for p, _ in self.pending])\n"),
    "an upload while capturing": ("fast/cuda/capture.py", "        step = steps.gradients(bx, bt)\n",
                                  "        step = steps.gradients(bx, bt)\n"
                                  "        device.upload(self.order, steps.permutation)\n"),
}  # fmt: skip


def hand_picked(name: str) -> Fault:
    file, old, new = FEW[name]
    text = (ROOT / file).read_text("utf-8")
    assert text.count(old) == 1, f"{name}: the source has changed: plant the fault anew"
    line = text.count("\n", 0, text.index(old)) + 1
    kind = "sync" if file in ("steps.py", "run.py") or "upload" in name else "missing"
    near = min((f.change for f in faults() if f.file == file), key=lambda c: abs(c.line - line))
    return Fault(file, Change(near.function, line, kind, old, new, text.replace(old, new)))


def test_each_fault_is_found_and_nothing_where_none_is():
    sound, *done = trials([None, *map(hand_picked, FEW)])
    assert sound.found is None, sound.found
    assert [name for name, t in zip(FEW, done, strict=True) if t.found is None] == []


def test_the_draw_is_the_same_each_time_and_has_no_fault_twice():
    first = draw(30, seed=3)
    assert first == draw(30, seed=3)
    assert len(set(first)) == 30
    assert first != draw(30, seed=4)


def test_every_kind_occurs_and_every_change_changes_something():
    assert {f.change.kind for f in faults()} == set(KINDS)
    assert len({f.file for f in faults()}) == 11
    for fault in faults():
        assert fault.change.text != (ROOT / fault.file).read_text("utf-8")


def test_every_kernel_has_faults_of_its_own():
    changed = {f.change.function for f in faults()}
    kernels = {f"xp_{name}" for file in sources.FILES for name in sources.NAMES[file]}
    assert kernels <= changed


def test_what_is_no_fault_says_why_and_is_still_there(monkeypatch):
    """Each line of the list leaves something out; a kernel that changes must not leave a dead one behind."""
    kept = len(cuda_faults.cuda_changes_of_all())
    for entry in NO_FAULT:
        monkeypatch.setattr("cuda_mutations.NO_FAULT", tuple(e for e in NO_FAULT if e is not entry))
        assert entry[3] and len(cuda_faults.cuda_changes_of_all()) > kept, entry


def test_a_fault_reaches_the_kernels_that_run_it():
    fault = next(f for f in faults() if f.change.function == "last_block")
    assert reached(fault) == {"clip_rate", "softmax_cross_entropy"}
    texts = planted_sources(fault)
    assert [file for file in sources.FILES if texts[file] != sources.text(file)] == ["loss.cu", "reduce.cu"]
    step = next(f for f in faults() if f.change.function == "Adam.step")
    assert reached(step) == {"adam"}


@pytest.mark.parametrize(("missing", "words"), [("cuda_rig", "cupy does not import"), ("cuda_emulator", "g++")])
def test_a_missing_tool_is_said(monkeypatch, capsys, missing, words):
    monkeypatch.setattr(importlib.import_module(missing), "why_not", lambda: f"{words}, which is missing")
    assert cuda_faults.main([]) == 2
    assert words in capsys.readouterr().err
