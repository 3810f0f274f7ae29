"""The parts of a safetensors file, read without xpgraph."""

from __future__ import annotations

import json
import struct


def header_of(data):
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]
