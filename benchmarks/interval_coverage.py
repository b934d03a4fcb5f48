"""How often 95 % intervals of drifts hold the true drift, with 2 to 30 models a group: ours against bootstraps and BCa.

    python -m benchmarks.interval_coverage --trials 600

Simulated: a model's coefficients are normal in each component, with a centre (standard deviation 0.3) and a width (0.7,
a quarter more or less) of its own, rounded to whole counts; the centres of the second group lie ``shift`` apart in a
third of the components. Designs: models of 100 000 filters each (``even``), of log-normal numbers of filters (sigma 1:
``uneven``), or with a part in both groups, as on the axis depth (``shared``). The truth is the drift between the mean
histograms of 20 000 models. ``benchmarks/interval_rivals.py`` has the intervals.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.arrays.types import Float64
from analysis.measures.drift import DIVERGENCES, Resampled
from analysis.measures.weighting import UnitHistograms
from benchmarks.interval_rivals import INTERVALS, Estimates, estimates
from benchmarks.output import Column, Goal, Row, finish, number

SPREAD, FILTERS = 0.3, 1e5
SHIFTS = (0.0, 0.15, 0.4, 1.0)
SIZES = ((2, 2), (3, 3), (5, 5), (10, 10), (30, 30), (5, 20))

#: Weights of the components, and bins.
SHAPES = {
    "real": (np.array([0.3982, 0.1833, 0.1170, 0.0985, 0.0658, 0.0552, 0.0301, 0.0282, 0.0237]), 70),
    "small": (np.full(3, 1 / 3), 12),
}

COLUMNS = (
    Column("design", "design"),
    Column("shift", "shift", number(2)),
    Column("sizes", "models"),
    Column("true", "true", number(3)),
    Column("drift", "mean D", number(3)),
    Column("debiased", "mean debiased", number(3)),
    *(Column(f"{key}_cover", f"{title}: covers", number(3)) for key, title in INTERVALS.items()),
    *(Column(f"{key}_width", f"{title}: width", number(3)) for key, title in INTERVALS.items()),
    Column("above", "ours: all above", number(3)),
    Column("below", "ours: all below", number(3)),
)


@dataclass(frozen=True, slots=True)
class Simulation:
    """What groups are drawn from.

    Attributes:
        design: even, uneven or shared.
        measure: of the drift, with the weights of C components.
        bins: of the histograms.
    """

    design: str
    measure: Resampled
    bins: int

    def histograms(self, random: np.random.Generator, centres: Float64, shift: float) -> Float64:
        """(m, C, B) counts of models around (m, C) centres and ``shift``."""
        number, components = centres.shape
        moved = centres + shift * (np.arange(components) < components // 3)
        widths = 0.7 * np.exp(random.normal(0, 0.25, moved.shape))
        middle = (np.arange(self.bins) + 0.5) * 6 / self.bins - 3
        density = np.exp(-(((middle - moved[..., None]) / widths[..., None]) ** 2) / 2)
        filters = np.full(number, FILTERS)
        if self.design == "uneven":
            filters *= random.lognormal(0, 1, number)
        counts: Float64 = np.rint(density / density.sum(axis=-1, keepdims=True) * filters[:, None, None])
        return counts

    def groups(self, random: np.random.Generator, sizes: tuple[int, int], shift: float) -> UnitHistograms:
        """Two groups; of ``shared`` ones both centres of a model have nine tenths of their spread in common."""
        shape = (sizes[0], len(self.measure.weights))
        if self.design == "shared":
            own = SPREAD * (1 - 0.9**2) ** 0.5
            common = random.normal(0, 0.9 * SPREAD, shape)
            centres = [common + random.normal(0, own, shape) for _ in sizes]
            unit = np.tile(np.arange(sizes[0]), 2)
        else:
            centres = [random.normal(0, SPREAD, (size, shape[1])) for size in sizes]
            unit = np.arange(sum(sizes))
        parts = [self.histograms(random, each, by) for each, by in zip(centres, (0.0, shift), strict=True)]
        return UnitHistograms(np.concatenate(parts), np.repeat([0, 1], sizes), unit)

    def truth(self, shift: float, models: int) -> float:
        """Of the same many models here and there; 0 without a shift."""
        if not shift:
            return 0.0
        sums = [np.zeros((1, len(self.measure.weights), self.bins)) for _ in range(2)]
        for seed in range(models // 1000):
            for total, by in zip(sums, (0.0, shift), strict=True):
                random = np.random.default_rng(seed)
                total += self.histograms(random, random.normal(0, SPREAD, (1000, total.shape[1])), by).sum(axis=0)
        return float(self.measure.pairs(*sums)[0])


def row_of(trials: Sequence[Estimates], true: float) -> Row:
    """One row of the table."""
    row: Row = {
        "true": true,
        "drift": float(np.mean([each.drift for each in trials])),
        "debiased": float(np.mean([each.debiased for each in trials])),
        "trials": len(trials),
    }
    for key in INTERVALS:
        low, high = np.array([each.intervals[key] for each in trials]).T
        row[f"{key}_cover"] = float(((low <= true) & (true <= high)).mean())
        row[f"{key}_width"] = float((high - low).mean())
        row |= {"above": float((low > true).mean()), "below": float((high < true).mean())} if key == "student" else {}
    return row


def _draw(figure: Any, rows: Sequence[Row]) -> None:
    panels = figure.subplots(1, len(SHIFTS), sharey=True)
    styles = zip(INTERVALS.items(), ("#cc6677", "#ddcc77", "#88ccee", "#999933", "#aa4499", "#332288"), strict=True)
    for (key, title), colour in styles:
        for panel, shift in zip(panels, SHIFTS, strict=True):
            here = [row for row in rows if row["shift"] == shift and row["design"] == "uneven"]
            panel.plot(
                [row["sizes"] for row in here], [row[f"{key}_cover"] for row in here], "o-", c=colour, label=title
            )
            panel.axhspan(0.93, 0.97, color="0.9", zorder=0)
            panel.set(title=f"shift {shift:g}", xlabel="models a group", ylim=(-0.03, 1.03))
            panel.tick_params(axis="x", rotation=90)
    panels[0].set_ylabel("share of 95 % intervals that hold the true drift")
    panels[0].legend(frameon=False, loc="center left", fontsize=7)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.interval_coverage", description=__doc__)
    parser.add_argument("--trials", type=int, default=600, help="simulated pairs of groups a row")
    parser.add_argument("--replicates", type=int, default=400, help="of the bootstraps")
    parser.add_argument("--truth", type=int, default=20_000, help="models for the true drift")
    parser.add_argument("--shape", choices=list(SHAPES), default="real", help="components and bins")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("outputs/benchmarks"))
    given = parser.parse_args()
    weights, bins = SHAPES[given.shape]
    random, rows = np.random.default_rng(given.seed), list[Row]()
    for design in ("even", "uneven", "shared"):
        simulation = Simulation(design, DIVERGENCES["kl"].resampled(weights, -3.0, 3.0), bins)
        for shift in SHIFTS:
            true = simulation.truth(shift, given.truth)
            for sizes in (each for each in SIZES if design != "shared" or each[0] == each[1]):
                began = time.perf_counter()
                trials = [
                    estimates(simulation.groups(random, sizes, shift), simulation.measure, given.replicates, random)
                    for _ in range(given.trials)
                ]
                shown = "/".join(map(str, sizes))
                rows.append({"design": design, "shift": shift, "sizes": shown} | row_of(trials, true))
                print(f"{design}, shift {shift:g}, {shown}: {time.perf_counter() - began:.1f} s", flush=True)
    goals = []
    for key, title in INTERVALS.items():
        cover = [row[f"{key}_cover"] for row in rows if row["shift"] and int(row["sizes"].split("/")[0]) >= 5]
        inside = sum(0.93 <= each <= 0.97 for each in cover)
        text = (
            f"{title}: {min(cover):.2f} to {max(cover):.2f} with 5 models and more and a drift, "
            f"{inside} of {len(cover)} rows in .93 to .97"
        )
        goals.append(Goal(text, min(cover) >= 0.88 if key == "student" else None))
    finish("interval_coverage", given.out, rows, COLUMNS, _draw, goals)


if __name__ == "__main__":
    main()
