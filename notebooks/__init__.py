"""Executed notebooks, and ``python -m notebooks.execute``, which executes them again."""
