"""What nodes check of their arrays: cheap where all is well, and an error in three beats where it is not.

``who`` is the first beat, such as ``"Affine.forward: "``; a letter is what the formula calls an array.
"""

from __future__ import annotations

from typing import Any

from ..arrays.libraries import Array, as_array, dtype_name, home, is_known, namespace_of, together
from ..errors import DTypeError, Error, LibraryError, ShapeError

_floating: dict[tuple[type, Any], bool] = {}  # by array type too: dtypes of two libraries may not be comparable


def check_floating(who: str, letter: str, x: Any) -> None:
    """DTypeError unless ``x`` is an array of real floating numbers."""
    try:
        if _floating[type(x), x.dtype]:
            return
    except (KeyError, AttributeError, TypeError):
        if not is_known(x):
            raise DTypeError(f"{who}{letter} is a {type(x).__name__}; {as_array(x, letter, 'float32')}.") from None
        if _floating.setdefault((type(x), x.dtype), _is_floating(x)):
            return
    raise DTypeError(f"{who}{letter} is {_dtype(x)}; convert it to a real floating dtype, such as float32.")


def check_pair(who: str, a_name: str, a: Array, b_name: str, b: Array) -> None:
    """LibraryError or DTypeError for two arrays of different libraries, devices or dtypes; ``a`` is to follow ``b``."""
    if type(a) is type(b) and a.dtype == b.dtype and together(a, b):
        return
    check_floating(who, a_name, a)
    check_floating(who, b_name, b)
    if not together(a, b):
        raise library_error(who, a_name, a, b_name, b)
    if a.dtype != b.dtype:
        raise DTypeError(
            f"{who}{a_name} is {_dtype(a)} but {b_name} is {_dtype(b)}; give both one dtype: "
            f"xp.astype({a_name}, {b_name}.dtype)."
        )


def library_error(who: str, a_name: str, a: Array, b_name: str, b: Array) -> LibraryError:
    """The error for two arrays of different libraries, or of one library on two devices."""
    if home(a).partition(":")[0] != home(b).partition(":")[0]:
        article = "an" if home(a)[0] in "aeiou" else "a"
        return LibraryError(
            f"{who}{a_name} is {article} {home(a)} array, {b_name} lives in {home(b)}; "
            f"make {a_name} with the same library: xp.asarray({a_name})."
        )
    return LibraryError(
        f"{who}{a_name} is on {a.device}, {b_name} on {b.device}; "
        f"move it: xp.asarray({a_name}, device={b_name}.device)."
    )


def check_gradient(who: str, letter: str, dy: Any, like: Any, shape: tuple[int, ...]) -> None:
    """The gradient ``dy`` must have the ``shape`` of the output, and the library, device and dtype of ``like``.

    ``like`` is an array that forward saved; None, and so an Error, before forward was called. Raises ShapeError,
    DTypeError or LibraryError for another gradient.
    """
    if like is None:
        raise Error(f"{who}forward has not been called; call it before backward.")
    check_pair(who, letter, dy, "the input", like)
    if dy.shape != shape:
        raise ShapeError(f"{who}{letter} is {tuple(dy.shape)} but forward returned {tuple(shape)}; give it that shape.")


def _is_floating(x: Array) -> bool:
    """Real floating numbers in the machine's own byte order."""
    return bool(namespace_of(x).isdtype(x.dtype, "real floating")) and not _has_foreign_byte_order(x)


def _dtype(a: Array) -> str:
    """The dtype as a message names it; for a foreign byte order, str() would give ">f8"."""
    return f"{a.dtype.name} of foreign byte order" if _has_foreign_byte_order(a) else dtype_name(a)


def _has_foreign_byte_order(a: Array) -> bool:
    return getattr(a.dtype, "byteorder", "=") in ("<", ">")
