"""One training step of xpgraph, timed beside that of other libraries: ``python -m benchmarks.rivals``.

Each contender runs in a process of its own, with its library's own threads and kernels, and only one of them works at
a time. All start from the same weights and see the same batches, and only those that compute the same losses are
compared. The times hold only for the machine that is named beside them.
"""
