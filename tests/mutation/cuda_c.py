"""What is done to one place of a CUDA source: by regular expressions, since it has no tree here.

Left out are declarations (neither NVRTC nor g++ compiles a kernel without one) and what stands outside functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from mutation.changes import Changes, Place, exchanged

ARITHMETIC = {" + ": " - ", " - ": " + ", " * ": " / ", " / ": " * ", " % ": " / ", " += ": " -= ", " -= ": " += "}
LOGIC = {" | ": " & ", " |= ": " &= ", " && ": " || ", " || ": " && ", " == ": " != ", " != ": " == "}
ORDER = {" < ": " <= ", " <= ": " < ", " > ": " >= ", " >= ": " > "}
WORDS = {"fmax": "fmin", "1e-6": "1e-3", "!": ""}
DECLARATION = r"(const|constexpr|static|__shared__|REAL|T|Row|bool|int|unsigned|long)\b(?!\()|return\b.+"
CONTROL = re.compile(r"\s*(else\b|(?:if constexpr|if|for)\s*(?=\())")


class Function(NamedTuple):
    name: str  # "Struct.name" for methods
    head: str
    start: int  # of its body
    end: int


def plain(text: str) -> str:
    """The source with its comments blank, every place where it was."""
    return re.sub(r"//.*|#.*", lambda m: " " * len(m[0]), text)


def functions(text: str) -> Iterator[Function]:
    bare, depth, struct, start = plain(text), 0, "", 0
    body: tuple[str, str, int, int] | None = None
    for brace in re.finditer(r"[{};]", bare):
        at = brace.start()
        if brace[0] == "{":
            head = bare[start:at]
            named = re.search(r"(\w+)\s*\([^()]*\)\s*(?:const\s*)?$", head)
            if body is None and named:
                body = (f"{struct}.{named[1]}" if depth else named[1], head, at + 1, depth)
            elif depth == 0:
                struct = re.search(r"struct\s+(?:alignas\(\w+\)\s*)?(\w+)\s*$", head)
                struct = struct[1] if struct else ""
            depth += 1
        elif brace[0] == "}":
            depth -= 1
            if body is not None and depth == body[3]:
                yield Function(*body[:3], at)
                body = None
        if body is None:
            start = brace.end()


def parameter_types(text: str) -> Iterator[tuple[str, list[str]]]:
    """The types of the parameters of each function of a source, and of the members of each struct of reals."""
    for f in functions(text):
        inside = f.head[f.head.rindex("(") + 1 : f.head.rindex(")")]
        kinds = [re.sub(r"&|\b\w+$", "", p.strip()).strip() or p for p in inside.split(",")]
        yield f.name.rpartition(".")[2], kinds
    for name, members in re.findall(r"struct (\w+) \{\s+REAL ([\w, ]+);", plain(text)):
        yield name, ["REAL"] * (members.count(",") + 1)


def changes(text: str, types: dict[str, list[str]]) -> Iterator[tuple[str, str, Place, str]]:
    """(function, operator, place, the words to put there)"""
    bare = plain(text)
    for f in functions(text):
        body = " " * f.start + bare[f.start : f.end]  # so that a place in it is one in the text
        found = (*_missing(body), *_bounds(body), *_operators(body), *_swaps(body, types))
        yield from ((f.name, *change) for change in found)


def _closing(text: str, at: int) -> int:
    """Where the bracket that opens at ``at`` closes."""
    depth = 0
    for i in range(at, len(text)):
        depth += (text[i] in "([{") - (text[i] in ")]}")
        if depth == 0:
            return i
    raise ValueError(text[at:])


def _missing(body: str) -> Changes:
    """Each simple statement, what it hangs on left: ``if (...) x = y;`` becomes ``if (...) ;``."""
    start = depth = 0
    for i, letter in enumerate(body):
        depth += (letter in "([") - (letter in ")]")
        if letter in "{}" and depth == 0:
            start = i + 1
        if letter == ";" and depth == 0:
            while control := CONTROL.match(body, start):
                start = control.end() if control[1] == "else" else _closing(body, control.end()) + 1
            statement = body[start:i].strip()
            if statement and not re.match(DECLARATION, statement, re.DOTALL):
                yield "missing", (body.index(statement, start), i), ""
            start = i + 1


def _bounds(body: str) -> Changes:
    """In conditions: the order of a comparison, and the whole of it always true."""
    for control in re.finditer(r"\b(if|for)\s*\(", body):
        low, high = control.end(), _closing(body, control.end() - 1)
        if control[1] == "for":
            low = body.index(";", low) + 1
            high = body.index(";", low)
        for found in re.finditer(" (<|<=|>|>=) ", body[low:high]):
            yield "bound", (low + found.start(), low + found.end()), ORDER[found[0]]
        if control[1] == "if" and re.search(" [<>]=? ", body[low:high]):
            yield "bound", (low, high), "true"


def _operators(body: str) -> Changes:
    conditions = {place for _, place, _ in _bounds(body)}
    for old, new in (ARITHMETIC | LOGIC | ORDER | WORDS).items():
        for found in re.finditer(re.escape(old) + (r"(?!=)" if old == "!" else ""), body):
            if found.span() not in conditions:
                yield "operator", found.span(), new
    for found in re.finditer(r"(?<=[(\s])-(?=\w)", body):
        yield "operator", found.span(), ""
    for found in re.finditer(r"(?<![\w.-])(\d+)(?=ll\b|u\b|\b(?!\.))", body):
        value = int(found[1])
        for number in (value + 1, value - 1) if value < 4 else (2 * value, value // 2):
            if number >= 0:
                yield "operator", found.span(), str(number)


def _swaps(body: str, types: dict[str, list[str]]) -> Changes:
    """Neighbours of one type in a call or an initializer; the two indices of an element."""
    for found in re.finditer(r"(\w+)(?:<[\w, ]+>)?([({])", body):
        kinds = types.get(found[1], [])
        places = _arguments(body, found.end() - 1) if kinds else []
        for i in range(min(len(places), len(kinds)) - 1):
            if kinds[i] == kinds[i + 1]:
                yield "swap", *exchanged(body, *places[i : i + 2])
    for found in re.finditer(r"\[([\w.]+)\]\[([\w.]+)\]", body):
        yield "swap", *exchanged(body, found.span(1), found.span(2))


def _arguments(body: str, opening: int) -> list[Place]:
    """Where each argument of the call whose bracket opens there stands."""
    end, depth, start, places = _closing(body, opening), 0, opening + 1, []
    for i in range(opening + 1, end + 1):
        if (body[i] == "," and depth == 0) or i == end:
            words = body[start:i]
            places.append((start + len(words) - len(words.lstrip()), start + len(words.rstrip())))
            start = i + 1
        depth += (body[i] in "([{") - (body[i] in ")]}")
    return places
