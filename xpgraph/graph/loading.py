"""Make a model from a file: the structure that its header describes, with its weights, on any backend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..arrays.libraries import Array, Place, namespace_of, place
from ..errors import ModelFileError
from ..nodes import axes, basic, layers, losses, operators, reductions
from ..nodes.node import Node
from ..nodes.wires import parameter, record, wire
from .chain import Chain
from .graph import Graph
from .saving import ModelFile, read_model

_CLASSES = {
    cls.__name__: cls
    for module in (basic, reductions, operators, axes, layers, losses)
    for cls in vars(module).values()
    if isinstance(cls, type) and issubclass(cls, Node) and cls is not Node
}


def load(run: str | Path, backend: str = "numpy", classes: dict[str, type] | None = None) -> tuple[Any, dict[str, Any]]:
    """Read a run folder (or a model file): the model, on ``backend``, and the run's configuration.

    ``classes`` maps the names of node classes that are not xpgraph's own. The configuration is the folder's
    config.json, {} for a bare file. Raises ModelFileError for what is missing or damaged.
    """
    run = Path(run)
    path = run / "model.safetensors" if run.is_dir() else run
    where = place(backend)
    file = read_model(path)
    try:
        model = _build(file.model, "", _Weights(file, where), _CLASSES | (classes or {}))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ModelFileError):
            raise
        advice = "Save the model again, or give the classes that it was made of."
        raise ModelFileError(f"load: the structure in {path} cannot be built: {error}. {advice}") from error
    return model, _config(run / "config.json") if run.is_dir() else {}


def _config(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text("utf-8", "surrogateescape")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise ModelFileError(f"load: {path} cannot be read: {error}; give a run folder that was saved.") from error


class _Weights:
    """The arrays of a file, each made once when it is asked for, so that what was shared is shared again."""

    def __init__(self, file: ModelFile, where: Place) -> None:
        self.file, self.where = file, where
        self.made: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        alias = self.file.aliases.get(name)
        if alias is not None:
            a = self[alias.of]
            return namespace_of(a).matrix_transpose(a) if alias.transposed else a
        if name not in self.made:
            self.made[name] = self.where.asarray(self.file.tensors[name], copy=True)
        return self.made[name]


def _build(described: dict[str, Any], path: str, weights: _Weights, classes: dict[str, type]) -> Any:
    """The node that ``describe`` described; ``path`` is the prefix of its parameters' names."""
    kind = described["type"]
    if kind in ("Chain", "Graph"):
        nodes: list[Any] = []
        for i, part in enumerate(described["nodes"]):
            nodes.append(nodes[part["twin_of"]] if "twin_of" in part else _build(part, f"{path}{i}.", weights, classes))
        if kind == "Graph":
            return _build_graph(described, path, weights, nodes)
        loss = described["loss"]
        return Chain(*nodes, loss=None if loss is None else _build(loss, f"{path}loss.", weights, classes))
    if kind not in classes:
        advice = f"pass it: load(..., classes={{{kind!r}: {kind}}})"
        raise ModelFileError(f"load: the file has a node of class {kind}; {advice}.")
    cls = classes[kind]
    names = getattr(cls, "names", ()) or [str(i) for i in range(described["params"])]
    options = {name: tuple(v) if isinstance(v, list) else v for name, v in described["options"].items()}
    return cls(*(weights[f"{path}{name}"] for name in names[: described["params"]]), **options)


def _build_graph(described: dict[str, Any], path: str, weights: _Weights, nodes: list[Any]) -> Graph:
    """The calls made again, in the same order."""
    names, n = described["names"], described["inputs"]
    wires = [wire(name) for name in names[:n]]
    for key, name in zip(described["parameters"], names[n:], strict=False):
        wires.append(parameter(weights[f"{path}{key}"], name))
    for node, (ins, outs) in zip(nodes, described["steps"], strict=True):
        if min(ins) < 0:
            raise ValueError(f"a step reads slot {min(ins)}")
        results = record(node, *(wires[s] for s in ins), outputs=len(outs))
        for w in results if isinstance(results, tuple) else (results,):
            w.name = names[len(wires)]
            wires.append(w)
    return Graph(wires[:n], [wires[s] for s in described["outputs"]])
