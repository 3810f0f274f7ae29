"""Arrays of any library: which libraries there are, where arrays live, the table of kernels, portable random numbers.

May import only ``errors``. For another array library add a row to ``LIBRARIES`` in ``libraries.py``, with its functions
in ``memory.py``; what to install for it is in ``installed.py``. How a kernel finds its body is in ``kernels.py``.
"""
