"""Mutation testing: are the tests any good? Change the code in one small place, and see whether the tests notice.

* A *mutant* is a source with one change; a *mutation operator* is a kind of change ("comparison": < becomes <=).
* A mutant is *killed* when a check fails, the process crashes, or it does not end in time; else it *survives*.
* An *equivalent mutant* gives the same results as the source, so that no test can kill it (``equivalents``).
* The *mutation score* is the part of the mutants that is killed.

``python tests/mutation kernels|core|cuda`` has three targets: the kernels on NumPy, the modules of the core, and the
CUDA path on the CPU. ``ci/faults`` and ``ci/soak`` run it. ``changes``: how a source is changed, and which changes are
drawn. ``trials``: each mutant in a process of its own, the report, the exit code.
"""
