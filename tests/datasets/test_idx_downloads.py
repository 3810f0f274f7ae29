"""Downloads, from a server on this machine: what is kept, what is refused, and what is left behind."""

import gzip
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from idxfiles import check, replace_all

from xpgraph import datasets
from xpgraph.datasets import idx
from xpgraph.errors import DataError


class Place:
    """A server on localhost: ``files`` maps a path to bytes, ``asked`` lists what was asked for."""

    def __init__(self):
        self.files, self.asked, place = {}, [], self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                place.asked.append(self.path)
                body = place.files.get(self.path)
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"") + (1000 if "/cut/" in self.path else 0)))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def offer(self, base, files, packed=True):
        for stem, raw in files.items():
            self.files[f"{base}{stem}.gz"] = gzip.compress(raw) if packed else raw

    def stop(self):
        if self.thread.is_alive():
            self.server.shutdown()
            self.thread.join()
            self.server.server_close()


@pytest.fixture
def small(monkeypatch):
    return replace_all(monkeypatch)


@pytest.fixture
def place(monkeypatch, tmp_path, small):
    """A server that is both mirrors of mnist, /a/ and /b/, with nothing on it yet, and an empty cache."""
    server = Place()
    monkeypatch.setattr(idx, "MIRRORS", {"mnist": (server.url + "/a/", server.url + "/b/"), "fashion-mnist": ()})
    monkeypatch.setenv("XPGRAPH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("XPGRAPH_DATA_URL", raising=False)
    yield server
    server.stop()


def left(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_download_is_kept_and_the_cache_needs_no_server(place, small, tmp_path, capfd, caplog):
    place.offer("/a/", small["mnist"])
    check(datasets.load("mnist"), small["mnist"])
    assert left(tmp_path / "cache") == sorted(f"mnist/{stem}.gz" for stem in small["mnist"])
    assert len(place.asked) == 4
    place.stop()
    check(datasets.load("mnist"), small["mnist"])
    assert capfd.readouterr() == ("", "") and not caplog.records


def test_rows_to_predict_download_the_test_part_only(place, small, tmp_path):
    place.offer("/a/", small["mnist"])
    datasets.load_rows("mnist")
    assert left(tmp_path / "cache") == ["mnist/t10k-images-idx3-ubyte.gz", "mnist/t10k-labels-idx1-ubyte.gz"]


def wrong(files):
    return {stem: raw[:-1] + bytes([raw[-1] ^ 1]) for stem, raw in files.items()}


@pytest.mark.parametrize("first", ["absent", "down", "wrong", "cut", "html"])
def test_the_second_mirror_serves_when_the_first_does_not(place, small, tmp_path, monkeypatch, first):
    place.offer("/b/", small["mnist"])
    mirror = place.url + "/a/"
    if first == "down":
        gone = Place()
        gone.stop()
        mirror = gone.url + "/a/"
    elif first == "wrong":
        place.offer("/a/", wrong(small["mnist"]))
    elif first == "cut":  # the server announces more than it sends
        mirror = place.url + "/cut/"
        place.offer("/cut/", small["mnist"])
    elif first == "html":
        place.offer("/a/", dict.fromkeys(small["mnist"], b"<html>sign in</html>"), packed=False)
    monkeypatch.setitem(idx.MIRRORS, "mnist", (mirror, place.url + "/b/"))
    check(datasets.load("mnist"), small["mnist"])
    assert left(tmp_path / "cache") == sorted(f"mnist/{stem}.gz" for stem in small["mnist"])


def test_a_failure_names_every_place_with_its_reason_and_leaves_nothing(place, small, tmp_path, monkeypatch):
    gone = Place()
    gone.stop()
    monkeypatch.setenv("XPGRAPH_DATA_URL", gone.url)
    place.offer("/b/", wrong(small["mnist"]))
    with pytest.raises(DataError) as caught:
        datasets.load("mnist")
    first, own, a, b, advice = str(caught.value).splitlines()
    file = "train-images-idx3-ubyte.gz"
    assert file in first and f"{gone.url}/mnist/{file}: " in own and "onnection" in own
    assert f"{place.url}/a/{file}: 404" in a and f"{place.url}/b/{file}: " in b and "SHA-256" in b
    assert "XPGRAPH_DATA_URL" in advice and "data_dir" in advice
    assert left(tmp_path / "cache") == [] and list((tmp_path / "cache" / "mnist").iterdir()) == []


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_user_s_place_is_tried_first(place, small, monkeypatch, name, slash):
    place.offer("/a/", small["mnist"])
    place.offer(f"/own/{name}/", small[name], packed=False)  # a place may hold raw files under the .gz name
    monkeypatch.setenv("XPGRAPH_DATA_URL", f"{place.url}/own{slash}")
    check(datasets.load(name), small[name])
    assert all(path.startswith(f"/own/{name}/") for path in place.asked)


@pytest.mark.parametrize("url", ["not a url", "file:///etc", "http://[::1"])
def test_a_useless_place_is_a_reason_not_a_crash(place, small, monkeypatch, url):
    monkeypatch.setenv("XPGRAPH_DATA_URL", url)
    with pytest.raises(DataError, match="no URL gave it"):
        datasets.load("mnist")


def test_an_altered_cache_is_fetched_again(place, small, tmp_path):
    place.offer("/a/", small["mnist"])
    datasets.load("mnist")
    cached = tmp_path / "cache" / "mnist" / "t10k-labels-idx1-ubyte.gz"
    good = cached.read_bytes()
    cached.write_bytes(good[:-3])
    check(datasets.load("mnist"), small["mnist"])
    assert len(place.asked) == 5 and gzip.decompress(cached.read_bytes()) == gzip.decompress(good)


def test_a_break_in_a_download_leaves_no_file(place, small, tmp_path, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    place.offer("/a/", small["mnist"])
    monkeypatch.setattr(idx, "_checked", stop)  # the file has come, and is not yet in place
    with pytest.raises(KeyboardInterrupt):
        datasets.load("mnist")
    assert list((tmp_path / "cache" / "mnist").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(place, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XPGRAPH_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"Saving mnist's train-images.*Set XPGRAPH_CACHE"):
        datasets.load("mnist")


def test_the_real_places_are_https_and_there_are_two_of_each():
    for name, places in idx.MIRRORS.items():
        assert len(places) >= 2 and all(url.startswith("https://") and url.endswith("/") for url in places)
        assert len(idx.SHA256[name]) == 4 and all(len(digest) == 64 for digest in idx.SHA256[name].values())


def test_reading_data_on_disk_imports_no_downloader():
    code = "import sys, xpgraph.datasets as d; d.load('digits'); sys.exit('pooch' in sys.modules)"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode == 0
