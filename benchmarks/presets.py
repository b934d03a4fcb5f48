"""What each preset changes, on one store: drifts, explained variance and means of quality against the default.

    python -m benchmarks.presets data/demo

Prints the table of docs/presets.md.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pyarrow.compute as pc

from analysis.quality.measure import measure as measure_quality
from analysis.quality.settings import QualitySettings
from analysis.shift.measure import measure as measure_shift
from analysis.shift.settings import ShiftSettings
from distributed.configuration import settings_of
from distributed.presets import preset_names, preset_settings
from distributed.store import StoreSettings

AXES = ("task", "visual_category", "depth")
METRICS = ("sparsity", "variance_entropy_clean", "orthogonality")


def numbers(uri: str, preset: str | None) -> dict[str, float]:
    """Mean and largest drift by axis, the first component's share, the range, and means of quality."""

    def of(command: str, kind: type, **more: Any) -> Any:
        named = preset_settings(preset, command, kind) if preset else {}
        return settings_of(kind, {**named, **more, "store": StoreSettings(uri), "axes": AXES})

    shift = measure_shift(of("shift", ShiftSettings, replicates=0, out="no-such-folder"))
    found = {"EVR 1": float(shift.basis.explained_variance_ratio[0]), "low": shift.basis.low, "high": shift.basis.high}
    for each in shift.shifts:
        pairs = each.drift[np.triu_indices(len(each.groups), k=1)]
        axis = each.axis.removesuffix("_first")
        found |= {f"mean drift by {axis}": float(pairs.mean()), f"largest drift by {axis}": float(pairs.max())}
    summary = measure_quality(of("quality", QualitySettings)).whole.summary
    for metric in METRICS:
        row = summary.filter(pc.equal(summary.column("metric"), metric))
        found[f"mean {metric}"] = row.column("mean")[0].as_py()
    return found


def main() -> None:
    """Print a row per number, a column per preset."""
    (uri,) = sys.argv[1:]
    columns = {"default": numbers(uri, None)} | {name: numbers(uri, name) for name in preset_names()}
    print("| | " + " | ".join(columns) + " |")
    print("|---|" + "---:|" * len(columns))
    for key in columns["default"]:
        print(f"| {key} | " + " | ".join(f"{each[key]:.6f}" for each in columns.values()) + " |")


if __name__ == "__main__":
    main()
