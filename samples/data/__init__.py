"""The data that the sample models learn from: made by procedure, or shipped inside installed packages; no network.

Every generator takes a NumPy ``Generator`` (or fixes a seed) and gives float32 arrays, images as (n, channels, height,
width) in 0 … 1.
"""
