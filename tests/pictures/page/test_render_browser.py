"""The page in a real browser, wide and narrow: keys and clicks move through the steps, and the numbers are right."""

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from drawn import GOODS, T, X, mlp, shopping

from xpgraph import Chain, Momentum, Tanh

if CHROMIUM is None:
    pytest.skip("chromium is not installed", allow_module_level=True)
NOW = "document.querySelector('.step.now')"


@pytest.fixture(scope="module")
def browser():
    with Browser() as b:
        yield b


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    home = tmp_path_factory.mktemp("pages")
    shopping().explain(home / "shopping.html", *GOODS)
    mlp().explain(home / "net.html", X, T, optimizer=Momentum(0.1))
    Chain(Tanh()).explain(home / "wide.html", np.arange(60.0).reshape(2, 30) / 7)
    return home


def title(b):
    """The phase and the title of the step that is shown; only one is."""
    assert b.ask("[...document.querySelectorAll('.step')].filter(s => s.offsetHeight > 0).length") == 1
    return b.ask(f"{NOW}.querySelector('.phase').textContent + ' ' + {NOW}.querySelector('h2').textContent")


def shown(b, group):
    """{letters and name: number} of a group of the step that is shown."""
    section = f"[...{NOW}.querySelectorAll('.group')].find(g => g.querySelector('h3').textContent === '{group}')"
    pairs = b.ask(
        f"[...{section}.querySelectorAll('figure')].map(f => [f.querySelector('figcaption').innerText, "
        "f.querySelector('.number').innerText])"
    )
    return dict(pairs)


def drawn(b, way):
    """The numbers that can be seen in the picture."""
    return b.ask(
        f"[...document.querySelectorAll('[data-way={way}] text')]"
        ".filter(t => getComputedStyle(t).visibility === 'visible').map(t => t.textContent)"
    )


def fits(b):
    """Nothing sticks out of the page to the right."""
    return b.ask("document.documentElement.scrollWidth <= innerWidth")


WIDTHS = pytest.mark.parametrize("width", [375, 1280])


@WIDTHS
def test_the_keyboard_leads_from_the_first_forward_to_the_last_gradient(browser, pages, width):
    browser.screen(width, 800)
    browser.open(pages / "shopping.html")
    assert title(browser) == "Start What goes in"
    assert sorted(map(float, drawn(browser, "value"))) == [1.1, 2, 3, 100, 150]
    browser.press("ArrowRight")
    assert title(browser) == "Forward Multiply 1"
    assert shown(browser, "Out") == {"z result of Multiply 1": "200"}
    assert "650" not in drawn(browser, "value")
    browser.press(" ")
    browser.press("ArrowRight")
    browser.press("ArrowRight")
    assert title(browser) == "Forward Multiply 3"
    assert shown(browser, "Out") == {"z price": "715"}
    assert "715" in drawn(browser, "value")
    assert drawn(browser, "gradient") == []
    browser.press("ArrowRight")
    browser.press("ArrowRight")
    assert title(browser) == "Backward Multiply 3"
    assert shown(browser, "Local derivative") == {"∂z/∂x": "1.1", "∂z/∂y": "650"}
    assert sorted(map(float, drawn(browser, "gradient"))) == [1, 1.1, 650]
    found = dict(shown(browser, "Gradient out"))
    for _ in range(3):
        browser.press("ArrowRight")
        found |= shown(browser, "Gradient out")
        assert fits(browser)
    names = {name.split(" ", 1)[1]: number for name, number in found.items()}
    wanted = {"apple": "2.2", "apples": "110", "orange": "3.3", "oranges": "165", "tax": "650"}
    assert {name: names[name] for name in wanted} == wanted
    assert sorted(map(float, drawn(browser, "gradient"))) == [1, 1.1, 1.1, 1.1, 2.2, 3.3, 110, 165, 650]
    browser.press("End")
    assert title(browser) == "End What came of it"
    browser.press("ArrowRight")
    assert title(browser) == "End What came of it"
    browser.press("Home")
    browser.press("ArrowLeft")
    assert title(browser) == "Start What goes in"
    assert browser.errors == []


@WIDTHS
def test_buttons_lead_from_the_first_forward_to_the_last_update(browser, pages, width):
    browser.screen(width, 800)
    browser.open(pages / "net.html")
    titles, n = [title(browser)], browser.ask("document.querySelectorAll('.step').length")
    for _ in range(n - 1):
        browser.click("#next")
        titles.append(title(browser))
        assert fits(browser), titles[-1]
        assert browser.ask("document.getElementById('said').textContent").startswith(f"Step {len(titles)} of {n}, ")
    forward = ["Affine 1", "Sigmoid", "Affine 2", "SoftmaxWithLoss"]
    assert titles == [
        "Start What goes in",
        *(f"Forward {name}" for name in forward),
        "Backward Start with 1",
        *(f"Backward {name}" for name in forward[::-1]),
        *(f"Update {name}" for name in ("W1", "b1", "W2", "b2")),
        "End What came of it",
    ]
    assert browser.ask("document.getElementById('next').disabled")
    browser.click("#previous")
    assert title(browser) == "Update b2"
    cells = browser.ask(f"[...{NOW}.querySelectorAll('td')].map(c => Number(c.textContent))")
    before, gradient, after = np.reshape(cells[:4], (2, 2))[0], np.asarray(cells[2:4]), np.asarray(cells[4:6])
    assert np.allclose(after, before - 0.1 * gradient, atol=1e-3)  # four digits; Momentum begins as SGD
    browser.click("#first")
    assert title(browser) == "Start What goes in"
    browser.click("#last")
    assert float(shown(browser, "After the update")["L"]) < float(shown(browser, "Before the update")["L"])
    assert browser.errors == []


def test_a_click_on_a_node_leads_to_its_step_and_back_again(browser, pages):
    browser.screen(1280, 800)
    browser.open(pages / "shopping.html")
    node = "[data-vertex='7']"  # five inputs, two products, then the sum
    browser.click(node)
    assert title(browser) == "Forward Add"
    assert browser.ask(f"document.querySelector(\"{node}\").classList.contains('vertex-now')")
    browser.click(node)
    assert title(browser) == "Backward Add"
    browser.click("[data-vertex='8']")
    assert title(browser) == "Backward Multiply 3"
    browser.ask("document.querySelector(\"[data-vertex='5']\").focus()")
    browser.press("Enter")
    assert title(browser) == "Backward Multiply 1"
    browser.click("nav li:nth-child(3) a")
    assert title(browser) == "Forward Multiply 2"


def test_the_slider_and_the_address_lead_to_a_step(browser, pages):
    browser.screen(375, 700)
    browser.open(pages / "net.html", "#3")
    assert title(browser) == "Forward Sigmoid"
    browser.ask("document.getElementById('slider').focus()")
    browser.press("ArrowRight")
    assert title(browser) == "Forward Affine 2"
    assert browser.ask("location.hash") == "#4"
    assert browser.ask("document.getElementById('slider').getAttribute('aria-valuetext')") == "4 of 15"


def test_a_table_that_is_too_wide_scrolls_by_its_own_keys(browser, pages):
    browser.screen(375, 700)
    browser.open(pages / "wide.html", "#2")
    table = f"{NOW}.querySelector('.scroll')"
    assert browser.ask(f"{table}.scrollWidth > {table}.clientWidth")
    assert fits(browser)
    browser.ask(f"{table}.focus()")
    browser.press("ArrowRight")
    assert title(browser) == "Forward Tanh"
    browser.ask("document.activeElement.blur()")
    browser.press("ArrowRight")
    assert title(browser) == "Backward Start with 1"


def test_the_whole_graph_fits_if_asked(browser, pages):
    browser.screen(375, 700)
    browser.open(pages / "net.html")
    picture = "document.querySelector('.picture')"
    assert browser.ask(f"{picture}.scrollWidth > {picture}.clientWidth")
    browser.click("#fit")
    assert browser.ask(f"{picture}.scrollWidth <= {picture}.clientWidth")
    assert browser.ask("document.getElementById('fit').getAttribute('aria-pressed')") == "true"


def test_what_a_reader_of_the_screen_meets_has_a_name(browser, pages):
    browser.screen(375, 700)
    browser.open(pages / "net.html")
    nameless = (
        "[...document.querySelectorAll('button, input, [role=button], [role=region], nav')]"
        ".filter(e => !(e.getAttribute('aria-label') || '').trim()).length"
    )
    assert browser.ask(nameless) == 0
    small = "[...document.querySelectorAll('button')].filter(b => b.offsetWidth < 44 || b.offsetHeight < 44).length"
    assert browser.ask(small) == 0


def test_the_page_is_dark_where_the_screen_is(browser, pages):
    paper = "getComputedStyle(document.body).backgroundColor"
    browser.screen(1280, 800)
    browser.open(pages / "shopping.html")
    light = browser.ask(paper)
    browser.screen(1280, 800, dark=True)
    assert (light, browser.ask(paper)) == ("rgb(255, 255, 255)", "rgb(18, 22, 28)")


def test_without_a_script_every_step_is_there(browser, pages):
    browser.screen(375, 700)
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(pages / "shopping.html")
        assert browser.ask("[...document.querySelectorAll('.step')].every(s => s.offsetHeight > 0)")
        assert browser.ask("document.querySelector('.controls').offsetHeight") == 0
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


def test_no_request_leaves_the_file(browser, pages):
    browser.requests.clear()
    browser.screen(1280, 800)
    for name in ("shopping.html", "net.html"):
        browser.open(pages / name)
        for _ in range(browser.ask("document.querySelectorAll('.step').length")):
            browser.press("ArrowRight")
    assert [r for r in browser.requests if not r.startswith("data:")] == [
        (pages / name).as_uri() for name in ("shopping.html", "net.html")
    ]
    assert browser.errors == []
