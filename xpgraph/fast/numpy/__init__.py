"""Bodies for NumPy: the same mathematics with fewer temporaries, because memory sets the pace, not arithmetic.

``nodes`` has the bodies of the kernels in xpgraph/nodes, ``training`` of those in xpgraph/training. Long arrays are
worked through in blocks that fit in the second-level cache (blocks.py), and large results reuse memory (buffers.py).
The asv board shows each body beside the generic one (``body`` = fast, namespace); one that stops paying is removed.
"""

from . import nodes, training  # noqa: F401  (importing them declares their bodies)
