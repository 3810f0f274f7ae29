"""Data sets by name, and from .npz and .csv files of your own: NumPy arrays, ready for training.

``load`` and ``load_rows`` are the two entries. One file reads each format: ``idx`` (MNIST's), ``npz``, ``csv_reader``;
``csv_table`` turns cells into numbers and classes. May import arrays/ and storage/. For another format, write a reader
beside these and call it in ``loading``.
"""

from .csv_table import Kept
from .loading import NAMES, Dataset, load, load_rows

__all__ = ["NAMES", "Dataset", "Kept", "load", "load_rows"]
