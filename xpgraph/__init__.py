"""xpgraph: the neural-network library of the Python array API standard.

The computational graph of nodes, layers, optimizers and a Trainer, written once over the namespace that the arrays
bring with them: NumPy on the CPU, CuPy on CUDA GPUs.
"""

import importlib
from collections.abc import Callable
from typing import Any

from .arrays.kernels import kernel
from .arrays.libraries import namespace, namespace_of, to_numpy
from .arrays.matmul_precision import precision
from .errors import (
    BackendError,
    CaptureError,
    DataError,
    DTypeError,
    Error,
    LibraryError,
    ModelFileError,
    NonFiniteError,
    OutOfMemoryError,
    ShapeError,
)
from .graph.chain import Chain, mlp
from .graph.evaluation import Evaluation
from .graph.graph import Graph
from .graph.loading import load
from .graph.network import PICTURES
from .nodes.axes import Concat, Reshape, Split, Transpose
from .nodes.basic import Add, Branch, MatMul, Multiply, Repeat
from .nodes.checks import check_floating, check_gradient
from .nodes.layers import Affine, ReLU, Sigmoid, Softmax, Tanh, softmax
from .nodes.losses import SoftmaxWithLoss, cross_entropy_loss
from .nodes.node import Node
from .nodes.operators import Divide, Dot, Exp, Log, Power, Subtract
from .nodes.reductions import Max, Mean, Sum
from .nodes.sharing import remove_duplicates
from .nodes.wires import Wire, parameter, record, wire
from .training.callback import Callback
from .training.callbacks import schedules
from .training.callbacks.early_stopping import EarlyStopping, KeepBest
from .training.callbacks.live import Live
from .training.callbacks.report import Lines, Report
from .training.callbacks.schedules import Plateau, Schedule
from .training.clipping import clip_grads
from .training.optimizers import SGD, AdaGrad, Adam, Momentum, Optimizer, RMSprop
from .training.trainer import Trainer
from .version import __version__ as __version__

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "Add",
    "Affine",
    "BackendError",
    "Branch",
    "Callback",
    "CaptureError",
    "Chain",
    "Concat",
    "DTypeError",
    "DataError",
    "Divide",
    "Dot",
    "EarlyStopping",
    "Error",
    "Evaluation",
    "Exp",
    "Graph",
    "KeepBest",
    "LibraryError",
    "Lines",
    "Live",
    "Log",
    "MatMul",
    "Max",
    "Mean",
    "ModelFileError",
    "Momentum",
    "Multiply",
    "Node",
    "NonFiniteError",
    "Optimizer",
    "OutOfMemoryError",
    "Plateau",
    "Power",
    "RMSprop",
    "ReLU",
    "Repeat",
    "Report",
    "Reshape",
    "Schedule",
    "ShapeError",
    "Sigmoid",
    "Softmax",
    "SoftmaxWithLoss",
    "Split",
    "Subtract",
    "Sum",
    "Tanh",
    "Trainer",
    "Transpose",
    "Wire",
    "check_floating",
    "check_gradient",
    "clip_grads",
    "cross_entropy_loss",
    "datasets",
    "kernel",
    "load",
    "mlp",
    "namespace",
    "namespace_of",
    "parameter",
    "precision",
    "record",
    "remove_duplicates",
    "schedules",
    "softmax",
    "to_numpy",
    "wire",
]


def _picture(name: str) -> Callable[..., Any]:
    return lambda *args, **options: getattr(importlib.import_module("xpgraph.pictures"), name)(*args, **options)


PICTURES.update({name: _picture(name) for name in ("draw", "svg", "explain")})  # loaded when a picture is wanted


def __getattr__(name: str) -> Any:
    if name == "datasets":  # loaded when it is first used: not everybody needs it
        return importlib.import_module("xpgraph.datasets")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
