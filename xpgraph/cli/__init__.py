"""The command line. ``app`` declares the commands and ``options`` their options; ``exit_codes`` turns errors into a
line on stderr and an exit code. Each command has a file of its own: ``train_command`` (with ``choices`` for the
settings of a run, ``training_run`` for one training, ``validation`` and ``callbacks`` for what steers it, and
``run_folder`` for its files), ``predict_command``, ``pictures_command``, ``verify_command``, ``info_command``.
``streams`` keeps a command running when its output cannot be written. Files here may import every other folder of the
package, and no folder imports them. To add a command, write ``<name>_command.py`` with a function that does the work
and raises the classes of ``xpgraph.errors``; then declare the command in ``app``, where the function is imported when
the command runs, so that ``xpgraph --help`` stays quick. To add an option of ``train``: ``options``, a field of
``Choices``, and docs/training.md.
"""
