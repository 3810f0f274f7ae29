"""The callbacks of a fit: history, the report and its live bar, checkpoints, a profile, the picture of the loss; early
stopping, the best weights and learning rates (schedules), which share a ``Monitor``.

Each is a ``Callback`` (training/callback.py) and sees the loop only through ``TrainingState``. The Trainer puts them in
order. A new one gets a file of its own here; it may import what training may, but not ``trainer``.
"""
