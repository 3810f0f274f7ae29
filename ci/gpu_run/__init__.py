"""The package behind ``ci/gpu``: everything that needs a GPU, checked and measured in parts by one runner.

A part is a row of the table in parts.py and one function of its file, ``run(context) -> result``:

* The context (results.py) says where the logs go, where MNIST lies, how many seconds are left, and whether this is a
  rehearsal on a machine without a GPU. In a rehearsal a part takes the same steps with small sizes.
* The result is a dict of plain data: "status" ("pass", "fail", "left out" or "not run"), "note" (one line), and the
  part's figures; "rows" if it is made of rows, each with a status and a note of its own.
* LeftOut(reason) says that a part or row cannot be run here, Failed(reason) that it went wrong in a known way. Any
  other exception fails that part or row alone.

A new part is a new file with such a function, and a row in parts.py with the seconds that are kept for it.

The first line of each file says what it is for.
"""
