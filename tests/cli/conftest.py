"""Every test of the command line starts in an empty folder."""

import shutil

import pytest


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a quick run."""
    from commands import QUICK, main

    folder = tmp_path_factory.mktemp("trained") / "a"
    assert main(["train", *QUICK, "--quiet", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def a_run(trained, tmp_path):
    """A copy of it as the folder ``a``."""
    shutil.copytree(trained, tmp_path / "a")
