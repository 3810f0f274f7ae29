"""Functions that read steps and numbers from the HTML of a page that steps through a run."""

import re
from html import unescape


def steps(page):
    """[(phase, title, {group: {letters and name: text}})] of a page."""
    found = []
    for body in re.findall(r'<article class="step .*?</article>', page, re.DOTALL):
        groups = {}
        for name, inside in re.findall(
            r'<section class="group"><h3>(.*?)</h3><div>(.*?)</div></section>', body, re.DOTALL
        ):
            groups[unescape(name)] = {
                words(label): words(shown)
                for label, shown in re.findall(r"<figcaption>(.*?)</figcaption>(.*?)</figure>", inside, re.DOTALL)
            }
        phase, title = re.search(r'class="phase">(.*?)</p><h2[^>]*>(.*?)</h2>', body).groups()
        found.append((phase, unescape(title), groups))
    return found


def words(html):
    """The text without the tags."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def numbers(html):
    """The cells of the only table in this HTML."""
    return [float(cell) for cell in re.findall(r"<td[^>]*>([^<…]+)</td>", html)]


def article(page, title, phase):
    """The HTML of the step with this title and phase."""
    (found,) = (body for body in re.findall(r'<article class="step .*?</article>', page, re.DOTALL)
                if f'class="step {phase}"' in body and f">{title}</h2>" in body)  # fmt: skip
    return found
