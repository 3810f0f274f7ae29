"""The textbook's formulas, in NumPy, written apart from the nodes and kernels so that both do not go wrong together.

``textbook.py`` and ``operators.py`` have the forward and backward of every node (``FORMULAS``), ``update_rules.py`` the
optimizers' rules (``RULES``) and gradient clipping, ``formula.py`` what a formula is and how far a result may lie from
it. Nothing of the library may be imported here: ``verification/``, ``grading/`` and the tests judge the library by
these files. A new node needs a formula here, a new optimizer a rule.
"""
