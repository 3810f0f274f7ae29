"""Nodes put together: Chain and Graph, and what a whole model can do.

chain.py is a row of nodes, graph.py any network; network.py has what both share. Under
a Graph: wired.py (wires, calls, parameters), plan.py (the order, worked out once), slots.py (one run). inputs.py checks
data and moves it to the model; evaluation.py predicts and evaluates; saving.py and loading.py write and read model
files; gradient_check.py compares gradients with differences. Imports ``arrays``, ``storage`` and ``nodes``.
"""
