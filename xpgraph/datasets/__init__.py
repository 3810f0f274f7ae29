"""Data sets by name, and from your own .npz and .csv files, as NumPy arrays ready for training.

``load`` and ``load_rows`` in ``loading`` are the two entries. Each format has a reader, which checks every byte of a
file: ``idx`` (MNIST's), ``npz``, ``csv_reader``. ``npz_table`` and ``csv_table`` make rows and labels of what they
read. May import arrays/ and storage/. For another format, write such a pair of files and call it in ``loading``.
"""

from .csv_table import TableFormat
from .loading import NAMES, Dataset, load, load_rows

__all__ = ["NAMES", "Dataset", "TableFormat", "load", "load_rows"]
