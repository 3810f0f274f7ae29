"""Training: optimizers, the loop over the data, and the callbacks that watch and steer it.

``Trainer.fit`` (trainer) is the loop. It counts in a ``TrainingState`` (state) and makes its updates with ``Steps``
(steps). Everything else that happens in a fit is a ``Callback`` (callback): history, report, checkpoints, profile,
plot, early stopping and schedules, in the folder ``callbacks``. arguments checks what ``fit`` is given; optimizers and
update_rules hold the mathematics; snapshot turns a state into the content of a checkpoint, and back. Only the loop and
``snapshot.restore`` write what state and losses count. This folder may import arrays, storage, nodes and graph. A new
optimizer goes into update_rules and optimizers, a new callback into a file of ``callbacks``.
"""
