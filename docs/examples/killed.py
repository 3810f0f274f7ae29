# %% [markdown]
# # A training that is killed, and resumes
#
# The same program is run three times. The first run is ended by Ctrl-C in the middle of an epoch, the second resumes
# from the checkpoint that the first has written, the third finds nothing left to do. A fourth, in another folder, is
# never interrupted, and ends with the same weights, bit for bit.

# %%
import signal
import tempfile
from pathlib import Path

import xpgraph as xg

data = xg.datasets.load("digits")


def program(folder, seed=0, ctrl_c_after=None):
    """It would be a script of its own: each run makes model and optimizer again; only the folder remembers."""
    model = xg.mlp([64, 30, 10], seed=seed)
    trainer = xg.Trainer(model, xg.Adam(lr=0.01), checkpoint=folder, every=20)

    class Reader(xg.Report):
        """A user who watches, and presses Ctrl-C."""

        def note(self, text):
            print(" ", text.replace(str(folder), folder.name))

        def step(self, progress):
            if trainer.steps == ctrl_c_after:
                signal.raise_signal(signal.SIGINT)

    try:
        trainer.fit(data.x, data.t, max_epoch=3, batch_size=32, eval_interval=5, report=Reader())
    except KeyboardInterrupt as stopped:
        print(" ", "KeyboardInterrupt:", *(note.replace(str(folder), folder.name) for note in stopped.__notes__))
    return trainer


# %% [markdown]
# The second run starts from other weights (`seed=1`), to show that it does not use them.

# %%
with tempfile.TemporaryDirectory() as place:
    print("killed:")
    killed = program(Path(place) / "run", ctrl_c_after=61)
    print("run again:")
    resumed = program(Path(place) / "run", seed=1)
    print("and again:")
    program(Path(place) / "run")
    print("never interrupted:")
    straight = program(Path(place) / "other")

# %%
same = all((a == b).all() for a, b in zip(resumed.model.params, straight.model.params, strict=True))
print(killed.steps, "steps, then up to", resumed.steps, "and the same bits:", same)
print(f"accuracy {resumed.model.evaluate(data.x_test, data.t_test).accuracy:.3f}")
