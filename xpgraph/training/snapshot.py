"""Turn the state of a training into NumPy arrays and JSON data, and back, bit for bit, on any backend.

``snapshot`` makes the content of a checkpoint: weights, the optimizer's state, counts, losses, history, and the state
of the nodes and of their random generators. ``restore`` puts it back. The random numbers of xpgraph itself need no
state, because they depend only on (seed, purpose, index).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays.libraries import Array, dtype_name, place_of, to_numpy
from ..errors import CheckpointError
from ..graph.inputs import first_parameter
from ..nodes.node import Node
from ..nodes.sharing import plan
from ..storage.packing import pack, pack_records, unpack, unpack_records
from .environment import versions
from .losses import EpochLosses
from .node_state import stateful_parts
from .optimizers import Optimizer
from .state import TrainingState


def snapshot(
    state: TrainingState, more: Mapping[str, Any] | None = None, ends: Sequence[Sequence[int]] = ()
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The content of a checkpoint: arrays, and a description for JSON.

    ``more``: data that ``restore`` gives back, of the kinds that ``pack`` takes. ``ends``: for each ``history_part``,
    how many losses and records it and those before it have; these are left out here.

    On the CPU the arrays may share memory with the model: write them before the next update. Raises CheckpointError if
    the optimizer, or the ``state`` of a node, has a value that a file cannot hold.
    """
    model, optimizer = state.model, state.optimizer
    epoch = {"iteration": state.batch, **state.losses.as_data()}  # first: on a GPU it waits for the steps
    weights = named_parameters(model)
    names = [name for name, _ in weights]
    arrays = {f"weights.{name}": to_numpy(p) for name, p in weights}
    meta: dict[str, Any] = {
        "weights": names,
        "optimizer": {
            "class": type(optimizer).__name__,
            "state": pack(_optimizer_state(optimizer), "optimizer", arrays, names),
        },
        "nodes": [pack(part.get(), f"nodes.{i}", arrays) for i, part in enumerate(stateful_parts(model))],
        "seed": int(state.seed),
        "steps": int(state.steps),
        "epoch": int(state.epoch),
        "eval_interval": None if state.eval_interval is None else int(state.eval_interval),
        "more": pack({**epoch, **(more or {})}, "more", arrays),
        "versions": versions(model),
    }
    losses, records = ends[-1] if ends else (0, 0)
    rest = _pack_history(state.loss_list[losses:], state.history[records:], "", arrays)
    return arrays, {**meta, **({"rest": rest, "ends": [list(end) for end in ends]} if ends else rest)}


def history_part(
    state: TrainingState, begin: Sequence[int], end: Sequence[int]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Losses and records from ``begin`` to ``end``, each (losses, records), as the content of a file of their own."""
    arrays: dict[str, np.ndarray] = {}
    losses, records = state.loss_list[begin[0] : end[0]], state.history[begin[1] : end[1]]
    return arrays, _pack_history(losses, records, f"from {begin[0]} {begin[1]}.", arrays)


def _pack_history(
    losses: list[float], records: list[dict[str, Any]], key: str, arrays: dict[str, np.ndarray]
) -> dict[str, Any]:
    arrays[f"{key}loss_list"] = np.array(losses, np.float64)
    return {"loss_list": f"{key}loss_list", "history": pack_records(records, f"{key}history", arrays)}


def _unpack_history(
    meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> tuple[list[float], list[dict[str, Any]]]:
    losses: list[float] = []
    records: list[dict[str, Any]] = []
    for packed in (*meta.get("parts", ()), meta.get("rest", meta)):
        losses += arrays[packed["loss_list"]].tolist()
        records += unpack_records(packed["history"], arrays)
    return losses, records


def restore(
    state: TrainingState,
    arrays: Mapping[str, np.ndarray],
    meta: Mapping[str, Any],
    check: Callable[[Any], None] | None = None,
) -> dict[str, Any]:
    """Restore a training from the content of a checkpoint; returns the ``more`` that ``snapshot`` was given.

    Weights are written into the model's own arrays, wherever they live. ``check(more)`` may raise an error before
    anything is changed. Raises CheckpointError, and changes nothing, if the model or the optimizer is not like that of
    the checkpoint.
    """
    model, optimizer = state.model, state.optimizer
    rows = named_parameters(model)
    W = first_parameter(model)
    where = None if W is None else place_of(W)
    try:
        weights = {name: arrays[f"weights.{name}"] for name in meta["weights"]}
        _check_weights(rows, weights)
        saved = unpack(meta["optimizer"]["state"], arrays, where)
        _check_optimizer(optimizer, meta["optimizer"]["class"], saved, rows)
        stateful = stateful_parts(model)
        if len(stateful) != len(meta["nodes"]):
            raise CheckpointError(
                f"Restoring: the checkpoint holds the state of {len(meta['nodes'])} nodes, the model has "
                f"{len(stateful)} with a state; nothing was changed. Restore it into a model of the same structure."
            )
        states = [
            unpack(packed, arrays, None if part.on_host else where)
            for part, packed in zip(stateful, meta["nodes"], strict=True)
        ]
        counts = [int(meta[name]) for name in ("seed", "steps", "epoch")]
        losses, history = _unpack_history(meta, arrays)
        interval, more = meta["eval_interval"], unpack(meta["more"], arrays)
        if check is not None:
            check(more)
        batch, epoch_losses = more.pop("iteration"), EpochLosses.from_data(more)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"Restoring: the checkpoint lacks what a training needs ({type(error).__name__}: {error}); nothing was "
            "changed. Give one that a run wrote."
        ) from error
    for name, p in rows:
        _overwrite(p, weights[name])
    _load_optimizer_state(optimizer, saved)
    for part, own in zip(stateful, states, strict=True):
        part.load(own)
    state.seed, state.steps, state.epoch = counts
    state.loss_list[:], state.history[:], state.eval_interval = losses, history, interval
    state.batch, state.losses, state.consistent = batch, epoch_losses, True
    return more


def config_of(meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """``Trainer.config`` as a checkpoint stores it; empty if it does not."""
    try:
        return dict(unpack(meta["more"], arrays)["config"] if "more" in meta else meta["config"])
    except (KeyError, TypeError, AttributeError, ValueError):
        return {}


def _overwrite(p: Array, value: np.ndarray) -> None:
    p[...] = place_of(p).asarray(value, copy=True)


def named_parameters(model: Any) -> list[tuple[str, Array]]:
    """(name, array) of each parameter once, in the order in which the optimizer gets them.

    The names are the model's own, such as ``0.W``; for a class that is not a Node, ``params[0]`` and so on.
    """
    params = list(model.params)
    distinct = [i for i, slot in enumerate(plan(params)) if slot.first == i]
    named = model.named_parameters() if isinstance(model, Node) and hasattr(model, "named_parameters") else []
    if len(named) == len(distinct) and all(row[1] is params[i] for row, i in zip(named, distinct, strict=True)):
        return [(row[0], row[1]) for row in named]
    return [(f"params[{i}]", params[i]) for i in distinct]


def _optimizer_state(optimizer: Any) -> Any:
    """All state of an optimizer. Of a user's own class: ``state`` if it has ``load_state``, else its attributes."""
    if isinstance(optimizer, Optimizer):
        return optimizer.everything
    return optimizer.state if callable(getattr(optimizer, "load_state", None)) else dict(vars(optimizer))


def _load_optimizer_state(optimizer: Any, saved: Any) -> None:
    if isinstance(optimizer, Optimizer):
        optimizer.load_everything(saved)
    elif callable(getattr(optimizer, "load_state", None)):
        optimizer.load_state(saved)
    else:
        vars(optimizer).update(saved)


def _check_weights(rows: list[tuple[str, Array]], weights: Mapping[str, np.ndarray]) -> None:
    """CheckpointError unless the saved weights have the names, shapes and dtypes of the model's parameters."""
    names = {name for name, _ in rows}
    if names != set(weights):
        missing, unknown = sorted(names - set(weights)), sorted(set(weights) - names)
        raise CheckpointError(
            f"Restoring: the checkpoint holds {len(weights)} parameters, the model has {len(rows)}; only the "
            f"checkpoint has {_join(unknown)}, only the model {_join(missing)}; nothing was changed. "
            "Restore it into a model of the same structure."
        )
    for name, p in rows:
        _check_array(f"parameter {name}", weights[name], p)


def _check_array(what: str, saved: Array, p: Array) -> None:
    if tuple(saved.shape) != tuple(p.shape) or dtype_name(saved) != dtype_name(p):
        raise CheckpointError(
            f"Restoring: {what} is {dtype_name(saved)} {tuple(saved.shape)} in the checkpoint, but {dtype_name(p)} "
            f"{tuple(p.shape)} in the model; nothing was changed. Restore it into a model of the same sizes and dtype."
        )


def _check_optimizer(optimizer: Any, kind: str, saved: Any, rows: list[tuple[str, Array]]) -> None:
    """CheckpointError unless ``saved``, of an optimizer of class ``kind``, fits this optimizer and the parameters."""
    if type(optimizer).__name__ != kind:
        raise CheckpointError(
            f"Restoring: the checkpoint holds the state of {kind}, the trainer has {type(optimizer).__name__}; nothing "
            "was changed. Give the trainer the optimizer that the run began with."
        )
    if not isinstance(optimizer, Optimizer):
        return
    needed = set(optimizer.everything)
    if needed != set(saved):
        raise CheckpointError(
            f"Restoring: the checkpoint holds {_join(sorted(saved))} of {kind}, which needs {_join(sorted(needed))}; "
            "nothing was changed. Restore it with the class that the run began with."
        )
    for slot in optimizer.slots:
        arrays = saved[slot]
        if arrays is not None and len(arrays) != len(rows):
            raise CheckpointError(
                f"Restoring: {slot} of {kind} has {len(arrays)} arrays in the checkpoint, the model {len(rows)} "
                "parameters; nothing was changed. Restore it into a model of the same structure."
            )
        for (name, p), a in zip(rows, arrays or (), strict=False):
            wide = p if dtype_name(p) in ("float32", "float64") else np.zeros(p.shape, np.float32)
            _check_array(f"{slot} of parameter {name}", a, wide)


def _join(names: list[str]) -> str:
    """The first eight names, for a message."""
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "none"
