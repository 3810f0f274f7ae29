"""The changes of ``mutation_trials`` that nobody could see, each with its reason; and why none of them is a fault."""

from __future__ import annotations

# module.function, the line before and after it (patterns), the reason
THE_SAME: tuple[tuple[str, str, str, str], ...] = (
    ("tensorfile._Reader._places", r"item\[1\]\[:2\]", r"\[:3\]", "arrays of one place are empty: any order will do"),
    ("tensorfile._Reader.read", r"copy=False", r"copy=True", "a copy has the same values"),
    ("tensorfile.read", r"buffering=0", r"buffering=\(-1\)", "a buffer of the reader's own changes no byte"),
    ("tensorfile._Reader._places", r"self\.size < at else", r"<= at", "equal sizes were let pass before"),
    ("tensorfile._Reader._exactly", r"len\(found\) < n", r"len\(found\) <= n", "a read of no bytes ends it as well"),
    (
        "tensorfile._flat",
        r"reshape\(-1\)",
        r"reshape\(\(-2\)\)",
        "to NumPy, any negative length is the one it finds",
    ),
    ("tensorfile._counts", r"least: int = 0", r"least: int = \(-1\)", "no list is shorter than 0"),
    ("storage.<module>", r"PIECE = 1 << 20", r"PIECE = ", "pieces of any size make the same file"),
    ("storage.write_whole", r"O_BINARY", r"O_BINARY., [1(]", "it is there on Windows alone"),
    ("storage.FolderLock.__init__", r"O_CLOEXEC", r"O_CLOEXEC., [1(]", "it is missing on Windows alone"),
    ("storage.FolderLock.__init__", r"ftruncate\(file, 0", r"file, [1(]", "the first byte is written over"),
    ("keeping.Keeper._check", r"'iteration'|\"iteration\"", r"< set\(more\)", "every fit writes more than these"),
)
