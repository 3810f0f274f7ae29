"""What tests of data sets share."""

import pytest


@pytest.fixture
def write(tmp_path):
    """Write a file and return its path."""

    def write(text, name="mine.csv"):
        (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
        return tmp_path / name

    return write
