"""What can go wrong, by name. Every message has three beats: what was being done, what was found, what to do.

Each class is also the built-in that it refines, so ``except ValueError`` keeps working.
"""

from __future__ import annotations


class Error(Exception):
    """The base of every error that xpgraph raises itself."""


class ShapeError(Error, ValueError):
    """An array has a shape that the operation cannot take."""


class DTypeError(Error, TypeError):
    """An array has a data type that the operation cannot take."""


class LibraryError(Error, TypeError):
    """Two arrays of one operation live in different array libraries or on different devices."""


class BackendError(Error, ValueError):
    """A backend is unknown, not installed, or has no usable device."""


class DataError(Error, ValueError):
    """A data file is missing, truncated, altered or of the wrong kind."""


class ModelFileError(Error, ValueError):
    """A saved model cannot be read, or does not fit the model that it is loaded into."""


class CheckpointError(Error, ValueError):
    """A checkpoint is damaged or foreign, or does not fit the training that it is restored into."""


class NewerFormatError(CheckpointError):
    """A checkpoint that a newer xpgraph wrote: it is whole, and neither passed over nor removed."""


class StorageError(Error, OSError):
    """A folder or a file cannot be written; what was there before is still there."""


class FolderInUseError(Error, RuntimeError):
    """Another run writes into this folder."""


class CaptureError(Error, RuntimeError):
    """A training step cannot be captured as a CUDA graph, and ``graph=True`` demands it."""


class OutOfMemoryError(Error, MemoryError):
    """A device, or the host, has not enough memory for a batch or for the data."""


class NonFiniteError(Error, ArithmeticError):
    """A loss or a gradient stopped being a finite number; ``step`` counts updates from 1."""

    def __init__(self, message: str, step: int | None = None) -> None:
        super().__init__(message)
        self.step = step
