"""Training: optimizers, the loop over the data, and the callbacks that watch and steer it.

``Trainer.fit`` (trainer) is the loop; it works on a ``TrainingState`` (state) and makes its updates through ``Steps``
(steps). Whatever else a fit does is a ``Callback`` (callback), and ours lie in ``callbacks``: history, report,
checkpoints, profile, plot, early stopping, schedules. Arguments and data are checked in arguments, numbers in checks;
optimizers and update_rules hold the mathematics; snapshot turns a state into what a checkpoint holds. Import from here
arrays, storage, nodes and graph, never the command line, pictures or testing. A new optimizer: update_rules and
optimizers. A new callback: a file in ``callbacks``. Anything about what is counted: state and losses, which the loop
and ``snapshot.restore`` alone write.
"""
