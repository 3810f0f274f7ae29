"""``grade``: an autograder for a course. It checks every class and function of the book that a student's file has.

``grader.py`` has ``grade`` and the table of what is known; ``source_file.py`` runs the file and compares numbers. One
file for each kind checks it: ``nodes.py``, ``losses.py``, ``functions.py``, ``optimizers.py``, ``trainer.py``.
``mistakes.py`` explains a wrong result if a usual mistake computes it: new mistakes go there.
``construction.py`` makes objects of classes whose arguments may have any name. ``formulas/`` and ``node_checks/`` may
be imported from the rest of ``testing/``.
"""
