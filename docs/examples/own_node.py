# %% [markdown]
# # A node of your own
#
# PReLU is a rectifier whose slope for negative numbers is learned (He et al. 2015, arXiv:1502.01852):
#
# y = x where x > 0, else a x; dx = dy where x > 0, else a dy; da = the sum of dy x where x is not positive.
#
# Its mathematics is two kernels, pure functions written over `xp`, the namespace of the arrays. So it runs wherever its
# arrays live.

# %%
import numpy as np

from xpgraph import (
    Affine,
    Chain,
    Momentum,
    Report,
    SoftmaxWithLoss,
    Trainer,
    datasets,
    kernel,
)
from xpgraph.nodes.node import Node
from xpgraph.testing import check_node


@kernel
def prelu(xp, x, a):
    """y = x where x > 0, else a x"""
    return xp.where(x > 0, x, a * x)


@kernel
def prelu_grad(xp, dy, x, a):
    """dx = dy where x > 0, else a dy; da = Σ dy x where x ≤ 0"""
    return xp.where(x > 0, dy, a * dy), xp.sum(xp.where(x > 0, xp.zeros_like(x), dy * x))


class PReLU(Node):
    """y = x where x > 0, else a x        dx = dy where x > 0, else a dy; da = Σ dy x where x ≤ 0. a is (1,)."""

    names = ("a",)  # of the parameters, as they are given to the constructor
    saved = ("x",)  # what forward stores for backward

    def forward(self, x):
        self.x = x
        return prelu(x, self.params[0])

    def backward(self, dy):
        dx, da = prelu_grad(dy, self.x, self.params[0])
        self.grads[0][...] = da  # in place: the array stays the same
        return dx


# %% [markdown]
# Is it right? `check_node` compares its gradients with differences, and more. Then a version with a mistake in it.


# %%
class Careless(PReLU):
    """Forgets the slope in dx."""

    def backward(self, dy):
        super().backward(dy)
        return dy


x = np.random.default_rng(0).normal(size=(6, 4))
print("PReLU:", check_node(PReLU(np.asarray([0.25])), inputs=x) or "nothing found")
print("Careless:", *check_node(Careless(np.asarray([0.25])), inputs=x)[:1])

# %% [markdown]
# It trains like any other node. The slope starts at 0.25 and goes where the data wants it.

# %%
rng = np.random.default_rng(1)
slope = np.asarray([0.25])
model = Chain(
    Affine(rng.normal(0, 1, (2, 16)), np.zeros(16)),
    PReLU(slope),
    Affine(rng.normal(0, 0.4, (16, 3)), np.zeros(3)),
    loss=SoftmaxWithLoss(),
)
data = datasets.load("spiral", dtype="float64")
Trainer(model, Momentum(lr=0.05)).fit(data.x, data.t, max_epoch=100, batch_size=30, report=Report())
print(f"accuracy {model.evaluate(data.x_test, data.t_test).accuracy:.2f}, slope {slope[0]:.2f}")
