"""Pictures of graphs: ``drawing`` makes SVG and Graphviz files, ``page`` an HTML page that steps through a run.

May import all folders above this one in the table of CONTRIBUTING.md; what it shows comes from graph/. For another
file format, write a renderer beside ``drawing/svg.py`` and add it to ``FORMATS``. Where things stand in a picture is
decided in ``drawing/layout/``, how a node looks in ``drawing/picture.py``, what a step of the page says in
``page/steps.py``.
"""

from .drawing import draw, svg
from .page import explain

__all__ = ["draw", "explain", "svg"]
