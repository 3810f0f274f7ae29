"""xpgraph: the neural-network library of the Python array API standard.

The computational graph of nodes, layers, optimizers and a Trainer, written once over the namespace that the arrays
bring with them: NumPy on the CPU, CuPy on CUDA GPUs.
"""

import importlib
from typing import Any

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
from .kernel import kernel
from .layers import Affine, ReLU, Sigmoid, Softmax, Tanh, softmax
from .live import Live
from .losses import SoftmaxWithLoss, cross_entropy_loss
from .models import Chain, Evaluation, mlp
from .namespace import namespace, to_numpy
from .node import Node
from .nodes import Add, Branch, MatMul, Multiply, Repeat, Sum
from .optimizers import SGD, AdaGrad, Adam, Momentum, Optimizer, RMSprop
from .precision import precision
from .report import Lines, Report
from .sharing import remove_duplicates
from .trainer import Trainer

__version__ = "0.1.0"

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
    "DTypeError",
    "DataError",
    "Error",
    "Evaluation",
    "LibraryError",
    "Lines",
    "Live",
    "MatMul",
    "ModelFileError",
    "Momentum",
    "Multiply",
    "Node",
    "NonFiniteError",
    "Optimizer",
    "OutOfMemoryError",
    "RMSprop",
    "ReLU",
    "Repeat",
    "Report",
    "ShapeError",
    "Sigmoid",
    "Softmax",
    "SoftmaxWithLoss",
    "Sum",
    "Tanh",
    "Trainer",
    "clip_grads",
    "cross_entropy_loss",
    "datasets",
    "kernel",
    "load",
    "mlp",
    "namespace",
    "precision",
    "remove_duplicates",
    "softmax",
    "to_numpy",
]


def __getattr__(name: str) -> Any:
    if name == "datasets":  # loaded when it is first used: not everybody needs it
        return importlib.import_module(".datasets", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
