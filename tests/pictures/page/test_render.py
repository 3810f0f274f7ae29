"""The HTML of the page: it changes no model, asks for no other file, stays small, and works on every library."""

import re

import numpy as np
import pytest
from drawn import GOODS, T, X, array, mlp, shopping
from explained import steps, words

from xpgraph import SGD, Adam, Affine, Chain, Momentum, Sigmoid, SoftmaxWithLoss, Tanh
from xpgraph.pictures.page import page as page_of
from xpgraph.training.optimizers import OPTIMIZERS

# --- what does not change, what is refused ------------------------------------------------------------------


def test_the_model_and_the_optimizer_stay_as_they_were(tmp_path):
    model, optimizer = mlp(), Adam(0.1)
    model.forward(X, T)
    model.backward()
    optimizer.update(model.params, model.grads)
    before = [a.copy() for a in (*model.params, *model.grads, *optimizer.m, *optimizer.v)]
    x = X.copy()
    model.explain(tmp_path / "step.html", x, T, optimizer=optimizer)
    after = [*model.params, *model.grads, *optimizer.m, *optimizer.v]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert np.array_equal(x, X)
    assert optimizer.iter == 1
    g = shopping()
    values = {w: float(a) for w, a in g.values.items()}
    g.explain(tmp_path / "step.html", *(array(1.0) for _ in GOODS))
    assert {w: float(a) for w, a in g.values.items()} == values


def test_names_cannot_break_out_of_the_page():
    evil = "</script><img src=x onerror=alert(1)>\"'&"
    g = shopping((evil, "</svg>", "<b>", "'\"", "{tax}"))
    page = page_of(g, *GOODS, title=evil)
    assert "<img" not in page
    assert "<b><b>" not in page
    assert page.count("</svg>") == 1 + 4  # the picture and the icons
    assert page.count("</script>") == 2
    assert "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;" in page
    assert "innerHTML" not in page


def test_the_page_asks_for_nothing_from_outside():
    page = page_of(mlp(), X, T)
    assert set(re.findall(r"https?://[^\s\"']+", page)) <= {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in page
    assert not re.search(r"<link(?! rel=\"icon\" href=\"data:,\")|@import|url\(", page)


def test_the_page_of_a_large_network_stays_small():
    r = np.random.default_rng(0)
    W1, W2 = r.normal(size=(784, 50)).astype("f4"), r.normal(size=(50, 10)).astype("f4")
    net = Chain(Affine(W1, np.zeros(50, "f4")), Sigmoid(), Affine(W2, np.zeros(10, "f4")), loss=SoftmaxWithLoss())
    page = page_of(net, r.normal(size=(100, 784)).astype("f4"), r.integers(0, 10, 100))
    assert len(page.encode()) < 400_000


def test_the_same_run_gives_the_same_bytes():
    assert page_of(shopping(), *GOODS) == page_of(shopping(), *GOODS)


def test_the_page_is_marked_up_for_screen_readers():
    page = page_of(mlp(), X, T)
    assert '<html lang="en">' in page
    assert 'role="status" aria-live="polite"' in page
    for name in ("First step", "Previous step", "Next step", "Last step", "Step", "All steps", "The graph"):
        assert f'aria-label="{name}"' in page
    assert len(re.findall("<h1", page)) == 1
    assert "prefers-reduced-motion" in page
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_mistakes_are_refused():
    with pytest.raises(TypeError, match=r"explain: found a Tanh; give a Graph or a Chain"):
        page_of(Tanh(), X)
    with pytest.raises(TypeError, match="no arrays came"):
        page_of(mlp())
    with pytest.raises(TypeError, match=r"the optimizer is .*; give an object with update"):
        page_of(mlp(), X, T, optimizer=SGD)
    with pytest.raises(ValueError, match=r"'step.pdf' ends in .pdf; name a file that ends in .html"):
        mlp().explain("step.pdf", X, T)


def test_a_file_is_replaced_only_when_the_page_is_complete(tmp_path):
    path = tmp_path / "deep" / "step.html"
    shopping().explain(path, *GOODS)
    before = path.read_bytes()
    with pytest.raises(Exception, match="Multiply"):
        shopping().explain(path, *(np.ones(3), np.ones(2)), *GOODS[2:])
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["step.html"]


# --- every library, every optimizer -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", OPTIMIZERS.values())
def test_every_optimizer_says_its_rule_and_the_numbers_that_it_took(kind):
    page = page_of(mlp(), X, T, optimizer=kind())
    settings = words(re.search(r'<p class="settings">(.*?)</p>', page)[1])
    letters = [part.split(" = ")[0] for part in settings.partition("): ")[2].split(", ")]
    rule = words(re.findall(r'<p class="formula">([^<]*←[^<]*)</p>', page)[0])
    assert letters and all(letter in rule for letter in letters), (letters, rule)


def test_every_library_can_be_explained(lib):
    W, b = lib.array(np.ones((3, 2)) * 0.5), lib.array(np.zeros(2))
    net = Chain(Affine(W, b), Sigmoid(), loss=SoftmaxWithLoss())
    other = Chain(Affine(np.ones((3, 2)) * 0.5, np.zeros(2)), Sigmoid(), loss=SoftmaxWithLoss())
    page = page_of(net, lib.array(X), lib.array(T), optimizer=Momentum(0.1))
    assert steps(page) == steps(page_of(other, X, T, optimizer=Momentum(0.1)))
