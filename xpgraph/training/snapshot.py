"""The state of a training as arrays on the host and words, and back: on any backend, to the bit.

``snapshot(state)`` gives what a checkpoint holds: weights, the optimizer's state by the names of the parameters,
counts, the losses, and the generators of the model's own nodes. xpgraph itself draws by (seed, purpose, index), so the
seed and the epoch are the whole of its randomness. ``restore`` gives it back to a state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays.libraries import Array, dtype_name, place_of, to_numpy
from ..errors import CheckpointError
from ..graph.inputs import first_parameter
from ..nodes.copying import parts
from ..nodes.node import Node
from ..nodes.sharing import plan
from ..storage.packing import pack, pack_records, unpack, unpack_records
from .environment import versions
from .losses import EpochLosses
from .optimizers import Optimizer
from .state import TrainingState


def snapshot(
    state: TrainingState, more: Mapping[str, Any] | None = None, ends: Sequence[Sequence[int]] = ()
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays, and a description for JSON. ``more``: what else ``restore`` shall return, of what ``pack`` takes.

    ``ends``: of each file of ``history_part``, how many losses and records stand in it and in those before it.

    The arrays may share memory with the model on the CPU: write them before the next update. Raises CheckpointError
    where the optimizer, or a node's ``state``, holds what a file cannot.
    """
    model, optimizer = state.model, state.optimizer
    place = {"iteration": state.batch, **state.losses.as_data()}  # first: it waits for steps that are under way
    weights = named_parameters(model)
    names = [name for name, _ in weights]
    arrays = {f"weights.{name}": to_numpy(p) for name, p in weights}
    meta: dict[str, Any] = {
        "weights": names,
        "optimizer": {"class": type(optimizer).__name__, "state": pack(_held(optimizer), "optimizer", arrays, names)},
        "nodes": [pack(get(), f"nodes.{i}", arrays) for i, (get, _) in enumerate(_stateful(model))],
        "seed": int(state.seed),
        "steps": int(state.steps),
        "epoch": int(state.epoch),
        "eval_interval": None if state.eval_interval is None else int(state.eval_interval),
        "more": pack({**place, **(more or {})}, "more", arrays),
        "versions": versions(model),
    }
    losses, records = ends[-1] if ends else (0, 0)
    rest = _pack_history(state.loss_list[losses:], state.history[records:], "", arrays)
    return arrays, {**meta, **({"rest": rest, "ends": [list(end) for end in ends]} if ends else rest)}


def history_part(
    state: TrainingState, begin: Sequence[int], end: Sequence[int]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Losses and records ``begin`` to ``end``, for a file of their own that later checkpoints name."""
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
    """Give a training the state of a checkpoint; returns the ``more`` that was saved with it.

    Weights are written into the model's own arrays, on the model's own backend. ``check(more)`` may raise before
    anything is changed. Raises CheckpointError, which names both sides and leaves the state unchanged, for a model
    or an optimizer that the checkpoint does not fit.
    """
    model, optimizer = state.model, state.optimizer
    rows = named_parameters(model)
    W = first_parameter(model)
    where = None if W is None else place_of(W)
    try:
        weights = {name: arrays[f"weights.{name}"] for name in meta["weights"]}
        _check_weights(rows, weights)
        held = unpack(meta["optimizer"]["state"], arrays, where)
        _check_optimizer(optimizer, meta["optimizer"]["class"], held, rows)
        stateful = _stateful(model)
        if len(stateful) != len(meta["nodes"]):
            raise CheckpointError(
                f"Restoring: the checkpoint holds the state of {len(meta['nodes'])} nodes, the model has "
                f"{len(stateful)} with a state; nothing was changed. Restore it into a model of the same structure."
            )
        states = [unpack(packed, arrays, where) for packed in meta["nodes"]]
        counts = [int(meta[name]) for name in ("seed", "steps", "epoch")]
        losses, history = _unpack_history(meta, arrays)
        interval, more = meta["eval_interval"], unpack(meta["more"], arrays)
        if check is not None:
            check(more)
        batch, under_way = more.pop("iteration"), EpochLosses.from_data(more)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"Restoring: the checkpoint lacks what a training needs ({type(error).__name__}: {error}); nothing was "
            "changed. Give one that a run wrote."
        ) from error
    for name, p in rows:
        _overwrite(p, weights[name])
    _give(optimizer, held)
    for (_, give), own in zip(stateful, states, strict=True):
        give(own)
    state.seed, state.steps, state.epoch = counts
    state.loss_list[:], state.history[:], state.eval_interval = losses, history, interval
    state.batch, state.losses, state.whole = batch, under_way, True
    return more


def config_of(meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The configuration that a checkpoint holds for its readers; empty where there is none."""
    try:
        found = unpack(meta["more"], arrays)["config"] if "more" in meta else meta["config"]
        return dict(found)
    except (KeyError, TypeError, AttributeError, ValueError):
        return {}


def _overwrite(p: Array, value: np.ndarray) -> None:
    p[...] = place_of(p).asarray(value, copy=True)


def named_parameters(model: Any) -> list[tuple[str, Array]]:
    """(name, array) of each parameter once, in the order in which the optimizer meets them.

    The names are the model's own, such as ``0.W``; those of a class that is no Node are ``params[0]``, ...
    """
    params = list(model.params)
    kept = [i for i, slot in enumerate(plan(params)) if slot.first == i]
    named = model.named_parameters() if isinstance(model, Node) and hasattr(model, "named_parameters") else []
    if len(named) == len(kept) and all(row[1] is params[i] for row, i in zip(named, kept, strict=True)):
        return [(row[0], row[1]) for row in named]
    return [(f"params[{i}]", params[i]) for i in kept]


def _held(optimizer: Any) -> Any:
    """An optimizer's whole state: its attributes, or its own ``state`` where a foreign class has one to load."""
    if isinstance(optimizer, Optimizer):
        return optimizer.everything
    return optimizer.state if callable(getattr(optimizer, "load_state", None)) else dict(vars(optimizer))


def _give(optimizer: Any, held: Any) -> None:
    if isinstance(optimizer, Optimizer):
        optimizer.load_everything(held)
    elif callable(getattr(optimizer, "load_state", None)):
        optimizer.load_state(held)
    else:
        vars(optimizer).update(held)


def _stateful(model: Any) -> list[tuple[Callable[[], Any], Callable[[Any], None]]]:
    """How to get and to give the state of what draws or remembers inside a model: generators, ``state`` of nodes."""
    found: list[tuple[Callable[[], Any], Callable[[Any], None]]] = []
    seen: set[int] = set()
    for part in parts(model):
        if callable(getattr(part, "load_state", None)):
            found.append((lambda part=part: part.state, part.load_state))  # type: ignore[misc]
        for value in _inside(vars(part).values()) if hasattr(part, "__dict__") else ():
            bits = getattr(value, "bit_generator", None) or getattr(value, "_bit_generator", None)
            if isinstance(bits, np.random.BitGenerator) and id(bits) not in seen:
                seen.add(id(bits))
                found.append((lambda bits=bits: bits.state, lambda state, bits=bits: setattr(bits, "state", state)))  # type: ignore[misc]
    return found


def _inside(values: Iterable[Any]) -> Iterator[Any]:
    """Values, and those in lists, tuples and dicts among them."""
    for value in values:
        if isinstance(value, list | tuple | dict):
            yield from _inside(value.values() if isinstance(value, dict) else value)
        else:
            yield value


def _check_weights(rows: list[tuple[str, Array]], weights: Mapping[str, np.ndarray]) -> None:
    names = {name for name, _ in rows}
    if names != set(weights):
        here, there = sorted(names - set(weights)), sorted(set(weights) - names)
        raise CheckpointError(
            f"Restoring: the checkpoint holds {len(weights)} parameters, the model has {len(rows)}; only the "
            f"checkpoint has {_words(there)}, only the model {_words(here)}; nothing was changed. "
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


def _check_optimizer(optimizer: Any, kind: str, held: Any, rows: list[tuple[str, Array]]) -> None:
    if type(optimizer).__name__ != kind:
        raise CheckpointError(
            f"Restoring: the checkpoint holds the state of {kind}, the trainer has {type(optimizer).__name__}; nothing "
            "was changed. Give the trainer the optimizer that the run began with."
        )
    if not isinstance(optimizer, Optimizer):
        return
    needed = set(optimizer.everything)
    if needed != set(held):
        raise CheckpointError(
            f"Restoring: the checkpoint holds {_words(sorted(held))} of {kind}, which needs {_words(sorted(needed))}; "
            "nothing was changed. Restore it with the class that the run began with."
        )
    for slot in optimizer.slots:
        arrays = held[slot]
        if arrays is not None and len(arrays) != len(rows):
            raise CheckpointError(
                f"Restoring: {slot} of {kind} has {len(arrays)} arrays in the checkpoint, the model {len(rows)} "
                "parameters; nothing was changed. Restore it into a model of the same structure."
            )
        for (name, p), a in zip(rows, arrays or (), strict=False):
            wide = p if dtype_name(p) in ("float32", "float64") else np.zeros(p.shape, np.float32)
            _check_array(f"{slot} of parameter {name}", a, wide)


def _words(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "none"
