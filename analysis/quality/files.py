"""The files of ``analysis.quality.measure``: tables, JSON, pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from analysis.measures.degenerate import COLLAPSED_ENTROPY, COLLAPSED_SPARSITY, RANDOM_MARGIN
from analysis.measures.quality import METRICS, Weighting, members_of
from analysis.output.files import Outputs
from analysis.pictures.eigenfilters import Caption
from analysis.pictures.quality import BoxRow, draw_boxes, draw_by_depth, draw_entropy_by_size
from analysis.selection.grouping import Grouping
from analysis.shift.files import file_stem
from analysis.wording import count


@dataclass(frozen=True, slots=True, eq=False)
class GroupedQuality:
    """One axis: its groups, ``layer_quality.summarise`` and ``layer_quality.count_degenerate`` of them, and notes."""

    grouping: Grouping
    summary: pa.Table
    degenerate: pa.Table
    notes: tuple[str, ...]

    def summaries(self, group: str) -> Mapping[str, Mapping[str, Any]]:
        """Metric → row of ``summary``, of the group of this name."""
        mine = self.summary.filter(pc.equal(self.summary.column("group"), group))
        return {row["metric"]: row for row in mine.to_pylist()}


@dataclass(frozen=True, slots=True, eq=False)
class QualityReport:
    """What one run found.

    Attributes:
        layers: one row per layer (``layer_quality.layer_quality``), with the group of each on the asked axes.
        whole: of all layers that took part, as one group.
        axes: one per axis: those asked, then ``depth`` and ``model``.
        degenerate: the rows of ``layers`` that are degenerate.
        weight: what counts as one observation in summaries.
        where: the condition, None for all.
        uri: of the store.
    """

    layers: pa.Table
    whole: GroupedQuality
    axes: tuple[GroupedQuality, ...]
    degenerate: pa.Table
    weight: Weighting
    where: str | None
    uri: str


def quality_json(report: QualityReport) -> str:
    """Summary of all layers together, and the rules and weights the tables rest on."""
    group = report.whole.grouping.groups[0]
    summaries = report.whole.summaries(group.name)
    statistics = ("layers_measured", "mean", "minimum", "q05", "q25", "median", "q75", "q95", "maximum")
    content = {
        "store": report.uri,
        "where": report.where,
        "weight": str(report.weight),
        "models": group.models,
        "layers": group.layers,
        "filters": group.filters,
        "metrics": {metric: {key: summaries[metric][key] for key in statistics} for metric in METRICS},
        "degenerate": {
            key: value
            for key, value in report.whole.degenerate.to_pylist()[0].items()
            if key.endswith(("_layers", "_share"))
        },
        "rules": {
            "random": f"variance_entropy >= T(n) - {RANDOM_MARGIN}, n > 2",
            "collapsed": f"variance_entropy < {COLLAPSED_ENTROPY} and sparsity >= {COLLAPSED_SPARSITY}",
            "all zero": "max_abs = 0",
        },
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_quality(report: QualityReport, folder: Path) -> str:
    """Write everything into ``folder``; returns the line that says where.

    Raises:
        UserError: the disk refuses.
    """
    outputs = Outputs(folder)
    about = {"store": report.uri, "where": report.where or "", "weight": str(report.weight)}
    outputs.text("quality.json", quality_json(report))
    outputs.table("layers", report.layers, about)
    outputs.table("degenerate", report.degenerate, about)
    for grouped in report.axes:
        stem = file_stem(grouped.grouping.axis)
        more = about | {"axis": grouped.grouping.axis, "notes": "\n".join(grouped.notes)}
        outputs.table(f"quality_{stem}", grouped.summary, more)
        outputs.table(f"degenerate_{stem}", grouped.degenerate, more)
        _write_boxes(report, grouped, outputs, stem)
    remarks = (_extent(report), *([f"where {report.where}"] if report.where else []))
    title = "Variance entropy and number of filters"
    outputs.picture("entropy_by_size", draw_entropy_by_size(report.layers, Caption(title, remarks)), title)
    title = "Quality over depth"
    outputs.picture("quality_by_depth", draw_by_depth(report.layers, Caption(title, remarks)), title)
    return outputs.line()


def _write_boxes(report: QualityReport, grouped: GroupedQuality, outputs: Outputs, stem: str) -> None:
    by_group: dict[str, dict[str, Any]] = {}
    for row in grouped.summary.to_pylist():
        by_group.setdefault(row["group"], {})[row["metric"]] = row
    members = members_of(report.layers, grouped.grouping)
    groups = grouped.grouping.groups
    rows = [BoxRow(g.label, mine, by_group[g.name]) for g, mine in zip(groups, members, strict=True)]
    title = f"Layer quality by {grouped.grouping.axis}"
    remarks = (
        f"{count(len(rows), 'group')} · {_extent(report)} · each of the {report.weight} counts the same",
        *([f"where {report.where}"] if report.where else []),
        *grouped.notes,
    )
    outputs.picture(f"boxes_{stem}", draw_boxes(report.layers, rows, Caption(title, remarks)), title)


def _extent(report: QualityReport) -> str:
    group = report.whole.grouping.groups[0]
    return f"{count(group.models, 'model')} · {count(group.layers, 'layer')}"
