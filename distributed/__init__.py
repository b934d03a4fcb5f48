"""Trained checkpoints in, learned 3x3 filters in a Parquet store out."""

__version__ = "0.2.0"
