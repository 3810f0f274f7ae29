"""Tests of the mutation engine, a package in tests/: processes that they start find it there too."""

from __future__ import annotations

import sys

from mutation.__main__ import PATHS

sys.path += [path for path in PATHS if path not in sys.path]
