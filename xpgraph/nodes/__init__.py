"""The mathematics: nodes, one file a family.

node.py says what a node is; checks.py, copying.py, sharing.py and wires.py are what all nodes share. Each
family has its kernels, pure functions written over ``xp``, and its classes, whose docstrings are the formulas: basic,
reductions, axes, operators, layers, losses. A file here imports ``arrays`` and its neighbours, never a graph or an
optimizer, and no array library by name. A new node goes into the file of its family, or into one of its own.
"""
