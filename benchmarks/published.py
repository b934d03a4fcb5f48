"""The published procedure, written from the papers: everything in memory, one process, BLAS on all cores.

Gavrikov & Keuper (arXiv 2201.08465) and scikit-learn's, NumPy's and SciPy's functions as they use them: scale every
filter, PCA, transform, one range, a histogram per group and component, symmetric KL by ``scipy.stats.entropy`` for
every pair. Float32 throughout, as published: half the memory and the faster choice for the rival.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measuring import answer, arguments_of_child

BINS = 70


def load(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Filters (N, 9) float32 and layer ids (N,)."""
    files = [pq.ParquetFile(path) for path in sorted((folder / "filters").glob("*.parquet"))]
    rows = sum(file.metadata.num_rows for file in files)
    filters, layers, at = np.empty((rows, 9), np.float32), np.empty(rows, np.int64), 0
    for file in files:
        for group in range(file.metadata.num_row_groups):
            table = file.read_row_group(group)
            until = at + table.num_rows
            layers[at:until] = table.column("layer_id").to_numpy()
            for k in range(9):
                filters[at:until, k] = table.column(f"w{k}").to_numpy()
            at = until
    return filters, layers


def groups_of(folder: Path, layer_ids: np.ndarray, axis: str) -> tuple[list[str], np.ndarray]:
    """Names of the groups, and the group of every filter."""
    models = pa.concat_tables([pq.read_table(path) for path in sorted((folder / "models").glob("*.parquet"))])
    layers = pa.concat_tables([pq.read_table(path) for path in sorted((folder / "layers").glob("*.parquet"))])
    layers = layers.sort_by("layer_id")
    ids = layers.column("layer_id").to_numpy()
    if axis == "depth":
        depth = layers.column("conv_depth_norm").to_numpy()
        of_layer = np.clip(np.ceil(depth * 10 - 1e-9) - 1, 0, 9).astype(int).astype(str)
    else:
        value = dict(zip(models.column("model_id").to_pylist(), models.column(axis).to_pylist(), strict=True))
        of_layer = np.array([value[model] for model in layers.column("model_id").to_pylist()])
    names, codes = np.unique(of_layer, return_inverse=True)
    return names.tolist(), codes.astype(np.int16)[np.searchsorted(ids, layer_ids)]


def drift_matrix(coefficients: np.ndarray, codes: np.ndarray, groups: int, ratio: np.ndarray) -> np.ndarray:
    """(G, G)."""
    from scipy.stats import entropy

    low, high = float(coefficients.min()), float(coefficients.max())
    densities = np.empty((groups, 9, BINS))
    for group in range(groups):
        chosen = coefficients[codes == group]
        for k in range(9):
            density, _ = np.histogram(chosen[:, k], bins=BINS, range=(low, high), density=True)
            density[density == 0] = np.finfo(np.float32).eps
            densities[group, k] = density / density.sum()
    matrix = np.zeros((groups, groups))
    for a in range(groups):
        for b in range(groups):
            for k in range(9):
                p, q = densities[a, k], densities[b, k]
                matrix[a, b] += ratio[k] * (entropy(p, q) + entropy(q, p))
    return matrix


def published_shift(folder: Path, axes: list[str]) -> dict[str, Any]:
    """Matrices by axis, and the seconds of each step."""
    from sklearn.decomposition import PCA

    seconds, began = {}, time.perf_counter()

    def lap(step: str) -> None:
        nonlocal began
        now = time.perf_counter()
        seconds[step], began = now - began, now

    filters, layer_ids = load(folder)
    lap("read")
    largest = np.abs(filters).max(axis=1, keepdims=True)
    largest[largest == 0] = 1
    filters /= largest
    lap("scale")
    pca = PCA(n_components=9)
    pca.fit(filters)
    lap("pca")
    coefficients = pca.transform(filters)
    lap("transform")
    matrices = {}
    for axis in axes:
        names, codes = groups_of(folder, layer_ids, axis)
        matrices[axis] = drift_matrix(coefficients, codes, len(names), pca.explained_variance_ratio_).tolist()
        lap(axis)
    return {"matrices": matrices, "steps": seconds}


if __name__ == "__main__":
    given = arguments_of_child()
    import sklearn.decomposition as _warm  # noqa: F401 - imports are not the procedure: outside the time

    start, cpu = time.perf_counter(), time.process_time()
    result = published_shift(Path(given["folder"]), given["axes"])
    used = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
    answer({**used, "ray_seconds": 0.0, **result})
