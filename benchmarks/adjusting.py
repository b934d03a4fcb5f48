"""What adjusted p-values of a matrix promise: any false shift, and planted ones found, in simulated matrices.

    python -m benchmarks.adjusting --trials 300

Simulated as ``interval_coverage``, with 3 components and 12 bins: groups of models of the sizes given, of the same kind
but for those whose centres are moved. Beside plain p <= 0.05 and the three ways of ``adjust`` stands the textbook's
form of ``max``, one deal of all groups at once (``pooled``).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.arrays.types import Float64
from analysis.measures.adjusting import q_values
from analysis.measures.drift import DIVERGENCES
from analysis.measures.uncertainty import Resampling, permutation_null
from analysis.measures.verdicts import LARGEST_Q
from analysis.measures.weighting import UnitHistograms
from analysis.settings import Adjust
from benchmarks.interval_coverage import SHAPES, SPREAD, Simulation
from benchmarks.output import Column, Goal, Row, finish, number

WEIGHTS, BINS = SHAPES["small"]
SIMULATION = Simulation("even", DIVERGENCES["kl"].resampled(WEIGHTS, -3.0, 3.0), BINS)
WAYS = ("p", "bh", "by", "max", "pooled")


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


COLUMNS = (
    Column("scenario", "groups"),
    Column("pairs", "pairs", number(0)),
    *(Column(f"false_{way}", f"any false: {way}", _share) for way in WAYS),
    *(Column(f"found_{way}", f"found: {way}", _share) for way in WAYS),
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Groups of ``sizes`` that do not differ, then one of six models for each of ``shifts``; the first is looked for.

    ``shared``: each model has a part in every group.
    """

    sizes: tuple[int, ...]
    shifts: tuple[float, ...] = ()
    shared: bool = False

    def draw(self, random: np.random.Generator) -> UnitHistograms:
        """The histograms of one matrix."""
        sizes = (*self.sizes, *(6 for _ in self.shifts))
        moved = (*(0.0 for _ in self.sizes), *self.shifts)
        common = random.normal(0, SPREAD, (max(sizes), len(WEIGHTS)))
        parts = []
        for size, shift in zip(sizes, moved, strict=True):
            centres = common + random.normal(0, 0.1, common.shape)
            if not self.shared:
                centres = random.normal(0, SPREAD, (size, len(WEIGHTS)))
            parts.append(SIMULATION.histograms(random, centres, shift))
        unit = np.tile(np.arange(sizes[0]), len(sizes)) if self.shared else np.arange(sum(sizes))
        return UnitHistograms(np.concatenate(parts), np.repeat(np.arange(len(sizes)), sizes), unit)


SCENARIOS: Mapping[str, Scenario] = {
    "six of 6": Scenario((6,) * 6),
    "3, 4, 5, 8, 12, 30": Scenario((3, 4, 5, 8, 12, 30)),
    "60, seven of 5": Scenario((60, *(5,) * 7)),
    "twelve of 6": Scenario((6,) * 12),
    "eight parts of 8": Scenario((8,) * 8, shared=True),
    "five of 6, one apart": Scenario((6,) * 5, (1.0,)),
    "the same, and one far": Scenario((6,) * 5, (1.0, 3.0)),
}


def pooled(found: UnitHistograms, deals: int, random: np.random.Generator) -> Float64:
    """(pairs,) p-values by the largest standardised drift, all units dealt out to all groups at once."""
    dealt = np.stack([found.group, *(random.permutation(found.group) for _ in range(deals))])
    chosen = (dealt[:, None] == np.arange(found.groups)[:, None]).astype(np.float64)
    sums = (chosen @ found.counts.reshape(len(found.counts), -1)).reshape(*chosen.shape[:2], *found.counts.shape[1:])
    drifts = SIMULATION.measure.matrices(sums)[:, *np.triu_indices(found.groups, k=1)]
    middle = np.median(drifts, axis=0)
    standardised = (drifts - middle) / (np.quantile(drifts, 0.95, axis=0) - middle)
    largest = standardised[1:].max(axis=1)
    p_values: Float64 = (1 + (largest[:, None] >= standardised[0] - 1e-9).sum(axis=0)) / (1 + deals)
    return p_values


def row_of(scenario: Scenario, trials: int, deals: int, random: np.random.Generator) -> Row:
    """One row of the table; ``pooled`` makes no sense where models are shared."""
    same = len(scenario.sizes)
    first, second = np.triu_indices(same + len(scenario.shifts), k=1)
    falsely: dict[str, list[bool]] = {way: [] for way in WAYS}
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(trials):
        drawn = scenario.draw(random)
        null = permutation_null(drawn, SIMULATION.measure.pairs, Resampling(deals), random)
        square = {"p": null.p_value, "bh": q_values(null.p_value), "by": q_values(null.p_value, Adjust.by)}
        adjusted = {way: values[first, second] for way, values in {**square, "max": null.familywise}.items()}
        if not scenario.shared:
            adjusted["pooled"] = pooled(drawn, deals, random)
        for way, values in adjusted.items():
            falsely[way].append(bool((values[second < same] <= LARGEST_Q).any()))
            if scenario.shifts:
                found[way].append(float((values[(first < same) & (second == same)] <= LARGEST_Q).mean()))
    row: Row = {"pairs": len(first), "trials": trials}
    for way in WAYS:
        row[f"false_{way}"] = float(np.mean(falsely[way])) if falsely[way] else None
        row[f"found_{way}"] = float(np.mean(found[way])) if found[way] else None
    return row


def _draw(figure: Any, rows: Sequence[Row]) -> None:
    axes = figure.subplots()
    places = np.arange(len(rows))
    for offset, way in enumerate(WAYS):
        axes.bar(places + 0.16 * (offset - 2), [row[f"false_{way}"] or 0.0 for row in rows], 0.15, label=way)
    axes.axhline(LARGEST_Q, color="0.4", linewidth=1)
    axes.set_xticks(places, [row["scenario"] for row in rows], rotation=20, ha="right")
    axes.set_ylabel("matrices with any false shift")
    axes.legend(frameon=False)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adjusting", description=__doc__)
    parser.add_argument("--trials", type=int, default=300, help="simulated matrices a row")
    parser.add_argument("--deals", type=int, default=499, help="permutations a pair")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmarks"))
    given = parser.parse_args()
    random, rows = np.random.default_rng(given.seed), list[Row]()
    for name, scenario in SCENARIOS.items():
        rows.append({"scenario": name} | row_of(scenario, given.trials, given.deals, random))
        print(rows[-1], flush=True)
    worst = max(row["false_max"] for row in rows)
    goal = Goal(f"adjust=max: any pair called falsely in at most {worst:.1%} of matrices (goal 7.5 %)", worst <= 0.075)
    finish("adjusting", given.out, rows, COLUMNS, _draw, [goal])


if __name__ == "__main__":
    main()
