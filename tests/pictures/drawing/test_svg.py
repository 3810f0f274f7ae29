"""Pictures as files: valid, self-contained, legible; no text overlaps another, measured in a real browser too."""

import itertools
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from drawn import SVG, R, array, mlp, shopping, texts
from pages import ROOT

from xpgraph import Affine, Chain, Tanh
from xpgraph.pictures import drawing
from xpgraph.pictures.drawing.picture import Edge, Picture, Vertex
from xpgraph.pictures.drawing.style import PALETTE
from xpgraph.pictures.drawing.svg import render
from xpgraph.pictures.drawing.values import block, text_width

# --- the file -------------------------------------------------------------------------------------------------

NAMES = ["汉字", 'a<b>&"c"', "]]>", "ключ 🍎", "bell\x07", "x" * 60]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_any_letters_make_valid_files(name):
    g = shopping((name, "n", "o", "k", "tax"))
    svg = drawing.svg(g)
    assert name.replace("\x07", "\ufffd") in texts(svg, "ink")
    check_dot(drawing.dot(g))


def test_the_file_explains_itself_and_asks_for_no_other():
    svg = drawing.svg(shopping(), title="Apples & oranges")
    root = ET.fromstring(svg)
    assert root.get("role") == "img" and root.get("aria-label").startswith("Apples & oranges. 4 nodes: ×, ×, +, ×;")
    assert root.find(f"{SVG}title").text == "Apples & oranges"
    assert "inputs: apple, apples" in root.find(f"{SVG}desc").text
    assert not re.findall(r"(?:href|src|url|@import|http(?!://www.w3.org/2000/svg))", svg)
    assert " id=" not in svg  # many pictures may stand on one page
    assert "<title>Multiply() to price: 715; gradient 1</title>" in svg


def test_the_same_graph_has_the_same_bytes():
    assert drawing.svg(shopping()) == drawing.svg(shopping())
    assert drawing.dot(shopping()) == drawing.dot(shopping())


def test_files_by_their_ending(tmp_path):
    g = shopping()
    for name, text in (("net.svg", drawing.svg(g)), ("sub/net.dot", drawing.dot(g)), ("NET.SVG", drawing.svg(g))):
        drawing.draw(g, tmp_path / name)
        assert (tmp_path / name).read_text("utf-8") == text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["NET.SVG", "net.svg", "sub"]
    with pytest.raises(ValueError, match=r"draw: 'net.png' ends in .png; name a file that ends in .svg or .dot."):
        drawing.draw(g, tmp_path / "net.png")
    with pytest.raises(TypeError, match=r"draw: found a Affine; give a Graph or a Chain."):
        drawing.draw(Affine(array([1.0], [2.0]), array([0.0])), tmp_path / "net.svg")


def test_graphs_and_chains_draw_themselves(tmp_path):
    g, x, t = shopping(), R.normal(size=(2, 3)), np.array([0, 1])
    g.draw(tmp_path / "g.svg", title="Shopping")
    assert (tmp_path / "g.svg").read_text("utf-8") == drawing.svg(g, title="Shopping")
    assert g._repr_svg_() == drawing.svg(g)
    model = mlp()
    model.draw(tmp_path / "m.dot", x, t, open=("Affine",))
    assert (tmp_path / "m.dot").read_text("utf-8") == drawing.dot(model, x, t, open=("Affine",))
    assert model._repr_svg_() == drawing.svg(model)
    assert Chain(*(Tanh() for _ in range(300)))._repr_svg_() is None


def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "net.svg"
    drawing.draw(shopping(), path)
    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        drawing.draw(mlp(), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def check_dot(text):
    """The grammar of Graphviz, as far as these files use it: quoted and HTML-like strings, attribute lists."""
    token = re.compile(r'\s*("(?:[^"\\]|\\.)*"|\w[\w.]*|->|[\[\]{};=,]|<)', re.DOTALL)
    found, at = [], 0
    while text[at:].strip():
        m = token.match(text, at)
        assert m, text[at : at + 60]
        at, word = m.end(), m[1]
        if word == "<":  # to the bracket that closes it
            end, depth = at, 1
            while depth:
                depth += {"<": 1, ">": -1}.get(text[end], 0)
                end += 1
            ET.fromstring(f"<x>{text[at : end - 1]}</x>")
            at, word = end, "html"
        found.append(word)
    flat = " ".join(found)
    assert flat.startswith("digraph {") and flat.endswith("}") and found.count("{") == 1
    value = r'(?:"(?:[^"\\]|\\.)*"|[\w.]+)'
    list_ = rf"\[ \w+ = {value}(?: , \w+ = {value})* \]"
    statement = rf"(?:\w+ = {value}|(?:node|edge) {list_}|n\d+ {list_}|n\d+ -> n\d+(?: {list_})?) ;"
    assert re.fullmatch(rf"digraph \{{ (?:{statement} )*\}}", flat), flat


def test_the_graphviz_file_has_the_same_numbers():
    text = drawing.dot(shopping())
    check_dot(text)
    assert {"715", "2.2", "110", "3.3", "165", "650"} <= set(re.findall(r">([^<>]+)</font>", text))
    assert text.count("->") == 9
    check_dot(drawing.dot(mlp(), R.normal(size=(2, 3)), np.array([0, 1]), open=True))


# --- colours and room -----------------------------------------------------------------------------------------


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a, b):
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("light", [0, 1], ids=["light", "dark"])
def test_every_text_is_legible_on_what_lies_behind_it(light):
    on = {"paper": ("ink", "soft", "value", "gradient", "bad"), "alarm": ("value", "gradient", "bad"),
          "layer": ("ink", "soft"), "operator": ("ink", "soft"), "parameter": ("ink", "soft")}  # fmt: skip
    for behind, words in on.items():
        for word in words:
            assert contrast(PALETTE[word][light], PALETTE[behind][light]) >= 4.5, (word, behind)


def test_values_and_gradients_differ_in_grey_print_too():
    assert contrast(PALETTE["value"].light, PALETTE["gradient"].light) > 1.5
    svg = drawing.svg(shopping())
    for t in ET.fromstring(svg).iter(f"{SVG}text"):
        assert (t.get("font-style") == "italic") == (t.get("class") != "xpg-value" and not t.get("font-weight")) or (
            t.get("class") == "xpg-soft"
        )
    paths = [p for p in ET.fromstring(svg).iter(f"{SVG}path") if p.get("stroke-dasharray")]
    assert len(paths) == 9 and {p.get("class") for p in paths} == {"xpg-gradient-line"}


def test_dark_rules_change_every_colour_and_light_ones_are_attributes():
    svg = drawing.svg(mlp(), R.normal(size=(2, 3)), np.array([0, 1]))
    style = ET.fromstring(svg).find(f"{SVG}style").text
    assert style.startswith("@media(prefers-color-scheme:dark){")
    for part in ET.fromstring(svg).iter():
        for name in (part.get("class") or "").split():
            assert f".{name}{{" in style
        if part.tag in (f"{SVG}text", f"{SVG}path", f"{SVG}circle", f"{SVG}rect"):
            assert part.get("class") and (part.get("fill") or part.get("stroke"))


def pictures():
    x = R.normal(size=(2, 3))
    big = Chain(Affine(R.normal(size=(50, 20)), np.zeros(20)), Tanh())
    yield "shopping", drawing.svg(shopping())
    yield "network", drawing.svg(mlp(), x, np.array([0, 1]))
    yield "opened", drawing.svg(mlp(), x, np.array([0, 1]), open=True)
    yield "structure", drawing.svg(mlp())
    yield "large", drawing.svg(big, R.normal(size=(30, 50)))
    yield "names", drawing.svg(shopping([*NAMES[:4], "tax"]))
    odd = Picture("odd")
    a, b = odd.add(Vertex("layer", "W" * 12, "Mm" * 9)), odd.add(Vertex("word", "@%mw", "MMMM"))
    value, gradient = block(array([np.nan, -1.234e-300])), block(array([[-8.888e88] * 6] * 4))
    odd.edges.append(Edge(a, b, value, gradient, "M" * 16))
    yield "odd", render(odd)


def text_boxes(svg):
    """(text, left, top, right, bottom) of each text by the estimate that the layout uses."""
    for t in ET.fromstring(svg).iter(f"{SVG}text"):
        text, size = "".join(t.itertext()), float(t.get("font-size"))
        x, y, w = float(t.get("x")), float(t.get("y")), text_width(text, size, bool(t.get("font-weight")))
        left = x - w if t.get("text-anchor") == "end" else x - w / 2
        yield text, left, y - 0.76 * size, left + w, y + 0.2 * size


@pytest.mark.parametrize(("name", "svg"), list(pictures()), ids=lambda p: p if len(p) < 20 else "")
def test_texts_stand_apart_and_inside_the_picture(name, svg):
    root = ET.fromstring(svg)
    width, height = float(root.get("width")), float(root.get("height"))
    found = list(text_boxes(svg))
    for (s, a, b, c, d), (t, e, f, g, h) in itertools.combinations(found, 2):
        assert c <= e + 0.1 or g <= a + 0.1 or d <= f + 0.1 or h <= b + 0.1, (s, t)
    margin = 16  # the picture stands inside it
    assert all(left >= -margin and top >= -margin for _, left, top, _, _ in found)
    assert all(right <= width - margin and bottom <= height - margin for *_, right, bottom in found)


MEASURED = """[...document.querySelectorAll("svg")].map((svg) => [...svg.querySelectorAll("text")].map((t) => {
    const b = t.getBBox();
    return [t.textContent, b.x, b.width];
}))"""


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_no_text_is_wider_in_a_browser_than_the_layout_thinks(tmp_path):
    svgs = [svg for _, svg in pictures()]
    (tmp_path / "page.html").write_text(f"<!doctype html><meta charset=utf-8><body>{''.join(svgs)}", "utf-8")
    with Browser() as browser:
        browser.open(tmp_path / "page.html")
        seen = browser.ask(MEASURED)
    for svg, measured in zip(svgs, seen, strict=True):
        guessed = list(text_boxes(svg))
        assert len(guessed) == len(measured) > 0
        for (text, left, _, right, _), (same, x, width) in zip(guessed, measured, strict=True):
            assert text == same and width <= right - left + 0.5, (text, width, right - left)
            assert x >= left - 0.5


def test_the_committed_figures_are_those_that_the_code_draws():
    figures = ROOT / "docs" / "figures.py"
    if not figures.exists():
        pytest.skip("docs/figures.py is part of a checkout")
    scope = {"__file__": str(figures), "__name__": "figures"}
    exec(compile(figures.read_text("utf-8"), str(figures), "exec"), scope)
    for name, figure in scope["FIGURES"].items():
        assert (ROOT / "docs" / "img" / f"{name}.svg").read_text("utf-8") == figure(), f"{name}: run ci/docs"
