"""Floor 6: ``xpgraph verify``, the certificate that backends agree."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..arrays.libraries import place
from ..errors import DataError, StorageError
from ..graph.loading import load
from ..storage.atomic import write_file
from ..testing.verification.agreement import verify
from ..testing.verification.networks import Network, network, networks
from ..training.optimizers import OPTIMIZERS
from ..version import __version__
from .choices import Choices


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
    if not backends:
        raise ValueError("--backends names none; give some, such as numpy,cupy.")
    for name in backends:
        place(name)  # before any work: what cannot be used, or written, is said at once
    if lr is not None and optimizer is None:
        raise ValueError("--lr goes with --optimizer; give both.")
    if max_grad is not None and model is None and optimizer is None:
        raise ValueError("--max-grad goes with --model or --optimizer; give one of them too.")
    if out is not None:
        _writable(Path(out))
    certificates = []
    for dtype in dtypes:
        for chosen in _networks(model, optimizer, lr, max_grad, seed):
            found = verify(
                chosen.model, chosen.x, chosen.t, chosen.optimizer, backends=backends, dtype=dtype, steps=steps,
                seed=seed, max_grad=chosen.max_grad, network=chosen.name, batch_size=chosen.batch_size,
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
        write_file(Path(out), [(json.dumps(about, ensure_ascii=False) + "\n").encode()])
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
    """The model of a run goes on training, as the run did, on the run's data."""
    model, config = load(folder)
    if "choices" not in config:
        raise DataError(f"--model {folder} is no run's folder with a config.json; give the folder that train left.")
    choices = Choices(**config["choices"])
    data = choices.load()
    rule = rule or OPTIMIZERS[choices.optimizer](lr=choices.lr or 0.01)
    max_grad = choices.max_grad if max_grad is None else max_grad
    return Network(folder, model, data.x, data.t, rule, max_grad, choices.batch_size or 32)


def _writable(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise StorageError(f"--json {path}: {error.strerror or error}; choose a file that can be written.") from error
