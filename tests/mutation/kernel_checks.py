"""What looks for a mutant of the kernels: ``verify`` over small trainings, and ``check_node`` over the nodes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from xpgraph import Adam, Affine, Chain, Momentum
from xpgraph.nodes.basic import Add, Repeat
from xpgraph.nodes.losses import SoftmaxWithLoss
from xpgraph.nodes.operators import Power
from xpgraph.nodes.reductions import Max, Sum
from xpgraph.testing import check_node, verify
from xpgraph.testing.verification.matrix import cases
from xpgraph.testing.verification.networks import Network, network, networks

STEPS = 5


@cache
def trained() -> list[Network]:
    """The usual networks; probabilities as labels; arrays longer than a block of the fast updates, in either order."""
    usual = networks(0)
    soft = network("64-16-10", 0)
    soft = soft._replace(name="soft labels", t=0.9 * np.eye(10)[soft.t] + 0.05)
    long = [network("784-100-10", 0, rule) for rule in (None, Momentum(0.1), Adam(0.01, eps=0.1))]
    return [*usual, soft, *long, *(n._replace(name=f"{n.name} by columns", model=by_columns(n.model)) for n in long)]


def by_columns(model: Chain) -> Chain:
    """The same perceptron, the elements of its matrices in the order of their columns."""
    nodes = [Affine(np.asfortranarray(n.W), n.b) if isinstance(n, Affine) else n for n in model.nodes]
    return Chain(*nodes, loss=model.loss)


@cache
def checked() -> list[tuple[Any, Any]]:
    """The cases of docs/backends.md, and the other ways to call their nodes."""
    usual = cases()
    x = usual["Sum"][1]
    counts = np.array([[2, 0, 1, 0, 1], [0, 1, 0, 0, 0], [0, 0, 0, 3, 0], [1, 1, 1, 1, 1]])
    more = [(Sum(axis=None), x), (Sum(axis=1, keepdims=False), x), (Repeat(3), x), (Add(), (x[None], x[:, :1]))]
    return [*usual.values(), *more, (SoftmaxWithLoss(), (x, counts)), (Max(axis=()), x), (Power(0), x)]


def findings(dtype: str) -> Iterator[tuple[str, str, str]]:
    """What a user sees, in order: (by which check, of which node, in which words)."""
    for n in trained():
        try:
            found = verify(n.model, n.x, n.t, n.optimizer, max_grad=n.max_grad, dtype=dtype, steps=STEPS).first_failure
            if found:
                yield f"verify {n.name}", found.node.split()[-1], str(found)
        except Exception as error:
            yield f"verify {n.name}", "", f"{type(error).__name__}: {error}"
    for node, inputs in checked():
        for finding in check_node(node, inputs):
            yield "check_node", finding.name, str(finding)
