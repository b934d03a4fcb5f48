"""Makes expected.json again: what vegan (R) and scikit-bio say of three matrices of distances.

    python make.py

Needs Rscript with vegan (Debian: r-cran-vegan) and a Python with scikit-bio, NumPy and pandas; nothing of this project.
The cases: ``euclidean``, of points; ``imaginary``, distances that no Euclidean space holds; ``nested``, points whose
strata differ more than anything else.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import skbio
from skbio.stats.distance import permanova, permdisp

HERE = Path(__file__).resolve().parent


def cases() -> dict[str, tuple[np.ndarray, pd.DataFrame]]:
    """Distances, rounded so that the file holds them whole, and factors A, B, C and strata S, unbalanced."""
    found = {}
    for seed, (name, number) in enumerate({"euclidean": 26, "imaginary": 22, "nested": 24}.items()):
        random = np.random.default_rng(seed)
        codes = {
            "A": random.integers(0, 3, number),
            "B": random.permutation(np.resize([0, 1, 2, 3, 3, 1, 3], number)),
            "C": random.integers(0, 2, number),
        }
        codes["S"] = np.arange(number) % 4
        points = random.normal(size=(number, 5))
        points[:, 0] += 1.1 * codes["A"]
        points[:, 1] *= 1.0 + codes["B"]
        points[:, 2:] += (4.0 if name == "nested" else 0.0) * random.normal(size=(4, 3))[codes["S"]]
        distances = np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2))
        if name == "imaginary":
            distances = distances**1.7 + np.abs(np.triu(random.normal(size=distances.shape), 1))
        distances = np.round(np.triu(distances, 1), 9)
        letters = {key: [f"{key.lower()}{code}" for code in values] for key, values in codes.items()}
        found[name] = distances + distances.T, pd.DataFrame(letters)
    return found


def by_vegan(distances: np.ndarray, factors: pd.DataFrame) -> dict[str, object]:
    """What vegan.R writes."""
    with tempfile.TemporaryDirectory() as folder:
        np.savetxt(Path(folder, "distances.csv"), distances, fmt="%.9f", delimiter=",")
        factors.to_csv(Path(folder, "factors.csv"), index=False)
        subprocess.run(["Rscript", HERE / "vegan.R", folder], check=True)
        return dict(json.loads(Path(folder, "vegan.json").read_text()))


def by_scikit_bio(distances: np.ndarray, factors: pd.DataFrame) -> dict[str, object]:
    """One factor at a time, which is all that it does."""
    matrix, found = skbio.DistanceMatrix(distances), {"versions": f"scikit-bio {skbio.__version__}"}
    for name in ("A", "B", "C"):
        tested = permanova(matrix, factors[name].tolist(), permutations=9999, seed=1)
        found[f"{name} F, p"] = [float(tested["test statistic"]), float(tested["p-value"])]
    tested = permdisp(matrix, factors["B"].tolist(), test="centroid", permutations=0, method="eigh", seed=1)
    found["centroid F"] = float(tested["test statistic"])
    return found


def main() -> None:
    """Entry point."""
    content = {}
    for name, (distances, factors) in cases().items():
        content[name] = {
            "distances": distances[np.triu_indices(len(distances), 1)].tolist(),
            "factors": {key: factors[key].tolist() for key in factors},
            "vegan": by_vegan(distances, factors),
            "scikit-bio": by_scikit_bio(distances, factors),
        }
    (HERE / "expected.json").write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main()
