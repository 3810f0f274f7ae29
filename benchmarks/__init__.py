"""The asv suites: how long it takes, by backend and by body of the kernels. docs/benchmarks.md tells how to run them.

``time_*`` are seconds and guarded: ``asv continuous main HEAD --bench time_ --factor 1.5``. Leave --quick out there:
it takes one sample. ``track_*_unguarded`` are rates, shown beside them: asv takes every increase for a regression.

``compare`` and its worker are ci/bench --compare; ``rivals`` measures other libraries.
"""
