"""Floor 6: ``xpgraph verify``, the certificate that backends agree."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import __version__, datasets
from .commands import Choices
from .files import load
from .namespace import place
from .optimizers import OPTIMIZERS
from .testing.networks import Network, network, networks
from .testing.verify import verify


def run(
    backends: Sequence[str],
    dtypes: Sequence[str],
    steps: int,
    model: str | None,
    optimizer: str | None,
    lr: float | None,
    max_grad: float | None,
    seed: int,
    out: str | None,
    say: Any,
) -> bool:
    """Verify each network in each dtype, say what was found, write it as JSON to ``out``; True if all passed."""
    for name in backends:
        place(name)  # before any work: what cannot be used is said at once
    certificates = []
    for dtype in dtypes:
        for chosen in _networks(model, optimizer, lr, max_grad, seed):
            found = verify(
                chosen.model, chosen.x, chosen.t, chosen.optimizer, backends=backends, dtype=dtype, steps=steps,
                seed=seed, max_grad=chosen.max_grad, network=chosen.name,
            )  # fmt: skip
            say(found.text() + "\n")
            certificates.append(found)
    passed = all(found.passed for found in certificates)
    if out is not None:
        about = {
            "xpgraph": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "passed": passed,
            "certificates": [found.data() for found in certificates],
        }
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        Path(out).write_text(json.dumps(about, ensure_ascii=False) + "\n", "utf-8")
        say(f"wrote {out}")
    failed = [f"{found.network} in {found.dtype}" for found in certificates if not found.passed]
    say("pass: the backends agree" if passed else f"fail: {', '.join(failed)}")
    return passed


def _networks(
    model: str | None, optimizer: str | None, lr: float | None, max_grad: float | None, seed: int
) -> list[Network]:
    rule = None
    if optimizer is not None:
        rule = OPTIMIZERS[optimizer]() if lr is None else OPTIMIZERS[optimizer](lr=lr)
    if model is None and rule is None:
        return networks(seed)
    if model is not None and Path(model).exists():
        return [_trained(model, rule, max_grad)]
    return [network(model or "64-50-10", seed, rule, max_grad)]


def _trained(folder: str, rule: Any, max_grad: float | None) -> Network:
    """The model of a run goes on training, on the run's data."""
    model, config = load(folder)
    choices = Choices(**config["choices"]) if "choices" in config else Choices()
    data = datasets.load(choices.data, data_dir=choices.data_dir, seed=choices.seed)
    return Network(
        folder, model, data.x, data.t, rule or OPTIMIZERS[choices.optimizer](lr=choices.lr or 0.01), max_grad
    )
