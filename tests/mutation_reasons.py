"""The changes of ``mutation_trials`` that nobody could see, each with its reason; and why none of them is a fault."""

from __future__ import annotations

# module.function, the line before and after it (patterns), the reason
THE_SAME: tuple[tuple[str, str, str, str], ...] = (
    (".*", r"reshape\(-1", r"reshape\(\(-2\)", "to NumPy, any negative length is the one it finds"),
    ("layers.sigmoid", r"x >= 0, xp", r"x > 0", "at 0 the other branch is 1 too"),
    ("layers.relu", r"x <= 0, xp", r"x < 0", "0 is 0, whichever branch gives it"),
    (
        "nodes.widened",
        r"itemsize', 4|\"itemsize\", 4",
        r", 5\)|< 3 ",
        "a float has 2, 4 or 8 bytes; without the word it is wide",
    ),
    ("nodes.MatMul.(W|forward)", r"params\[0\]", r"params\[\(-1\)\]", "it is the only one"),
    ("nodes.(Add|Multiply).backward", r"joint\(x, y\)", r"joint\(y, x\)", "the shape of both together"),
    ("losses.cross_entropy", r"y < tiny", r"y <= tiny", "there, y is tiny"),
    ("losses._pick", r"\[\.\.\., 0\]", r"\[\.\.\., \(-1\)\]", "the axis has one place"),
    (
        "losses.cross_entropy_loss",
        r"and math.isnan",
        r" or math.isnan",
        "a look more often finds no more; it takes time",
    ),
    ("losses.check_chances", r"<= 1e-3", r"< 0\.001", "no float is as far from 1"),
    ("losses.as_labels", r"together\(t, x\)", r"together\(x, t\)", "whether two are in one place"),
    ("tensorfile._Reader._places", r"item\[1\]\[:2\]", r"\[:3\]", "arrays of one place are empty: any order will do"),
    ("tensorfile._Reader.read", r"copy=False", r"copy=True", "a copy has the same values"),
    ("tensorfile.read", r"buffering=0", r"buffering=\(-1\)", "a buffer of the reader's own changes no byte"),
    ("tensorfile._Reader._places", r"self\.size < at else", r"<= at", "equal sizes were let pass before"),
    ("tensorfile._Reader._exactly", r"len\(found\) < n", r"len\(found\) <= n", "a read of no bytes ends it as well"),
    ("tensorfile._counts", r"least: int = 0", r"least: int = \(-1\)", "no list is shorter than 0"),
    ("storage.<module>", r"PIECE = 1 << 20", r"PIECE = ", "pieces of any size make the same file"),
    ("storage.write_whole", r"O_BINARY", r"O_BINARY., [1(]", "it is there on Windows alone"),
    ("storage.FolderLock.__init__", r"O_CLOEXEC", r"O_CLOEXEC., [1(]", "it is missing on Windows alone"),
    ("storage.FolderLock.__init__", r"ftruncate\(file, 0", r"file, [1(]", "the first byte is written over"),
    ("storage._owner", r"read\(file, 20", r"file, (19|21)", "no process id is as long"),
    ("packing.pack_records", r"records\[0\]", r"records\[\(-1\)\]", "where names differ, some record has others"),
    ("sharing._long", r"0 if n == 1", r"\(-1\) if|1 if", "any number will do, if it is one"),
    ("clipping.scale|optimizers._clipped", r"copy=False", r"copy=True", "a copy has the same values"),
    ("optimizers.Optimizer.__init__", r"self\._(seen|narrow)", r"pass|True", "the first update sets it"),
    ("optimizers.Optimizer.load_state", r"lists\[0\]", r"lists\[\(-1\)\]", "all have the same shapes, or none"),
    ("clipping.clip_rate", r"rate > 1\.0", r"rate >= 1\.0", "at 1, both are 1"),
    ("keeping.Keeper._check", r"'iteration'|\"iteration\"", r"< set\(more\)", "every fit writes more than these"),
)
