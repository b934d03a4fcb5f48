"""What ``analysis.coefficients.measure`` gives, as tables in memory and as files."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from analysis.arrays.basis import Basis
from analysis.arrays.types import Float64
from analysis.coefficients.settings import CoefficientSettings
from analysis.measures.phenotypes import PhenotypeScore, phenotype_of
from analysis.output.files import Outputs
from analysis.pictures.densities import DensityPanel, draw_densities
from analysis.pictures.eigenfilters import Caption
from analysis.pictures.ridges import draw_ridges
from analysis.scanning.densities import Densities
from analysis.selection.grouping import Grouping
from analysis.shift.files import file_stem
from analysis.wording import count, elide, one_line


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


@dataclass(frozen=True, slots=True, eq=False)
class CoefficientReport:
    """Everything one run of ``analysis.coefficients.measure`` found.

    Attributes:
        ridges: one per axis, in the order asked.
        densities: one per axis, or one of single layers; none where no pairs were asked for.
        basis: what the coefficients are of.
        origin: where the sketch came from, one line.
        extent: models, layers, filters that took part.
        settings: how.
        uri: of the store.
    """

    ridges: tuple[AxisRidges, ...]
    densities: tuple[GroupedDensities, ...]
    basis: Basis
    origin: str
    extent: tuple[int, int, int]
    settings: CoefficientSettings
    uri: str


def write_coefficients(report: CoefficientReport, folder: Path) -> str:
    """Write tables and pictures into ``folder``; returns the line that says where.

    Raises:
        UserError: the disk refuses.
    """
    outputs = Outputs(folder)
    settings = report.settings
    about = {"store": report.uri, "where": settings.where or "", "basis": report.basis.digest}
    for axis in report.ridges:
        name = axis.grouping.axis
        more = about | {"axis": name, "weight": str(settings.weight), "notes": "\n".join(axis.notes)}
        outputs.table(f"ridges_{file_stem(name)}", axis.table(), more)
        title = f"Coefficients by {name}"
        remarks = (_extent(report), *_where(report), *axis.notes)
        labels = [group.label for group in axis.grouping.groups]
        ratio = report.basis.explained_variance_ratio
        outputs.picture(
            f"ridges_{file_stem(name)}",
            draw_ridges(labels, axis.densities, axis.edges, ratio, Caption(title, remarks)),
            title,
        )
    for part in report.densities:
        _write_densities(report, part, outputs, about | {"axis": part.grouping.axis})
    return outputs.line()


def _write_densities(
    report: CoefficientReport, part: GroupedDensities, outputs: Outputs, about: dict[str, str]
) -> None:
    stem = file_stem(part.grouping.axis)
    about["layers"] = report.settings.layers or ""
    outputs.parquet(f"densities_{stem}", part.table(), about)
    outputs.table(f"phenotypes_{stem}", part.phenotypes(), about)
    for picture, title, members in _pictures(part):
        for p, pair in enumerate(part.densities.pairs):
            panels = []
            for g, label in members:
                score, filters = part.score(g, p), int(part.densities.filters[g])
                panels.append(DensityPanel(label, part.densities.counts[g, p], filters, score.phenotype))
            remarks = (
                f"{count(len(panels), 'density')} · logarithm of the share of filters in each of "
                f"{len(part.densities.edges) - 1}² cells",
                *_where(report),
                *part.grouping.notes,
            )
            heading = f"{title}: components {pair[0]} and {pair[1]}"
            figure = draw_densities(panels, part.densities.edges, pair, Caption(heading, remarks))
            outputs.picture(f"{picture}_{pair[0]}-{pair[1]}", figure, heading)


def _pictures(part: GroupedDensities) -> list[tuple[str, str, list[tuple[int, str]]]]:
    """Stem, title, and (group, label) of the panels: a picture per model for layers, one for groups."""
    groups = part.grouping.groups
    if part.grouping.axis != "layer":
        members = [(g, one_line(group.label)) for g, group in enumerate(groups)]
        return [(f"densities_{file_stem(part.grouping.axis)}", f"Densities by {part.grouping.axis}", members)]
    by_model: dict[str, list[tuple[int, str]]] = {}
    for g, group in enumerate(groups):
        model, _, layer = group.name.rpartition(": ")
        by_model.setdefault(model, []).append((g, one_line(layer)))
    # Two models may have names that make the same stem: the number keeps their pictures apart.
    stems = [file_stem(model) for model in by_model]
    return [
        (
            f"densities_layer_{stem}" + (f"_{k}" if stem in stems[:k] else ""),
            f"Layers of {elide(one_line(model), 40)}",
            members,
        )
        for k, (stem, (model, members)) in enumerate(zip(stems, by_model.items(), strict=True))
    ]


def _extent(report: CoefficientReport) -> str:
    models, layers, filters = report.extent
    return (
        f"{count(models, 'model')} · {count(layers, 'layer')} · {count(filters, 'filter')} · "
        f"{report.settings.weight} weigh alike"
    )


def _where(report: CoefficientReport) -> tuple[str, ...]:
    return (f"where {one_line(report.settings.where)}",) if report.settings.where else ()
