# %% [markdown]
# # The same script on CuPy
#
# Nothing below the choice of the library knows which it was. The arrays carry it: a model made of CuPy arrays runs on
# the GPU. `xpgraph info` says what is installed and usable, and why something is not.

# %%
import numpy as np

import xpgraph as xg

try:
    backend, xp = "cupy", xg.namespace("cupy")
except xg.BackendError as error:
    print(error)
    backend, xp = "numpy", xg.namespace("numpy")
print("arrays by", backend)

# %% [markdown]
# The weights are drawn on the host and then moved, so that they start from the same bits everywhere.

# %%
rng = np.random.default_rng(0)


def drawn(*shape):
    return xp.asarray(rng.normal(0, 0.2, shape), dtype=xp.float32)


def zeros(n):
    return xp.zeros(n, dtype=xp.float32)


model = xg.Chain(
    xg.Affine(drawn(64, 30), zeros(30)),
    xg.ReLU(),
    xg.Affine(drawn(30, 10), zeros(10)),
    loss=xg.SoftmaxWithLoss(),
)

# %% [markdown]
# The data is NumPy's. `fit` moves it once, and `evaluate` too; results stay on the device until somebody asks for them.

# %%
data = xg.datasets.load("digits")
trainer = xg.Trainer(model, xg.Adam(lr=0.005))
trainer.fit(data.x, data.t, max_epoch=20, batch_size=50, report=xg.Report())
scores = model.predict(data.x_test)
print(type(scores).__module__, scores.shape, f"accuracy {model.evaluate(data.x_test, data.t_test).accuracy:.3f}")
print(xg.to_numpy(scores[:1]).round(1))
