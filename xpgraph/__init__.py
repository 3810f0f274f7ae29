"""xpgraph: the neural-network library of the Python array API standard.

The computational graph of nodes, layers, optimizers and a Trainer, written once over the namespace that the arrays
bring with them: NumPy on the CPU, CuPy on CUDA GPUs.
"""

__version__ = "0.1.0"  # first: it is read while the rest is imported

import importlib
from typing import Any

from .axes import Concat, Max, Mean, Reshape, Split, Transpose
from .clipping import clip_grads
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
from .files import load
from .graph import Graph
from .kernel import kernel
from .layers import Affine, ReLU, Sigmoid, Softmax, Tanh, softmax
from .live import Live
from .losses import SoftmaxWithLoss, cross_entropy_loss
from .models import Chain, Evaluation, mlp
from .namespace import namespace, to_numpy
from .node import Node
from .nodes import Add, Branch, MatMul, Multiply, Repeat, Sum
from .operators import Divide, Dot, Exp, Log, Power, Subtract
from .optimizers import SGD, AdaGrad, Adam, Momentum, Optimizer, RMSprop
from .precision import precision
from .report import Lines, Report
from .sharing import remove_duplicates
from .trainer import Trainer
from .wires import Wire, parameter, record, wire

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "Add",
    "Affine",
    "BackendError",
    "Branch",
    "CaptureError",
    "Chain",
    "Concat",
    "DTypeError",
    "DataError",
    "Divide",
    "Dot",
    "Error",
    "Evaluation",
    "Exp",
    "Graph",
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
    "Power",
    "RMSprop",
    "ReLU",
    "Repeat",
    "Report",
    "Reshape",
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
    "clip_grads",
    "cross_entropy_loss",
    "datasets",
    "kernel",
    "load",
    "mlp",
    "namespace",
    "parameter",
    "precision",
    "record",
    "remove_duplicates",
    "softmax",
    "to_numpy",
    "wire",
]


def __getattr__(name: str) -> Any:
    if name == "datasets":  # loaded when it is first used: not everybody needs it
        return importlib.import_module(".datasets", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
