# %% [markdown]
# # When to stop, and whose weights to keep
#
# A network that is trained for long enough learns its training rows by heart. Rows that it does not train on show when
# that begins: their loss falls at first, then rises. `EarlyStopping` ends the training there, and `KeepBest` puts the
# weights of the best epoch back.

# %%
import xpgraph as xg
from xpgraph import EarlyStopping, KeepBest, Schedule, schedules

data = xg.datasets.load("digits")
x, t = data.x[:300], data.t[:300]  # few rows, so that it begins early
validation = data.x[300:500], data.t[300:500]  # what is chosen, is chosen on these, and never on the test rows


def train(*callbacks):
    trainer = xg.Trainer(xg.mlp([64, 50, 10], "relu", init="he"), xg.Adam(lr=0.01))
    trainer.fit(x, t, 60, 20, eval_interval=None, validation=validation, callbacks=callbacks, report=Notes())
    return trainer


class Notes(xg.Report):
    """Prints what callbacks have to say."""

    def note(self, text):
        print(text)


def show(words, trainer):
    loss = trainer.model.evaluate(*validation).loss
    print(f"{words}: {trainer.current_epoch} epochs, validation loss {loss:.3f}")


# %%
show("to the end", train())
show("stopped early", train(EarlyStopping(patience=5), KeepBest()))

# %% [markdown]
# The learning rate may change, too: a rise over the first 50 updates, then along half a cosine down to 0. `step`,
# `cosine` and `warmup` are made for it; any function of the update's (or epoch's) number will do.

# %%
updates = 60 * 15  # 60 epochs of 15 updates
rates = Schedule(schedules.warmup(50, then=schedules.cosine(updates - 50)), by="step")
trainer = train(rates, KeepBest())
show("with a schedule", trainer)
print(
    "rates:", *(f"{record['lr']:.4f}" for record in trainer.history[::12]), "then", f"{trainer.history[-1]['lr']:.4f}"
)
print(f"test accuracy {trainer.model.evaluate(data.x_test, data.t_test).accuracy:.3f}")
