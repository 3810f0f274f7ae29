# %% [markdown]
# # A callback of your own
#
# A callback watches a training, or steers it: `fit(..., callbacks=[...])` calls its methods at the moments of the loop.
# This one computes the average of the weights over the last steps (Polyak & Juditsky 1992) and puts it into the model
# when the training ends: the noise of single batches averages out.
#
# Override what you need: `begin(state)`, `step(state)`, `epoch(state, record)`, `end(state)`, and
# `interrupt(state, error)` for a training that is cut off. `state` tells what the loop knows: the model, the optimizer,
# `steps`, `epoch`, `history`, ...; `state.stop("why")` ends the training after the epoch.

# %%
import signal
import tempfile

import xpgraph as xg
from xpgraph.arrays.libraries import namespace_of


class Average(xg.Callback):
    """The mean of each parameter from step ``start`` on: mean ← mean + (W - mean) / n."""

    def __init__(self, start):
        self.start, self.n, self.means = start, 0, []

    def next_step(self, state):
        return max(self.start, state.steps + 1)  # before that, there is nothing to do

    def step(self, state):
        weights = [xg.to_numpy(p) for p in state.model.params]
        self.means = self.means or [0.0 * W for W in weights]
        self.n += 1
        self.means = [mean + (W - mean) / self.n for mean, W in zip(self.means, weights, strict=True)]

    def end(self, state):
        for p, mean in zip(state.model.params, self.means, strict=True):
            p[...] = namespace_of(p).asarray(mean)


# %%
data = xg.datasets.load("digits")


def train(*callbacks, folder=None):
    model = xg.mlp([64, 30, 10])
    trainer = xg.Trainer(model, xg.SGD(lr=2.0), checkpoint=folder)
    trainer.fit(data.x, data.t, max_epoch=9, batch_size=32, eval_interval=None, callbacks=callbacks)
    return trainer


for words, callbacks in (("the last weights:", []), ("their average:   ", [Average(315)])):
    print(words, f"loss {train(*callbacks).model.evaluate(data.x_test, data.t_test).loss:.3f}")

# %% [markdown]
# What a callback remembers is lost when a training is cut off, unless it says what that is. It does so as an optimizer
# does, by two members: `state` gives plain data (numbers, text, arrays, lists and dicts of them), `load_state` takes it
# back. The checkpoint stores it, and a resumed training ends with the same bits.


# %%
class Lasting(Average):
    """An average that is in the checkpoint."""

    @property
    def state(self):
        return {"n": self.n, "means": self.means}

    def load_state(self, state):
        self.n, self.means = state["n"], state["means"]


class CtrlC(xg.Callback):
    """A user who presses Ctrl-C after step 350."""

    def next_step(self, state):
        return 350 if state.steps < 350 else None

    def step(self, state):
        signal.raise_signal(signal.SIGINT)


with tempfile.TemporaryDirectory() as folder:
    try:
        train(Lasting(315), CtrlC(), folder=folder)
    except KeyboardInterrupt:
        print("Ctrl-C after step 350")
    again = Lasting(315)
    resumed = train(again, folder=folder)
same = all((a == b).all() for a, b in zip(resumed.model.params, train(Average(315)).model.params, strict=True))
print(f"resumed: {resumed.steps} steps, {again.n} in the average, and the same bits:", same)
