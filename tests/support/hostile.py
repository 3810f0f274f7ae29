"""Files that lie, swell or run code when they are believed, by name; and a process that reads them under a meter.

python hostile.py FOLDER        one JSON line for each file in FOLDER: what was raised, in what time and memory
"""

import bz2
import gzip
import hashlib
import io
import json
import os
import pickle
import struct
import zipfile

STEM = "train-images-idx3-ubyte"  # what idx.read is asked for
GIB = 1 << 30


class Evil:
    """What runs when it is unpickled."""

    def __reduce__(self):
        return os._exit, (66,)


# --- checkpoints ---


def sealed(header, body=b"", own=None, length=None):
    """A checkpoint whose header has the right sha256 and says what it likes."""
    digests = dict.fromkeys([] if isinstance(header, str) else header, hashlib.sha256(body).hexdigest())
    own = {"format": 1, "sha256": digests, "meta": {"step": 1, "state": {}}} if own is None else own
    words = own if isinstance(own, str) else json.dumps(own)
    rest = header if isinstance(header, str) else json.dumps(header)[1:-1]
    text = f'{{"__metadata__":{{"sha256":"{"0" * 64}","xpgraph":{json.dumps(words)}}}{"," if rest else ""}{rest}}}'
    head = (len(text) if length is None else length).to_bytes(8, "little") + text.encode()
    return head.replace(b"0" * 64, hashlib.sha256(head).hexdigest().encode(), 1) + body


def row(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def checkpoints():
    eight = bytes(8)
    yield "16 bytes that claim 2**63 of header", (1 << 63).to_bytes(8, "little") + b'{"a": 1}'
    yield "a header of 4 GiB in 100 bytes", (1 << 32).to_bytes(8, "little") + bytes(92)
    yield "a header longer than the file by one", sealed({}, length=10_000)
    yield "an array of 2**62 bytes", sealed({"a": row("U8", [1 << 61], [0, 1 << 61])}, eight)
    yield "an array of 2**64 items in no bytes", sealed({"a": row("F32", [1 << 32, 1 << 32], [0, 0])})
    yield "an axis of 2**61 and one of 0", sealed({"a": row("F32", [1 << 61, 1 << 61, 0], [0, 0])})
    yield "an array of a hundred axes", sealed({"a": row("U8", [1] * 100, [0, 1])}, b"1")
    yield "a negative shape", sealed({"a": row("F32", [-2], [8, 0])}, eight)
    yield "a shape of true", sealed({"a": row("F32", [True, 2])}, eight)
    yield "a shape of 2.0", sealed({"a": row("F32", [2.0])}, eight)
    yield "a shape of 1e999", sealed('"a":{"dtype":"F32","shape":[1e999],"data_offsets":[0,8]}', eight)
    yield "offsets that overlap", sealed({"a": row(), "b": row()}, eight)
    yield "offsets with a gap", sealed({"a": row(), "b": row(offsets=[16, 24])}, bytes(24))
    yield "offsets from behind", sealed({"a": row(offsets=[8, 0])}, eight)
    yield "something behind the arrays", sealed({"a": row()}, eight + b"!")
    yield "a dtype of another world", sealed({"a": row("BF16", [4])}, eight)
    once = '"a":' + json.dumps(row())
    sums = {"a": hashlib.sha256(eight).hexdigest()}
    yield "a name that stands twice", sealed(f"{once},{once}", eight, own={"format": 1, "sha256": sums, "meta": 0})
    yield "a sum without an array", sealed({}, own={"format": 1, "sha256": sums, "meta": {"step": 1, "state": {}}})
    yield "an array without a sum", sealed({"a": row()}, eight, own={"format": 1, "sha256": {}, "meta": 0})
    yield "a header a hundred thousand deep", sealed('"a":' + "[" * 100_000 + "]" * 100_000)
    yield "a description a hundred thousand deep", sealed({}, own="[" * 100_000)
    yield "two million empty lists", sealed('"a":[' + "[]," * 2_000_000 + "0]")
    yield "a million empty dicts in the description", sealed({}, own='{"format":1,"meta":[' + "{}," * 1_000_000 + "0]}")
    yield "a number of a million digits", sealed('"a":' + "9" * 1_000_000)
    yield "a format of text", sealed({}, own={"format": "1", "sha256": {}, "meta": {}})
    yield "nine MiB of blanks", sealed('"a":1' + " " * (9 << 20))
    yield "a pickle", pickle.dumps(Evil())
    words = json.dumps({"w": row()}).encode()
    yield "the weights of another library", struct.pack("<Q", len(words)) + words + eight


# --- IDX ---


def idx_header(*shape, code=8):
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape)


def idxs():
    most = 2**32 - 1
    yield "16 bytes that claim 2**32 items", idx_header(2, 2**16, 2**15)
    yield "32 axes of 2**32 - 1", idx_header(*[most] * 32, code=0x0E)
    yield "a truncated one", idx_header(2, 28, 28) + bytes(2 * 784 - 1)
    yield "one too long", idx_header(2, 28, 28) + bytes(2 * 784 + 1)
    yield "a type that is none", idx_header(2, 2, 2, code=0x0A) + bytes(8)
    yield "no axes", idx_header() + bytes(16)
    yield "an empty one", b""
    yield "a picture", b"\x89PNG\r\n\x1a\n" + bytes(100)
    zeros = gzip.compress(bytes(1 << 24))
    yield "a gzip bomb of 2 GiB with an honest header", gzip.compress(idx_header(60000, 28, 28)) + zeros * 128
    yield "a gzip bomb of 2 GiB that claims it", gzip.compress(idx_header(1 << 15, 1 << 8, 1 << 8)) + zeros * 128
    yield "a truncated gzip", gzip.compress(idx_header(2, 28, 28) + os.urandom(2 * 784))[:-100]
    yield "gzip in gzip", gzip.compress(gzip.compress(idx_header(2, 28, 28) + bytes(2 * 784)))
    yield "another file of the right form", idx_header(2, 28, 28) + bytes(2 * 784)


# --- npz ---


def npy(shape, descr="<f4", body=b"", fortran=False, version=1, header=None, length=None):
    text = header or repr({"descr": descr, "fortran_order": fortran, "shape": shape}) + "\n"
    size = len(text) if length is None else length
    return b"\x93NUMPY" + bytes([version, 0]) + size.to_bytes(2 if version == 1 else 4, "little") + text.encode() + body


GOOD = {"x.npy": npy((4, 2), body=bytes(32)), "t.npy": npy((4,), "<i8", body=bytes(32))}


def archive(members, pack=zipfile.ZIP_STORED):
    """A zip of {name or (name, compression): bytes}."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", pack) as made:
        for name, raw in members if isinstance(members, list) else members.items():
            made.writestr(zipfile.ZipInfo(name), raw, pack, 1)
    return out.getvalue()


def bomb(n, head=b""):
    """A zip in which x.npy is ``head`` and n MiB of zeros, a thousandth as long."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
        with made.open("x.npy", "w", force_zip64=True) as member:
            member.write(head)
            for _ in range(n):
                member.write(bytes(1 << 20))
        made.writestr("t.npy", GOOD["t.npy"])
    return out.getvalue()


def altered(raw, name, at, fmt, value):
    """A field of a member's entry in the zip's list of members."""
    raw, place = bytearray(raw), raw.rindex(b"PK\1\2", 0, raw.rindex(name.encode()))
    struct.pack_into(fmt, raw, place + at, value)
    return bytes(raw)


def npzs():
    good = archive(GOOD)
    pickled = npy((1,), "|O", pickle.dumps([Evil()]))
    yield "Python objects", archive({**GOOD, "x.npy": pickled})
    yield "objects inside a structure", archive({**GOOD, "x.npy": npy((1,), [("a", "|O")], pickle.dumps([Evil()]))})
    yield "a pickle as a member", archive({**GOOD, "x.npy": pickle.dumps(Evil())})
    yield "a pickle", pickle.dumps(Evil())
    yield "a shape of 2**40", archive({**GOOD, "x.npy": npy((1 << 20, 1 << 20), body=bytes(32))})
    yield "a shape of 2**63", archive({**GOOD, "x.npy": npy((1 << 62, 2), body=bytes(32))})
    yield "a negative shape", archive({**GOOD, "x.npy": npy((-4, -2), body=bytes(32))})
    yield "text of 2**31 letters", archive({**GOOD, "x.npy": npy((4, 2), "<U536870911", bytes(32))})
    yield "a structure", archive({**GOOD, "x.npy": npy((4,), [("a", "<f4"), ("b", "<f4")], bytes(32))})
    yield "a header of 64 KiB", archive({**GOOD, "x.npy": npy((4, 2), header="(" * 65_000)})
    yield "a header of code", archive({**GOOD, "x.npy": npy((4, 2), header="__import__('os')._exit(66)\n")})
    yield "a header nested nine thousand deep", archive({**GOOD, "x.npy": npy((4, 2), header="(" * 9_000)})
    yield "a header that claims 2 GiB, in a small bomb", bomb(30, npy((), version=2, length=1 << 31, header=" "))
    yield "a header that is 30 MiB, in a small bomb", bomb(30, npy((), version=2, length=30 << 20, header=" "))
    yield "a zip bomb of 100 MiB", bomb(100, npy((100 << 20,), "|u1"))
    yield (
        "a zip bomb of 70 MiB that claims eight bytes",
        altered(bomb(70, npy((8,), "|u1")), "x.npy", 24, "<I", len(npy((8,), "|u1")) + 8),
    )
    yield "a size of 4 GiB in the list of members", altered(good, "x.npy", 24, "<I", (1 << 32) - 2)
    yield "a packed size of 4 GiB", altered(good, "x.npy", 20, "<I", (1 << 32) - 2)
    yield "a member that begins behind the file", altered(good, "x.npy", 42, "<I", 1 << 30)
    yield "an encrypted member", altered(good, "x.npy", 8, "<H", 1)
    yield "a wrong checksum", altered(good, "x.npy", 16, "<I", 12345)
    yield "members packed with bz2", archive(GOOD, zipfile.ZIP_BZIP2)
    yield "members packed with lzma", archive(GOOD, zipfile.ZIP_LZMA)
    yield "a name with ../", archive({**GOOD, "../../evil.npy": b""})
    yield "a name from the root", archive({**GOOD, "/etc/evil.npy": b""})
    yield "a name with a backslash", archive({**GOOD, "..\\evil.npy": b""})
    yield "two members of one name", twice()
    yield "a hundred thousand members", many(good)
    yield "a truncated zip", good[:-30]
    yield "a zip in a zip", archive({"x.npy": good, "t.npy": good})
    yield "a bzip2 file", bz2.compress(good)
    yield "members cut short", archive({**GOOD, "x.npy": GOOD["x.npy"][:-1]})
    yield "members too long", archive({**GOOD, "x.npy": GOOD["x.npy"] + b"!"})


def twice():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return archive([*GOOD.items(), ("x.npy", GOOD["x.npy"])])


def many(good):
    """The list of members says the same member a hundred thousand times."""
    end, start = good.rindex(b"PK\5\6"), good.index(b"PK\1\2")
    entry = good[start : good.index(b"PK\1\2", start + 1)]
    listed = entry * 100_000
    tail = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 65535, 65535, len(listed), start, 0)
    assert end
    return good[:start] + listed + tail


# --- csv ---


def csvs():
    yield "a line of 64 MiB", b"1" * (1 << 26)
    yield "a quote that is never closed", b'1,2,a\n3,4,"' + b"b\n" * (1 << 22)
    yield "four million empty cells", b"," * (1 << 22)
    yield "quotes alone", b'"' * (1 << 22)
    yield "zero bytes", bytes(1 << 24)
    yield "noise", os.urandom(1 << 16)
    yield "UTF-16", "1,2,a\n".encode("utf-16")
    yield "overlong UTF-8", b"1,2,\xc0\xaf\n"
    yield "rows of growing length", b"\n".join(b",".join([b"1"] * n) for n in range(2, 1000))
    yield "a wide row, then narrow ones", b"1," * 200_000 + b"a\n" + b"1\n" * 1_000_000
    yield "a number beyond float64", b"1,a\n1e400,b\n"
    yield "a pickle", pickle.dumps(Evil())
    yield "lines that end in CR", b"1,2,a\r" * 500_000


KINDS = {"checkpoint": checkpoints, "idx": idxs, "npz": npzs, "csv": csvs}


def make(folder):
    """Write every file to FOLDER/kind/number/name; {path: what it is}."""
    made = {}
    for kind, files in KINDS.items():
        for i, (what, raw) in enumerate(files()):
            inside = folder / kind / f"{i:02d}"
            inside.mkdir(parents=True)
            name = {"idx": STEM, "checkpoint": "checkpoint-000001.safetensors"}.get(kind, f"mine.{kind}")
            (inside / name).write_bytes(raw)
            made[str(inside / name)] = f"{kind}: {what}"
    return made
