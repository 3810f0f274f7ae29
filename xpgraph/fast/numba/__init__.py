"""Bodies for NumPy arrays compiled by numba, used where it is installed: one pass over the memory for each kernel.

numba is an optional helper of NumPy (the extra ``numba``): these bodies come before those in fast/numpy, which take
whatever the loops are not made for (other dtypes, arrays with gaps). ``nodes`` has the bodies of the kernels in
xpgraph/nodes, and what turns a loop into machine code; ``training`` those of xpgraph/training.

Loops run on one thread, or on the threads of blocks.py; numba's own would compete with those of BLAS.
"""

from . import nodes, training  # noqa: F401  (importing them declares their bodies)
