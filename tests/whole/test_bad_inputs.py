"""Bad inputs: every condition at every entry point, on every library, does what the table in badinputs.py says."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from badinputs import ENTRIES, IEEE, NA, TABLE, Mixed, Refused, Right
from badinputs_made import CONDITIONS
from badinputs_nodes import LAYERS, NODES, Attempt, loss_attempts, node_attempts, optimizer_attempts
from badinputs_page import main, page
from badinputs_runs import Refused as Ended
from badinputs_runs import cli_attempts, run_attempts
from pages import ROOT

from xpgraph.arrays.libraries import is_array
from xpgraph.errors import Error, NonFiniteError
from xpgraph.training.optimizers import OPTIMIZERS

PAGE = ROOT / "docs" / "bad-inputs.md"
SUBJECTS = {
    "nodes": (node_attempts, NODES),
    "layers": (node_attempts, LAYERS),
    "losses": (loss_attempts, ("SoftmaxWithLoss", "cross_entropy_loss")),
    "optimizers": (optimizer_attempts, tuple(kind.__name__ for kind in OPTIMIZERS.values())),
}
BEATS = r"[A-Za-z_.0-9]+: [^;]+; .+\."  # what was being done, what was found; what to do
CELLS = [
    (key, entry) for key, found in TABLE.items() for entry, verdict in found.items() if not isinstance(verdict, NA)
]


def attempts(lib: Any, key: str, entry: str, folder: Path, capsys: Any) -> list[Attempt]:
    """Every way in which an entry point can be given the condition."""
    if entry in SUBJECTS:
        make, names = SUBJECTS[entry]
        return [attempt for name in names for attempt in make(lib, name, key, CONDITIONS[key])]
    if entry in ("fit", "evaluate", "predict"):
        return list(run_attempts(entry, lib, key, CONDITIONS[key]))
    return list(cli_attempts(entry, lib, key, CONDITIONS[key], folder, capsys))


def verdict_of(cell: Any, attempt: Attempt) -> Right | IEEE | Refused:
    if isinstance(cell, Mixed):
        return next(
            (v for k, v in cell.but.items() if attempt.what.startswith(k) or attempt.what.endswith(k)), cell.rest
        )
    return cell


@pytest.mark.parametrize(("key", "entry"), CELLS, ids=[f"{key}/{entry}" for key, entry in CELLS])
def test_a_cell(lib, key, entry, tmp_path, capsys):
    """One cell of the table on one library."""
    if key == "other device" and not CONDITIONS[key].native(lib):
        assert {lib.place.library.device(a) for a in (lib.array([1.0]), lib.param([2]))} == {"cpu"}
        return  # NumPy has no other device
    tried, kinds = attempts(lib, key, entry, tmp_path, capsys), set()
    for attempt in tried:
        verdict = verdict_of(TABLE[key][entry], attempt)
        kinds.add(id(verdict))
        if isinstance(verdict, Refused):
            refuses(lib, verdict, attempt)
        else:
            gives(lib, verdict, attempt)
    cell = TABLE[key][entry]
    expected = {id(v) for v in (cell.rest, *cell.but.values())} if isinstance(cell, Mixed) else {id(cell)}
    assert kinds == expected, "a verdict that no attempt is held to"


def refuses(lib: Any, verdict: Refused, attempt: Attempt) -> None:
    on_host = lib.place.library.on_host(lib.array([1.0]))
    if verdict.on_gpu and not on_host:
        with np.errstate(all="ignore"):
            assert np.isnan(lib.numpy(attempt.call()[0])).all(), attempt.what
        return
    before = attempt.unchanged()
    if isinstance(verdict.error, int):
        with pytest.raises(Ended) as ended:
            attempt.call()
        code, said = ended.value.code, ended.value.said
        assert code == verdict.error and len(said) == 1 and re.search(verdict.words, said[0]), (attempt.what, said)
    else:
        with np.errstate(all="ignore"), pytest.raises(verdict.error) as caught:
            attempt.call()
        words = str(caught.value)
        assert isinstance(caught.value, Error) or type(caught.value) is ValueError, attempt.what
        assert re.search(verdict.words, words) and re.fullmatch(BEATS, words, re.DOTALL), (attempt.what, words)
    if verdict.error is not NonFiniteError:
        assert attempt.unchanged() == before, attempt.what


def gives(lib: Any, verdict: Right | IEEE, attempt: Attempt) -> None:
    """The attempt's results are the truth, within its bars; NaN is NaN and ∞ is ∞."""
    with np.errstate(all="ignore") if isinstance(verdict, IEEE) else nullcontext():
        results = [
            lib.numpy(a) if is_array(a) and not isinstance(a, np.ndarray) else np.asarray(a) for a in attempt.call()
        ]
    assert attempt.truth is not None, f"{attempt.what}: it should have been refused"
    truth, allowed = attempt.truth()
    assert [r.shape for r in results] == [np.shape(t) for t in truth], attempt.what
    for result, t, bar in zip(results, truth, allowed, strict=True):
        r, t = result.astype(np.float64), np.asarray(t, np.float64)
        with np.errstate(all="ignore"):
            least = 1e-6 * np.abs(t)  # where the bar itself is not finite
            near = np.abs(r - t) <= np.where(np.isfinite(bar), bar, least)
        fine = (r == t) | (np.isnan(r) & np.isnan(t)) | (np.isfinite(t) & near)
        assert fine.all(), (attempt.what, r[~fine][:3], t[~fine][:3])
        assert isinstance(verdict, IEEE) or np.isfinite(t).all(), f"{attempt.what}: not finite is not right"


def test_every_cell_is_declared_and_says_why_if_it_is_not_tried():
    assert list(TABLE) == list(CONDITIONS)
    for key, found in TABLE.items():
        assert list(found) == list(ENTRIES), key
        for entry, verdict in found.items():
            assert isinstance(verdict, Right | IEEE | Refused | NA | Mixed), (key, entry)
            if isinstance(verdict, NA):
                assert len(verdict.why.split()) >= 3, (key, entry)
    assert len(CELLS) >= 0.7 * len(TABLE) * len(ENTRIES)


def test_every_error_says_words_that_could_be_missing():
    for found in TABLE.values():
        for verdict in found.values():
            for each in (verdict.rest, *verdict.but.values()) if isinstance(verdict, Mixed) else (verdict,):
                assert not isinstance(each, Refused) or len(each.words) >= 8


def test_the_page_says_what_the_table_says(tmp_path):
    assert PAGE.read_text("utf-8") == page(), "write it anew: python tests/support/badinputs_page.py docs/bad-inputs.md"
    copy = tmp_path / "page.md"
    assert main([str(copy)]) == 0 and main([str(copy), "--check"]) == 0
    copy.write_text(page().replace("right", "wrong", 1), "utf-8")
    assert main([str(copy), "--check"]) == 1
