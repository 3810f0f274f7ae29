"""The package behind ``ci/gpu``: everything that needs a GPU, checked and measured in parts by one runner.

A part is a row of the table in parts.py and one function of its file, ``run(context) -> result``:

* The context (results.py) says where the logs go, where MNIST lies, how many seconds are left, and whether this is a
  rehearsal on a machine without a GPU. In a rehearsal a part takes the same steps with small sizes.
* The result is a dict of plain data: "status" ("pass", "fail", "left out" or "not run"), "note" (one line), and the
  part's figures; "rows" if it is made of rows, each with a status and a note of its own.
* LeftOut(reason) says that a part or row cannot be run here, Failed(reason) that it went wrong in a known way. Any
  other exception fails that part or row alone.

A new part is a new file with such a function, and a row in parts.py with the seconds that are kept for it.

=============  =====================================================================================================
runner.py      arguments, the budget of time, the parts in their order, the summary, the exit code
parts.py       the table of the parts; part: the checklist, rows of captured.py (with driver.py), fits.py, costs.py
               and products.py
results.py     contexts, results, rows
children.py    child processes: logs, limits, ends
timing.py      seconds by CUDA events; the place of the arrays
machine.py     the GPU, its driver and clocks, versions
packages.py    --pack; the commit of the tree
suite.py       part: the test suite on CuPy
sanitizer.py   part: compute-sanitizer over its own program, which runs every kernel
training.py    parts: trainings on CuPy beside NumPy; the certificate
rivals.py      part: steps beside PyTorch and JAX
jobs.py        part: whole jobs, each a process of job.py
board.py       part: the suites of the asv board; --asv
=============  =====================================================================================================
"""
