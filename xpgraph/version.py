"""The version of xpgraph, for pip, for checkpoints and for messages."""

__version__ = "0.1.0"
