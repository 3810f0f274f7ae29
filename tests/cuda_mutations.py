"""What can be done to one place of a CUDA source or of the Python beside it: the kinds of ``ci/faults --cuda``.

Left out before anything is drawn are declarations (neither NVRTC nor g++ compiles a kernel without one), what stands
outside functions, and the changes of ``NO_FAULT``: they alter no result, each for the reason beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

KINDS = ("missing", "geometry", "swap", "sync", "bound", "operator")
ARITHMETIC = {" + ": " - ", " - ": " + ", " * ": " / ", " / ": " * ", " % ": " / ", " += ": " -= ", " -= ": " += "}
LOGIC = {" | ": " & ", " |= ": " &= ", " && ": " || ", " || ": " && ", " == ": " != ", " != ": " == "}
ORDER = {" < ": " <= ", " <= ": " < ", " > ": " >= ", " >= ": " > "}
WORDS = {"fmax": "fmin", "1e-6": "1e-3", "!": ""}
DECLARATION = r"(const|constexpr|static|__shared__|REAL|T|Row|bool|int|unsigned|long)\b(?!\()|return\b.+"
CONTROL = r"\s*(else\b|(?:if constexpr|if|for)\s*(?=\())"

# function, the line before and after it (with the line below it), the reason
NO_FAULT: tuple[tuple[str, str, str, str], ...] = (
    ("block_sum", r"x % 32 == 0\) parts", r"% 16 == 0|% 32 (== 1|!= 0)", "all lanes of a warp hold one sum"),
    ("strided_sum", r"i \+ 3 \* step < n", r"i \+ [46] \* step < n", "only where four sums become one moves"),
    ("strided_sum", r"sum\[0\] \+= f", r"sum\[1\] \+= f", "any of the four sums will do"),
    ("strided_sum|block_sum|xp_column_sum", r"__shared__|REAL sum\[4\]", r"\[64\]|sum\[8\]", "room that none uses"),
    ("xp_clip_rate", r"threadIdx\.x != 0\) return", r"", "all threads hold what is written"),
    ("xp_clip_rate", r"threadIdx\.x == 0\) partials", r"== 1|!= 0", "all threads hold what is written"),
    ("xp_clip_rate", r"ratio > 1", r"ratio >= 1", "at 1, both are 1"),
    ("xp_softmax_cross_entropy", r"(threadIdx\.x|lane) == 0\)", r"== 1\)|!= 0\)", "all threads, or lanes, hold it"),
    ("softmax", r"row\.max = fmax\(row\.max, x", r"j \+= 16", "the largest of all, some seen twice"),
    ("with_label|with_probabilities", r"\n +y\[j\] = row\.y", r"j \+= 16", "the same elements are written twice"),
    ("last_block", r"threadIdx\.x == 0", r"== 1", "any one thread can count"),
    ("begin|xp_gather", r"threadIdx\.x == 0", r"threadIdx\.x (== 1|!= 0)", "what any thread may write"),
    ("begin", r"threadIdx\.x == 0", r"\|\| threadIdx", "all that write it write the same"),
    ("xp_relu", r"<= 0 \? 0", r"< 0 \? 0", "at 0, x and 0 are equal"),
    ("xp_sigmoid", r">= 0 \? 1", r"> 0 \? 1", "at 0, z is 1"),
    ("update", r"Rule::states >", r">= |\(true\)", "a state that is not there is null, and null is aligned"),
    ("copy_row", r"odd %", r"odd / ", "never true: narrower words, the same bytes"),
    ("copy_row", r"odd % 16", r"% 32", "true less often: narrower words, the same bytes"),
    ("copy_row", r"odd % 8", r"% 16", "never true here: narrower words, the same bytes"),
    ("copy_row", r"odd % 4", r"% 8", "never true here: narrower words, the same bytes"),
    ("update", r"odd % VECTOR_BYTES", r"odd / |== 1", "never true: one by one, the same elements"),
)


class Change(NamedTuple):
    """The ``line``-th line of a source becomes another; ``text`` is the whole source with it."""

    function: str
    line: int
    kind: str
    before: str
    after: str
    text: str


class Function(NamedTuple):
    name: str
    head: str
    start: int
    end: int


def plain(text: str) -> str:
    """The source with its comments blank, every place where it was."""
    return re.sub(r"//.*|#.*", lambda m: " " * len(m[0]), text)


def functions(text: str) -> list[Function]:
    """The functions of a source and where their bodies are; methods as ``Struct.name``."""
    bare, found, depth, struct, begin = plain(text), [], 0, "", 0
    body: tuple[str, str, int, int] | None = None
    for brace in re.finditer(r"[{};]", bare):
        at = brace.start()
        if brace[0] == "{":
            head = bare[begin:at]
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
                found.append(Function(body[0], body[1], body[2], at))
                body = None
        if body is None:
            begin = brace.end()
    return found


def cuda_changes(text: str, types: dict[str, list[str]]) -> list[Change]:
    """All that can be done to one .cu file. ``types``: of the parameters of each function, and members of a struct."""
    found = []
    for f in functions(text):
        body = plain(text)[f.start : f.end]
        places = [*_missing(body), *_bounds(body), *_operators(body), *_swaps(body, types)]
        for kind, start, end, new in places:
            a, b = f.start + start, f.start + end
            changed = text[:a] + new + text[b:]
            line = text.count("\n", 0, a) + 1
            before, after = (whole.splitlines()[line - 1].strip() for whole in (text, changed))
            below = text.splitlines()[line : line + 1]
            if before != after and not declared(
                NO_FAULT, f.name, "\n".join([before, *below]), "\n".join([after, *below])
            ):
                found.append(Change(f.name, line, kind, before, after, changed))
    return found


def declared(table: tuple[tuple[str, str, str, str], ...], function: str, before: str, after: str) -> bool:
    """Does a row of ``table``, with three patterns and a reason, say that this is no fault?"""
    return any(
        re.fullmatch(name, function) and re.search(was, before) and re.search(now, after) for name, was, now, _ in table
    )


Places = Iterator[tuple[str, int, int, str]]


def _closing(text: str, at: int) -> int:
    """Where the bracket that opens at ``at`` closes."""
    depth = 0
    for i in range(at, len(text)):
        depth += (text[i] in "([{") - (text[i] in ")]}")
        if depth == 0:
            return i
    raise ValueError(text[at:])


def _missing(body: str) -> Places:
    """Each simple statement, what it hangs on left: ``if (...) x = y;`` becomes ``if (...) ;``."""
    start = depth = 0
    for i, letter in enumerate(body):
        depth += (letter in "([") - (letter in ")]")
        if letter in "{}" and depth == 0:
            start = i + 1
        if letter == ";" and depth == 0:
            while control := re.compile(CONTROL).match(body, start):
                start = control.end() if control[1] == "else" else _closing(body, control.end()) + 1
            inside = body[start:i]
            statement = inside.strip()
            if statement and not re.match(DECLARATION, statement, re.DOTALL):
                yield "missing", start + len(inside) - len(inside.lstrip()), i, ""
            start = i + 1


def _bounds(body: str) -> Places:
    """In conditions: the order of a comparison, and the whole of it always true."""
    for control in re.finditer(r"\b(if|for)\s*\(", body):
        end = _closing(body, control.end() - 1)
        condition = (control.end(), end)
        if control[1] == "for":
            parts = [m.start() for m in re.finditer(";", body[control.end() : end])]
            condition = (control.end() + parts[0] + 1, control.end() + parts[1])
        for found in re.finditer(" (<|<=|>|>=) ", body[slice(*condition)]):
            at = condition[0] + found.start()
            yield "bound", at, at + len(found[0]), ORDER[found[0]]
        if control[1] == "if" and re.search(" [<>]=? ", body[slice(*condition)]):
            yield "bound", *condition, "true"


def _operators(body: str) -> Places:
    conditions = {place for kind, *place, _ in _bounds(body) for place in [tuple(place)]}
    for old, new in (ARITHMETIC | LOGIC | ORDER | WORDS).items():
        edge = r"(?!=)" if old == "!" else ""
        for found in re.finditer(re.escape(old) + edge, body):
            if found.span() not in conditions:
                yield "operator", *found.span(), new
    for found in re.finditer(r"(?<=[(\s])-(?=\w)", body):
        yield "operator", *found.span(), ""
    for found in re.finditer(r"(?<![\w.-])(\d+)(?=ll\b|u\b|\b(?!\.))", body):
        value = int(found[1])
        for new in (value + 1, value - 1) if value < 4 else (2 * value, value // 2):
            if new >= 0:
                yield "operator", *found.span(), str(new)


def _swaps(body: str, types: dict[str, list[str]]) -> Places:
    """Neighbours of one type in a call or an initializer; the two indices of an element."""
    for found in re.finditer(r"(\w+)(?:<[\w, ]+>)?([({])", body):
        kinds = types.get(found[1])
        if kinds:
            spans = arguments(body, found.end() - 1)
            for i in range(len(spans) - 1):
                if i + 1 < len(kinds) and kinds[i] == kinds[i + 1]:
                    yield _exchanged(body, *spans[i : i + 2])
    for found in re.finditer(r"\[([\w.]+)\]\[([\w.]+)\]", body):
        yield _exchanged(body, found.span(1), found.span(2))


def _exchanged(body: str, a: tuple[int, int], b: tuple[int, int]) -> tuple[str, int, int, str]:
    return "swap", a[0], b[1], body[slice(*b)] + body[a[1] : b[0]] + body[slice(*a)]


def arguments(body: str, opening: int) -> list[tuple[int, int]]:
    """Where each argument of the call whose bracket opens there stands."""
    end, depth, start, spans = _closing(body, opening), 0, opening + 1, []
    for i in range(opening + 1, end + 1):
        if (body[i] == "," and depth == 0) or i == end:
            words = body[start:i]
            spans.append((start + len(words) - len(words.lstrip()), start + len(words.rstrip())))
            start = i + 1
        depth += (body[i] in "([{") - (body[i] in ")]}")
    return spans


def parameter_types(text: str) -> dict[str, list[str]]:
    """The types of the parameters of each function of a source, and of the members of each struct of reals."""
    found = {}
    for f in functions(text):
        inside = f.head[f.head.rindex("(") + 1 : f.head.rindex(")")]
        found[f.name.rpartition(".")[2]] = [re.sub(r"&|\b\w+$", "", p.strip()).strip() or p for p in inside.split(",")]
    for name, members in re.findall(r"struct (\w+) \{\s+REAL ([\w, ]+);", plain(text)):
        found[name] = ["REAL"] * (members.count(",") + 1)
    return found
