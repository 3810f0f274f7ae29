"""``xpgraph verify``: train on several backends, and show at which node they differ, if they do."""

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
from .validation import split_validation


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
    """Verify each network in each dtype and print the certificates; True if all pass.

    ``model``: None, a name, sizes, or a run's folder. ``out``: a path for the certificates as JSON, or None. ``say``
    prints a line. Raises ValueError for options that do not fit each other, BackendError for a backend that is not
    usable, StorageError for a file that cannot be written, all before the first step.
    """
    if not backends:
        raise ValueError("--backends names none; give some, such as numpy,cupy.")
    for name in backends:
        place(name)
    chosen_networks = _networks(model, optimizer, lr, max_grad, seed)
    if out is not None:
        _check_writable(Path(out))
    certificates = []
    for dtype in dtypes:
        for chosen in chosen_networks:
            certificate = verify(
                chosen.model, chosen.x, chosen.t, chosen.optimizer, backends=backends, dtype=dtype, steps=steps,
                seed=seed, max_grad=chosen.max_grad, network=chosen.name, batch_size=chosen.batch_size,
            )  # fmt: skip
            say(certificate.text() + "\n")
            certificates.append(certificate)
    failed = [f"{each.network} in {each.dtype}" for each in certificates if not each.passed]
    if out is not None:
        report = {
            "xpgraph": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "passed": not failed,
            "certificates": [each.data() for each in certificates],
        }
        write_file(Path(out), [(json.dumps(report, ensure_ascii=False) + "\n").encode()])
        say(f"wrote {out}")
    say(f"fail: {', '.join(failed)}" if failed else "pass: the backends agree")
    return not failed


def _check_writable(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise StorageError(f"--json {path}: {error.strerror or error}; choose a file that can be written.") from error


def _networks(
    model: str | None, optimizer: str | None, lr: float | None, max_grad: float | None, seed: int
) -> list[Network]:
    """The networks to verify: all, the one that ``model`` names, or that of a run."""
    if lr is not None and optimizer is None:
        raise ValueError("--lr goes with --optimizer; give both.")
    if max_grad is not None and model is None and optimizer is None:
        raise ValueError("--max-grad goes with --model or --optimizer; give one of them too.")
    rule = None
    if optimizer is not None:
        rule = OPTIMIZERS[optimizer]() if lr is None else OPTIMIZERS[optimizer](lr=lr)
    if model is None and rule is None:
        return networks(seed)
    if model is not None and Path(model).exists():
        return [_trained(model, rule, max_grad)]
    return [network(model or "64-50-10", seed, rule, max_grad)]


def _trained(folder: str, rule: Any, max_grad: float | None) -> Network:
    """The trained model of a run, on the run's data, with its optimizer and clipping unless others are given."""
    model, config = load(folder)
    if "choices" not in config:
        raise DataError(f"--model {folder} is no run's folder with a config.json; give the folder that train wrote.")
    choices = Choices(**config["choices"])
    data, _ = split_validation(choices.load(), choices.validation, choices.seed)
    rule = rule or OPTIMIZERS[choices.optimizer](lr=choices.lr or 0.01)
    max_grad = choices.max_grad if max_grad is None else max_grad
    return Network(folder, model, data.x, data.t, rule, max_grad, choices.batch_size or 32)
