"""The CUDA sources, compiled on first use, and the reader that hands them out (sources.py)."""
