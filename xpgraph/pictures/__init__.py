"""Pictures of graphs: ``drawing`` writes SVG and Graphviz files, ``page`` an HTML page to step through a run.

May import all folders above it in the house (graph/ and training/ above all). A new format of files: a renderer beside
``drawing/svg.py``; another layout: ``drawing/layout``; what a step of the page says: ``page/steps.py``.
"""

from .drawing import draw, svg
from .page import explain

__all__ = ["draw", "explain", "svg"]
