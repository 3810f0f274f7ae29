"""The parts of a safetensors file, read and written without xpgraph."""

import hashlib
import json
import struct


def header_of(data):
    """(header, bytes of the arrays)"""
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def with_header(header, arrays=b""):
    """A file with this header, which has no hashes."""
    words = json.dumps(header).encode()
    return struct.pack("<Q", len(words)) + words + arrays


def with_meta(data, change, hashed=True):
    """A file of xpgraph whose ``meta`` was changed, with right hashes, or as the safetensors library would write it."""
    header, arrays = header_of(data)
    own = json.loads(header["__metadata__"]["xpgraph"])
    change(own["meta"])
    if not hashed:
        return with_header({**header, "__metadata__": {"xpgraph": json.dumps(own["meta"])}}, arrays)
    header["__metadata__"] = {"sha256": "0" * 64, "xpgraph": json.dumps(own)}
    words = json.dumps(header, separators=(",", ":")).encode()
    head = struct.pack("<Q", len(words)) + words
    return head.replace(b"0" * 64, hashlib.sha256(head).hexdigest().encode(), 1) + arrays
