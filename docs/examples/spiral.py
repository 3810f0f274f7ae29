# %% [markdown]
# # Three arms of a spiral
#
# Points in the plane that no straight line separates. A network with ten hidden units learns the three arms in about a
# second. At the end the plane is printed, each spot as the class that the network gives it.

# %%
import numpy as np

from xpgraph import (
    Affine,
    Chain,
    Momentum,
    Report,
    Sigmoid,
    SoftmaxWithLoss,
    Trainer,
    datasets,
)

data = datasets.load("spiral")
print(f"{len(data.x)} points, {data.classes} classes")

# %% [markdown]
# The weights are ordinary arrays. The model trains the very arrays that it is given.

# %%
rng = np.random.default_rng(1)
W1, b1 = rng.normal(0, 1, (2, 10)).astype("float32"), np.zeros(10, "float32")
W2, b2 = rng.normal(0, 0.3, (10, 3)).astype("float32"), np.zeros(3, "float32")
model = Chain(Affine(W1, b1), Sigmoid(), Affine(W2, b2), loss=SoftmaxWithLoss())

trainer = Trainer(model, Momentum(lr=0.1))
trainer.fit(data.x, data.t, max_epoch=300, batch_size=30, eval_interval=10, report=Report())
print(f"loss {trainer.loss_list[0]:.2f} at first, {trainer.loss_list[-1]:.2f} at last")
print(f"accuracy on points that it has not seen: {model.evaluate(data.x_test, data.t_test).accuracy:.2f}")

# %% [markdown]
# What did it learn? `predict` gives scores; the largest of a row is its class.

# %%
across, down = np.meshgrid(np.linspace(-1, 1, 48), np.linspace(1, -1, 24))
plane = np.stack([across.ravel(), down.ravel()], axis=1).astype("float32")
for row in model.predict(plane).argmax(axis=1).reshape(across.shape):
    print("".join(".o#"[c] for c in row))
