"""Plant faults one by one, and see whether ``verify`` or ``check_node`` finds them, and where they point.

    python tests/fault_trials.py [--count 100] [--seed 0]

Exit 1 unless 95 of 100 are caught and 90 named; 2 if something is found where nothing is planted.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from faults import Fault, body_of, draw, planted
from mutations import EPS

from xpgraph import Adam, Affine, Chain, Momentum, cross_entropy_loss
from xpgraph.arrays.kernels import TABLE
from xpgraph.graph.text_table import columns
from xpgraph.nodes.basic import Add, Repeat
from xpgraph.nodes.losses import SoftmaxWithLoss
from xpgraph.nodes.node import Node
from xpgraph.nodes.operators import Power
from xpgraph.nodes.reductions import Max, Sum
from xpgraph.nodes.sharing import merge
from xpgraph.testing import check_node
from xpgraph.testing.verification import agreement as verify
from xpgraph.testing.verification.matrix import cases
from xpgraph.testing.verification.networks import Network, network, networks
from xpgraph.training.clipping import clip_grads
from xpgraph.training.optimizers import OPTIMIZERS

STEPS = 5
CAUGHT, NAMED = 0.95, 0.90


class Report(NamedTuple):
    """The first thing that is reported: by which check, of which node, in which words."""

    by: str
    node: str
    words: str


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
    more = [
        (Sum(axis=None), x),
        (Sum(axis=1, keepdims=False), x),
        (Repeat(3), x),
        (Add(), (x[None], x[:, :1])),
        (SoftmaxWithLoss(), (x, counts)),
        (Max(axis=()), x),
        (Power(0), x),
    ]
    return [*usual.values(), *more]


def report(dtype: str) -> Report | None:
    """What a user sees first: the first failure of ``verify``, else a finding of ``check_node``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n in trained():
            try:
                found = verify(n.model, n.x, n.t, n.optimizer, max_grad=n.max_grad, dtype=dtype, steps=STEPS)
            except Exception as error:
                return Report(f"verify {n.name}", "", f"{type(error).__name__}: {error}")
            if found.first_failure:
                return Report(f"verify {n.name}", found.first_failure.node.split()[-1], str(found.first_failure))
        for node, inputs in checked():
            for finding in check_node(node, inputs):
                return Report("check_node", finding.name, str(finding))
    return None


# --- which names are right ------------------------------------------------------------------------------------


def names(kernel: str) -> set[str]:
    """The nodes and pseudo-nodes that run a kernel."""
    ours = [c for c in Node.__subclasses__() if c.__module__.startswith("xpgraph.")]  # other tests make some too
    things: dict[str, Any] = {c.__name__: c for c in (*ours, *OPTIMIZERS.values())}
    things |= {"sharing": merge, "clip_grads": clip_grads, "cross_entropy_loss": cross_entropy_loss}
    return {name for name, thing in things.items() if kernel in _kernels(thing)}


@cache
def _kernels(thing: Any) -> set[str]:
    """The kernels that a class or a function calls, through whichever functions of the library."""
    scope = vars(sys.modules[thing.__module__])
    found: set[str] = {thing.rule.row.name} if hasattr(getattr(thing, "rule", None), "row") else set()
    for word in set(re.findall(r"\b(\w+)\(", inspect.getsource(thing))) - {thing.__name__}:
        called = scope.get(word)
        if hasattr(called, "row"):
            found |= {word}.union(*(_kernels(f) for f in _bodies(word)))
        elif inspect.isfunction(called) and called.__module__.startswith("xpgraph."):
            found |= _kernels(called)
    return found


def _bodies(kernel: str) -> Iterator[Callable[..., Any]]:
    for library in ("", *({"numpy"} & TABLE[kernel].fast_bodies.keys())):
        yield body_of(kernel, library)


# --- the experiment -------------------------------------------------------------------------------------------


class Trial(NamedTuple):
    fault: Fault
    found: Report | None

    @property
    def named(self) -> bool:
        return self.found is not None and self.found.node in names(self.fault.kernel)


def trial(fault: Fault) -> Trial:
    with planted(fault):
        return Trial(fault, report(fault.dtype))


def _table(trials: list[Trial]) -> str:
    rows = [("", "kernel", "body", "line", "kind", "dtype", "caught by", "named")]
    for i, (fault, found) in enumerate(trials, 1):
        body = fault.library or "generic"
        by, node = (found.by, found.node or "-") if found else ("-", "-")
        named = node if trials[i - 1].named or not found else f"not: {node}"
        rows.append((str(i), fault.kernel, body, f"{fault.function}:{fault.line}", fault.kind, fault.dtype, by, named))
    return "\n".join(columns(rows))


def _change(t: Trial) -> str:
    f = t.fault
    where = f"{f.kernel} ({f.library or 'generic'}), {f.function}:{f.line}, {f.kind}, {f.dtype}"
    said = f"\n    said: {t.found.words}" if t.found else ""
    return f"  {where}\n    was:  {f.before}\n    is:   {f.after}{said}"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Plant faults in the kernels, and count what the checks find.")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    for dtype in EPS:
        if found := report(dtype):
            print(f"nothing is planted, yet: {found.by}: {found.words}", file=sys.stderr)
            return 2
    trials = [trial(fault) for fault in draw(asked.count, asked.seed)]
    caught, named = [t for t in trials if t.found], [t for t in trials if t.named]
    print(_table(trials))
    for title, some in (
        ("survivors", [t for t in trials if not t.found]),
        ("caught, but another place named", [t for t in caught if not t.named]),
    ):
        print(f"\n{title}: {len(some)}", *map(_change, some), sep="\n")
    print(f"\ncaught {len(caught)} of {len(trials)}, named {len(named)}")
    return int(len(caught) < CAUGHT * len(trials) or len(named) < NAMED * len(trials))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
