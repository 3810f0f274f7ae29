"""Faster bodies of kernels, one module or package for each array library.

A kernel is a function of arrays; a *body* is one implementation of it. The generic body stands beside the kernel and
runs on every library through the array API; a fast body replaces it for one library. ``arrays/kernels.py`` imports
``xpgraph.fast.<library>`` by name when it first meets an array of that library, and the import declares the bodies.
Nothing else imports this package; it may import the folders above it, to reach the kernels.

To add a fast body, write a function with the parameters of the generic body less ``xp`` under
``@<kernel>.fast("<library>")``, in ``<library>.py`` or, in ``numpy/`` and ``numba/``, in the module named like the
kernel's folder (nodes, training). tests/fast/test_every_body.py finds it and compares it with the generic body.

``blas``, ``blocks`` and ``buffers`` are tools of the bodies for NumPy arrays; ``cuda`` holds the CUDA kernels, cuBLASLt
and the captured steps behind the bodies for CuPy.
"""
