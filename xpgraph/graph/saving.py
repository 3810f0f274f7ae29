"""Floor 5: models on disk: one safetensors file with the weights and, as JSON in its header, the structure.

Nothing in such a file is code: reading one runs none. Shared and tied weights are written once and are shared
again after loading.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays.libraries import Array, Place, dtype_name, namespace_of, place, place_of, to_numpy
from ..errors import ModelFileError
from ..nodes import axes, layers, losses, operators, wires
from ..nodes import basic as nodes
from ..nodes.node import Node
from ..nodes.sharing import plan
from ..storage.atomic import write_file
from . import chain as models
from . import graph

FORMAT = 1
_CLASSES = {
    c.__name__: c
    for module in (nodes, operators, axes, layers, losses)
    for c in vars(module).values()
    if isinstance(c, type) and issubclass(c, Node) and c is not Node
}


def save_model(model: Any, path: Path) -> None:
    """Write ``model`` to ``path``: a temporary file in the same folder first, then a rename."""
    from safetensors.numpy import save

    rows = model.named_parameters(remove_duplicate=False)
    doubled = [name for name, n in Counter(name for name, _, _ in rows).items() if n > 1]
    if doubled:
        raise ValueError(f"save: two parameters have the name {doubled[0]!r}; give each a name of its own.")
    slots = plan([p for _, p, _ in rows])
    tensors, aliases = {}, {}
    for i, ((name, p, _), slot) in enumerate(zip(rows, slots, strict=True)):
        if slot.first == i:
            tensors[name] = np.ascontiguousarray(to_numpy(p))  # safetensors 0.8 writes strided arrays wrong, silently
        else:
            aliases[name] = {"of": rows[slot.first][0], "transposed": slot.transposed}
    header = {"format": FORMAT, "model": _describe(model), "aliases": aliases}
    data = save(tensors, metadata={"xpgraph": json.dumps(header)})
    write_file(path, [data])


def load_weights(model: Any, path: Path) -> None:
    """Copy the weights of ``path`` into the model's own arrays, if every name, shape and dtype fits."""
    header, tensors = _read(path)
    rows = model.named_parameters(remove_duplicate=False)
    wanted = {name for name, _, _ in rows}
    found = set(tensors) | set(header["aliases"])
    if wanted != found:
        raise ModelFileError(
            f"load: {path.name} holds {', '.join(sorted(found))}; the model has {', '.join(sorted(wanted))}. "
            "Load it into a model of the same structure, or make one with xpgraph.load."
        )
    values = {name: _value(name, header, tensors) for name in wanted}
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
            raise ModelFileError(
                f"load: {name} and {rows[slot.first][0]} differ in {path.name}, but are one array in the model; "
                "nothing was changed. Load it into a model that shares the same weights."
            )
    for name, p, _ in rows:
        p[...] = place_of(p).asarray(values[name], copy=True)


def load(run: str | Path, backend: str = "numpy", classes: dict[str, type] | None = None) -> tuple[Any, dict[str, Any]]:
    """Read a run folder (or a model file): the model, on ``backend``, and the run's configuration.

    ``classes`` maps the names of node classes that are not xpgraph's own. The configuration is the folder's
    config.json, {} for a bare file. Raises ModelFileError for what is missing or damaged.
    """
    run = Path(run)
    path = run / "model.safetensors" if run.is_dir() else run
    where = place(backend)
    header, tensors = _read(path)
    try:
        model = _build(header["model"], "", _Weights(header, tensors, where), _CLASSES | (classes or {}))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"load: the structure in {path} cannot be built: {error}") from error
    return model, _config(run / "config.json") if run.is_dir() else {}


def _config(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text("utf-8", "surrogateescape")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise ModelFileError(f"load: {path} cannot be read: {error}; give a run folder that was saved.") from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get("xpgraph", "null"))
            tensors = {name: file.get_tensor(name) for name in list(file.keys())}
    except (OSError, SafetensorError, ValueError) as error:
        raise ModelFileError(
            f"load: {path} cannot be read: {error}; give a run folder or a model that was saved."
        ) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ModelFileError(
            f"load: {path} was not written by model.save (format {FORMAT}); its header says otherwise."
        )
    aliases = header.get("aliases")
    if not isinstance(aliases, dict) or not all(_is_alias(a, tensors) for a in aliases.values()):
        raise ModelFileError(
            f"load: {path} is damaged: its header shares weights that it does not hold; save it again."
        )
    return header, tensors


def _is_alias(alias: Any, tensors: dict[str, np.ndarray]) -> bool:
    return isinstance(alias, dict) and alias.get("of") in tensors and isinstance(alias.get("transposed"), bool)


def _value(name: str, header: dict[str, Any], tensors: dict[str, np.ndarray]) -> np.ndarray:
    alias = header["aliases"].get(name)
    if alias is None:
        return tensors[name]
    return tensors[alias["of"]].T if alias["transposed"] else tensors[alias["of"]]


class _Weights:
    """The arrays of a file, made once each where they are wanted, so that what was shared is shared again."""

    def __init__(self, header: dict[str, Any], tensors: dict[str, np.ndarray], where: Place) -> None:
        self.aliases, self.tensors, self.where = header["aliases"], tensors, where
        self.made: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        alias = self.aliases.get(name)
        if alias is not None:
            first = self[alias["of"]]
            return namespace_of(first).matrix_transpose(first) if alias["transposed"] else first
        if name not in self.made:
            self.made[name] = self.where.asarray(self.tensors[name], copy=True)
        return self.made[name]


def _describe(node: Any) -> dict[str, Any]:
    kind = type(node).__name__
    if isinstance(node, models.Chain):
        return {"type": kind, "nodes": _nodes(node), "loss": None if node.loss is None else _describe(node.loss)}
    if isinstance(node, graph.Graph):
        w = node.wiring
        return {
            "type": kind, "nodes": _nodes(node), "steps": w.steps, "outputs": w.outputs, "inputs": w.inputs,
            "parameters": w.parameters, "names": w.names,
        }  # fmt: skip
    return {
        "type": kind,
        "params": len(getattr(node, "params", ())),
        "options": {name: getattr(node, name) for name in getattr(node, "options", ())},
    }


def _nodes(network: Any) -> list[dict[str, Any]]:
    twins = network.twins if isinstance(network, models.Chain) else network.wiring.twins
    return [{"twin_of": twins[i]} if i in twins else _describe(part) for i, part in enumerate(network.nodes)]


def _build(described: dict[str, Any], path: str, weights: _Weights, classes: dict[str, type]) -> Any:
    kind = described["type"]
    if kind in ("Chain", "Graph"):
        built: list[Any] = []
        for i, part in enumerate(described["nodes"]):
            built.append(built[part["twin_of"]] if "twin_of" in part else _build(part, f"{path}{i}.", weights, classes))
        if kind == "Graph":
            return _graph(described, path, weights, built)
        loss = described["loss"]
        return models.Chain(*built, loss=None if loss is None else _build(loss, f"{path}loss.", weights, classes))
    if kind not in classes:
        raise ModelFileError(
            f"load: the file has a node of class {kind}; pass it: load(..., classes={{{kind!r}: {kind}}})."
        )
    cls = classes[kind]
    names = getattr(cls, "names", ()) or [str(k) for k in range(described["params"])]
    options = {name: tuple(v) if isinstance(v, list) else v for name, v in described["options"].items()}
    return cls(*(weights[f"{path}{name}"] for name in names[: described["params"]]), **options)


def _graph(described: dict[str, Any], path: str, weights: _Weights, nodes: list[Any]) -> graph.Graph:
    """The calls made again, in the same order."""
    names, n = described["names"], described["inputs"]
    made = [wires.wire(name) for name in names[:n]]
    for name, shown in zip(described["parameters"], names[n:], strict=False):
        made.append(wires.parameter(weights[f"{path}{name}"], shown))
    for node, (ins, outs) in zip(nodes, described["steps"], strict=True):
        if min(ins) < 0:
            raise ValueError(f"a step reads slot {min(ins)}")
        found = wires.record(node, *(made[s] for s in ins), outputs=len(outs))
        for w in found if isinstance(found, tuple) else (found,):
            w.name = names[len(made)]
            made.append(w)
    return graph.Graph(made[:n], [made[s] for s in described["outputs"]])
