# %% [markdown]
# # Tied weights: an autoencoder
#
# An autoencoder squeezes its input through a few hidden units and has to give it back. Here the way out uses the matrix
# of the way in, transposed. Weights are shared by sharing the array: `W.T` is the same memory as `W`, so the two are
# one parameter, with the sum of both gradients and one update.

# %%
import numpy as np

from xpgraph import (
    Adam,
    Affine,
    Graph,
    Mean,
    Power,
    Report,
    Sigmoid,
    Subtract,
    Trainer,
    datasets,
    remove_duplicates,
    wire,
)

data = datasets.load("digits")
rng = np.random.default_rng(0)
W = rng.normal(0, 0.1, (64, 16)).astype("float32")

# %% [markdown]
# The loss is the mean square of what is lost on the way. It has no class of its own: it is a graph.

# %%
x, wanted = wire("x"), wire("wanted")
code = Sigmoid()(Affine(W, np.zeros(16, "float32"))(x))
restored = Sigmoid()(Affine(W.T, np.zeros(64, "float32"))(code))
loss = Mean(None, keepdims=False)(Power(2)(Subtract()(restored, wanted)))
model = Graph((x, wanted), loss)

model.forward(data.x, data.x)
model.backward()
params, _ = remove_duplicates(model.params, model.grads)
print(f"{len(model.params)} arrays, {len(params)} parameters")

# %% [markdown]
# The target is the input.

# %%
trainer = Trainer(model, Adam(lr=0.01))
trainer.fit(data.x, data.x, max_epoch=30, batch_size=50, eval_interval=20, report=Report())
print(f"mean square {trainer.loss_list[0]:.3f} at first, {trainer.loss_list[-1]:.3f} at last")

# %% [markdown]
# One digit, before and after 16 numbers.

# %%
encoded = Graph(x, restored).forward(data.x_test[:1])
for before, after in zip(data.x_test[0].reshape(8, 8), encoded[0].reshape(8, 8), strict=True):
    print("  ".join("".join(" .:*#"[min(4, int(5 * v))] * 2 for v in row) for row in (before, after)))
