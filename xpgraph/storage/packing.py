"""Python values as arrays and JSON, and back: None, numbers, text, arrays, lists, tuples and dicts of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays.libraries import Place, is_array, to_numpy
from ..errors import CheckpointError


def pack(value: Any, key: str, arrays: dict[str, np.ndarray], names: Sequence[str] = ()) -> Any:
    """``value`` for JSON; each array in it goes into ``arrays``, on the host, under a name that starts with ``key``.

    A list with one array for each of ``names`` is stored under these names. Raises CheckpointError for other values.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.generic) or is_array(value):
        arrays[key] = np.asarray(value) if isinstance(value, np.generic) else to_numpy(value)
        return {"scalar" if isinstance(value, np.generic) else "array": key}
    if type(value) in (list, tuple):
        ends = names if len(names) == len(value) and all(map(is_array, value)) else [str(i) for i in range(len(value))]
        packed = [pack(part, f"{key}.{end}", arrays, names) for part, end in zip(value, ends, strict=True)]
        return {"tuple" if isinstance(value, tuple) else "list": packed}
    if type(value) is dict and all(type(name) in (str, int) for name in value):
        return {"dict": [[name, pack(part, f"{key}.{name}", arrays, names)] for name, part in value.items()]}
    advice = "Keep numbers, text, arrays and lists of them, or give the class state and load_state."
    raise CheckpointError(f"Saving {key}: found a {type(value).__name__}, which a checkpoint cannot hold. {advice}")


def unpack(packed: Any, arrays: Mapping[str, np.ndarray], where: Place | None = None) -> Any:
    """The value that ``pack`` was given; its arrays are made anew at ``where`` (None: as NumPy's)."""
    if packed is None or isinstance(packed, bool | int | float | str):
        return packed
    ((kind, inside),) = packed.items()
    if kind == "array":
        a = arrays[inside]
        return np.array(a) if where is None else where.asarray(a, copy=True)
    if kind == "scalar":
        return arrays[inside][()]
    if kind == "dict":
        return {name: unpack(part, arrays, where) for name, part in inside}
    return {"list": list, "tuple": tuple}[kind](unpack(part, arrays, where) for part in inside)


def pack_records(records: Sequence[Mapping[str, Any]], key: str, arrays: dict[str, np.ndarray]) -> Any:
    """Dicts with the same names, packed as one array for each name: thousands of epochs need no more text than one.

    A column stays a list unless all its values are whole numbers, or all floats, or all None.
    """
    names = list(records[0]) if records else []
    if any(type(name) not in (str, int) for record in records for name in record):
        raise CheckpointError(f"Saving {key}: found a name that is neither text nor a whole number. Give it another.")
    if any(list(record) != names for record in records):
        return _one_by_one(records, key, arrays)
    plain = [{name: v.item() if isinstance(v, np.generic) else v for name, v in record.items()} for record in records]
    table = {name: [record[name] for record in plain] for name in names}
    columns: dict[str, Any] = {}
    for name, values in table.items():
        kinds = {type(value) for value in values}
        if kinds == {float} or (kinds == {int} and max(map(abs, values)) < 2**63):
            arrays[f"{key}.{name}"] = np.array(values, np.float64 if kinds == {float} else np.int64)
            columns[name] = {"array": f"{key}.{name}"}
        else:
            columns[name] = None if kinds == {type(None)} else pack(values, f"{key}.{name}", arrays)
    if not any(columns.values()):
        return _one_by_one(records, key, arrays)  # None everywhere: no column tells how many there are
    return {"columns": list(columns.items())}


def _one_by_one(records: Sequence[Mapping[str, Any]], key: str, arrays: dict[str, np.ndarray]) -> Any:
    return {"records": [pack(dict(each), f"{key}.{i}", arrays) for i, each in enumerate(records)]}


def unpack_records(packed: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """The dicts that ``pack_records`` was given."""
    if "records" in packed:
        return [unpack(record, arrays) for record in packed["records"]]
    table = {}
    for name, column in packed["columns"]:
        values = unpack(column, arrays)
        table[name] = values.tolist() if isinstance(values, np.ndarray) else values
    (n,) = {len(values) for values in table.values() if values is not None}  # columns of other lengths are refused
    complete = {name: [None] * n if values is None else values for name, values in table.items()}
    return [{name: values[i] for name, values in complete.items()} for i in range(n)]
