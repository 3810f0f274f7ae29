"""The callbacks of a fit: history, the report and its live bar, checkpoints, a profile, the picture of the loss; early
stopping, the best weights and learning rates (schedules), which share a ``Monitor``.

Each is a ``Callback`` of ``training/callback.py`` and knows the loop through the state alone. ``Trainer.fit`` puts them
in order. Add one in a file of its own; import from ``training`` its state and callback modules, never the trainer.
"""
