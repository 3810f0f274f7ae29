"""The asv suites: speed and memory by backend and by body of the kernels. docs/benchmarks.md says how to run them.

``time_*`` are seconds, in which asv looks for regressions: ``asv continuous main HEAD --bench time_ --factor 1.5``.
(Not with --quick, which takes one sample.) ``track_*_unguarded`` are rates, shown beside them; asv would take every
increase of a rate for a regression.

``compare`` and ``compare_worker`` are ci/bench --compare, ``compare_proof`` tests it; ``rivals`` measures other
libraries.
"""
