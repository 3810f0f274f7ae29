"""Models on disk: one safetensors file with the weights and, as JSON in its header, the structure.

Nothing in such a file is code: reading one runs none. Shared and tied weights are written once and are shared
again after loading. loading.py makes a new model from a file.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..arrays.libraries import dtype_name, place_of, to_numpy
from ..errors import ModelFileError
from ..nodes.node import describe
from ..nodes.sharing import plan
from ..storage.atomic import write_file
from ..storage.tensor_reader import read
from ..storage.tensorfile import FileKind, pieces

FORMAT = 1
MODEL = FileKind(
    error=ModelFileError,
    newer=ModelFileError,
    doing="load: ",
    if_missing="Give a run folder or a model that was saved.",
    if_damaged="Give a model that was saved, or save it again.",
    hashed=False,  # xpgraph's first files had no hashes
    header_limit=80 << 20,
    value_limit=2_000_000,  # for tens of thousands of nodes
)


class Alias(NamedTuple):
    """A parameter that is stored under another name, as it is or transposed."""

    of: str
    transposed: bool


class ModelFile(NamedTuple):
    """What a file holds: ``model``, the structure as plain data; each array once; the names that share one."""

    model: Any
    tensors: dict[str, np.ndarray]
    aliases: dict[str, Alias]

    def names(self) -> set[str]:
        return {*self.tensors, *self.aliases}

    def value(self, name: str) -> np.ndarray:
        """The value of a parameter under any of its names."""
        if name not in self.aliases:
            return self.tensors[name]
        of, transposed = self.aliases[name]
        return self.tensors[of].T if transposed else self.tensors[of]


def save_model(model: Any, path: Path) -> None:
    """Write ``model`` to ``path``: a temporary file in the same folder first, then a rename.

    Raises ValueError for what a file cannot hold, StorageError where it cannot be written; an older file stays.
    """
    rows = model.named_parameters(remove_duplicate=False)
    doubled = [name for name, n in Counter(name for name, _, _ in rows).items() if n > 1]
    if doubled:
        raise ValueError(f"save: two parameters have the name {doubled[0]!r}; give each a name of its own.")
    slots = plan([p for _, p, _ in rows])
    tensors, aliases = {}, {}
    for i, ((name, p, _), slot) in enumerate(zip(rows, slots, strict=True)):
        if slot.first == i:
            tensors[name] = to_numpy(p)
        else:
            aliases[name] = {"of": rows[slot.first][0], "transposed": slot.transposed}
    write_file(path, pieces(tensors, {"format": FORMAT, "model": describe(model), "aliases": aliases}, MODEL))


def load_weights(model: Any, path: Path) -> None:
    """Copy the weights of ``path`` into the model's own arrays; if one does not fit, ModelFileError and no change.

    Names, shapes and dtypes must be the same, and parameters that are one array in the model must be equal in the file.
    """
    file = read_model(path)
    rows = model.named_parameters(remove_duplicate=False)
    wanted = {name for name, _, _ in rows}
    if wanted != file.names():
        held, own = (", ".join(sorted(names)) for names in (file.names(), wanted))
        advice = "Load it into a model of the same structure, or make one with xpgraph.load."
        raise ModelFileError(f"load: {path.name} holds {held}; the model has {own}. {advice}")
    values = {name: file.value(name) for name in wanted}
    for name, p, _ in rows:
        a = values[name]
        if a.shape != tuple(p.shape) or dtype_name(a) != dtype_name(p):
            raise ModelFileError(
                f"load: {name} is {dtype_name(a)} {a.shape} in {path.name}, but {dtype_name(p)} {tuple(p.shape)} in "
                "the model; nothing was changed. Load it into a model of the same sizes and dtype."
            )
    for (name, _, _), slot in zip(rows, plan([p for _, p, _ in rows]), strict=True):
        first = values[rows[slot.first][0]]
        if not np.array_equal(values[name], first.T if slot.transposed else first, equal_nan=True):
            found = f"{name} and {rows[slot.first][0]} differ in {path.name}, but are one array in the model"
            advice = "Load it into a model that shares the same weights."
            raise ModelFileError(f"load: {found}; nothing was changed. {advice}")
    for name, p, _ in rows:
        p[...] = place_of(p).asarray(values[name], copy=True)


def read_model(path: Path) -> ModelFile:
    """A file that ``save_model`` wrote, checked; ModelFileError for anything else."""
    tensors, meta = read(path, MODEL)
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        found = f"{path} was not written by model.save (format {FORMAT}); its header says otherwise"
        raise ModelFileError(f"load: {found}. Give a model that was saved.")
    aliases = meta.get("aliases")
    if not isinstance(aliases, dict) or not all(_is_alias(alias, tensors) for alias in aliases.values()):
        raise ModelFileError(f"load: {path} is damaged: its header shares weights that it lacks; save it again.")
    return ModelFile(meta.get("model"), tensors, {name: Alias(**alias) for name, alias in aliases.items()})


def _is_alias(alias: Any, tensors: dict[str, np.ndarray]) -> bool:
    if not isinstance(alias, dict) or set(alias) != {"of", "transposed"} or not isinstance(alias["of"], str):
        return False
    return alias["of"] in tensors and isinstance(alias["transposed"], bool)
