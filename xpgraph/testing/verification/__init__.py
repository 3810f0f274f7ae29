"""``verify``: one network is trained on several backends beside a float64 oracle, and compared node by node.

``agreement.py`` has ``verify``. ``oracle.py`` is the oracle: a training in float64 on NumPy, by the textbook's
formulas, that is taken as the truth. ``backend_run.py`` is the same training on one backend, and what is checked in it;
``tolerances.py`` how far two trainings may part, ``certificate.py`` the result.
``networks.py`` has the usual networks, and ``matrix.py`` writes docs/backends.md: a new node goes into both.
``formulas/``, ``node_checks/`` and ``tape.py`` may be imported from the rest of ``testing/``.
"""
