"""Files that are whole: there, and unchanged since they were written, or not there at all.

atomic.py writes a file that appears only when it is complete, and locks a folder for one run; tensorfile.py writes
named arrays with a sha256 of every part, and tensor_reader.py reads and checks them; packing.py turns Python values
into arrays and JSON; checkpoints.py manages the checkpoints of a run folder. Imports ``arrays``, and knows nothing of
models: ``graph`` decides what a model file holds, ``training`` what a checkpoint holds.
"""
