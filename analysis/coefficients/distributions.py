"""Distributions of coefficients by group, in one and in two dimensions, as arrays and as tables."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from analysis.arrays.basis import Basis
from analysis.arrays.sketch import Sketch
from analysis.arrays.types import Float64
from analysis.measures.phenotypes import PhenotypeScore, phenotype_of
from analysis.measures.weighting import group_distributions, unit_histograms
from analysis.scanning.densities import Densities
from analysis.selection.grouping import Grouping
from analysis.settings import Weight


@dataclass(frozen=True, slots=True, eq=False)
class AxisRidges:
    """One axis.

    Attributes:
        grouping: its groups.
        probabilities: (G, 9, B), as ``analysis.measures.drift.distributions`` gives them.
        edges: (B + 1,) of the bins.
        notes: what was left out.
    """

    grouping: Grouping
    probabilities: Float64
    edges: Float64
    notes: tuple[str, ...]

    @property
    def densities(self) -> Float64:
        """(G, 9, B) per unit of the coefficient."""
        result: Float64 = self.probabilities / np.diff(self.edges)
        return result

    def table(self) -> pa.Table:
        """A row per group, component and bin: ``axis, group, component, low, high, probability, density``."""
        groups, components, bins = self.probabilities.shape
        names = pa.array([group.name for group in self.grouping.groups], pa.string())
        low, high = self.edges[:-1], self.edges[1:]
        return pa.table(
            {
                "axis": pa.array([self.grouping.axis] * (groups * components * bins), pa.string()),
                "group": names.take(pa.array(np.repeat(np.arange(groups), components * bins))),
                "component": pa.array(np.tile(np.repeat(np.arange(1, components + 1), bins), groups)),
                "low": pa.array(np.tile(low, groups * components)),
                "high": pa.array(np.tile(high, groups * components)),
                "probability": pa.array(self.probabilities.ravel()),
                "density": pa.array(self.densities.ravel()),
            }
        )


@dataclass(frozen=True, slots=True, eq=False)
class GroupedDensities:
    """Two-dimensional densities of the groups of one axis, or of single layers (``grouping.axis == "layer"``)."""

    grouping: Grouping
    densities: Densities
    basis: Basis

    def score(self, group: int, pair: int) -> PhenotypeScore:
        """The look of one density."""
        found = self.densities
        first, second = found.pairs[pair]
        zero = self.basis.projection.offset
        origin = (float(zero[first - 1]), float(zero[second - 1]))
        return phenotype_of(found.counts[group, pair], found.low, found.high, origin)

    def phenotypes(self) -> pa.Table:
        """A row per group and pair: ``axis, group, first, second``, then the fields of ``PhenotypeScore``."""
        rows: list[dict[str, Any]] = []
        for g, group in enumerate(self.grouping.groups):
            for p, (first, second) in enumerate(self.densities.pairs):
                scores = asdict(self.score(g, p)) | {"filters": int(self.densities.filters[g])}
                scores = {k: None if v != v else str(v) if k == "phenotype" else v for k, v in scores.items()}
                rows.append(
                    {"axis": self.grouping.axis, "group": group.name, "first": first, "second": second} | scores
                )
        return pa.Table.from_pylist(rows)

    def table(self) -> pa.Table:
        """A row per cell that holds a filter: ``axis, group, first, second, x, y`` (centres), ``count, density``.

        ``density`` is per unit area, of the filters within the range.
        """
        found = self.densities
        group, pair, i, j = np.nonzero(found.counts)
        centres = (found.edges[:-1] + found.edges[1:]) / 2
        number = found.counts[group, pair, i, j]
        totals = found.counts.sum(axis=(2, 3))[group, pair]
        area = ((found.high - found.low) / found.counts.shape[-1]) ** 2
        components = np.array(found.pairs, np.int64)[pair]
        names = pa.array([each.name for each in self.grouping.groups], pa.string())
        return pa.table(
            {
                "axis": pa.array([self.grouping.axis] * len(group), pa.string()),
                "group": names.take(pa.array(group)),
                "first": pa.array(components[:, 0]),
                "second": pa.array(components[:, 1]),
                "x": pa.array(centres[i]),
                "y": pa.array(centres[j]),
                "count": pa.array(number),
                "density": pa.array(number / totals / area),
            }
        )


def axis_ridges(sketch: Sketch, grouping: Grouping, weight: Weight) -> AxisRidges:
    """The distributions of each group of one axis, those that drift is computed from.

    Raises:
        UserError: a layer is not in the sketch, or a group lies wholly outside the range of the sketch's basis.
    """
    groups = group_distributions(unit_histograms(sketch, grouping, weight), grouping, sketch.basis)
    return AxisRidges(grouping, groups.probabilities, sketch.basis.edges, grouping.notes)
