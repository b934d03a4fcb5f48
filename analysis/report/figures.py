"""Every figure of the page as PNG and vector PDF, for papers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from analysis.measures.drift_matrix import AxisShift
from analysis.measures.summaries import members_of
from analysis.output.files import Outputs
from analysis.output.names import file_stem, writable_folder
from analysis.pictures.canvas import GAP, Canvas, Caption, names_as_data, plain_axes
from analysis.pictures.eigenfilters import draw_cumulative, draw_eigenfilters
from analysis.pictures.heatmap import Heatmap, draw_heatmap
from analysis.pictures.quality import BoxRow, draw_boxes, draw_by_depth, draw_entropy_by_size
from analysis.pictures.style import FAINT, INK, RULE, default_style
from analysis.quality.measure import GroupedQuality
from analysis.report.contents_section import counts_of
from analysis.report.drift_section import Box, box_of, pair_values
from analysis.report.measure import ReportResult
from analysis.wording import count, elide, one_line

FOLDER = "figures"

#: Says at length which font tables it keeps.
logging.getLogger("fontTools").setLevel(logging.WARNING)

#: More dots than this are one picture inside the PDF: as vectors they would take minutes to open.
_MOST_VECTOR_DOTS = 5000

_BLUE, _LIGHT = "#3B6EA5", "#C9D9EA"
_LABEL_WIDTH = 34
_MOST_BARS, _MOST_BOXES = 15, 60


@dataclass(frozen=True, slots=True)
class _Drawing:
    """A figure to be drawn: ``key`` is what the page calls it, ``stem`` its file."""

    key: str
    stem: str
    title: str
    draw: Callable[[], Figure]


def write_figures(report: ReportResult, folder: Path) -> dict[str, list[str]]:
    """Draw everything into ``folder/figures``; key of the figure → paths of its PNG and PDF, relative to ``folder``.

    Raises:
        UserError: the disk refuses.
    """
    made: dict[str, list[str]] = {}
    with default_style(), Outputs(writable_folder(str(folder / FOLDER)), "report") as outputs:
        for drawing in _drawings(report):
            figure = drawing.draw()
            outputs.png(drawing.stem, figure, drawing.title)
            _dots_as_picture(figure)
            about = {"Title": drawing.title, "Creator": "cnn-filter-shift", "CreationDate": None}
            # Type 42: letters stay letters in the PDF, as journals ask.
            with matplotlib.rc_context({"pdf.fonttype": 42}):
                outputs.file(f"{drawing.stem}.pdf", partial(figure.savefig, metadata=about, dpi=200))
            made[drawing.key] = [f"{FOLDER}/{drawing.stem}.{kind}" for kind in ("png", "pdf")]
    return made


def _drawings(report: ReportResult) -> Iterator[_Drawing]:
    remarks = (_extent(report), *([f"where {one_line(report.settings.where)}"] if report.settings.where else []))
    title = "Models by kind"
    yield _Drawing(
        "contents", "contents", title, lambda: draw_counts(counts_of(report.models), Caption(title, remarks))
    )
    boxes = [(_of_pairs(shift), box_of(pair_values(shift.drift))) for shift in report.shifts if len(shift.groups) > 1]
    if boxes:
        name, unit = "Drift between groups, by axis", f"drift D ({report.shifts[0].divergence})"
        yield _Drawing(
            "drift_boxes", "drift_boxes", name, lambda: draw_drift_boxes(boxes, Caption(name, remarks), unit)
        )
    for index, shift in enumerate(report.shifts):
        yield from _of_axis(report, shift, index, remarks)
    layers = report.quality.layers
    size, depth = "Variance entropy and number of filters", "Quality over depth"
    yield _Drawing(
        "entropy_by_size", "entropy_by_size", size, lambda: draw_entropy_by_size(layers, Caption(size, remarks))
    )
    yield _Drawing(
        "quality_by_depth", "quality_by_depth", depth, lambda: draw_by_depth(layers, Caption(depth, remarks))
    )


def _of_axis(report: ReportResult, shift: AxisShift, index: int, remarks: tuple[str, ...]) -> Iterator[_Drawing]:
    axis, stem = one_line(shift.axis), file_stem(shift.axis)
    structure, quality = report.structure.axes[index], report.quality.axes[index]
    whole = report.structure.whole

    def heatmap(title: str, values: Any, more: tuple[str, ...], unit: str) -> Figure:
        labels = [group.label for group in shift.groups]
        return draw_heatmap(Heatmap(labels, values, title, [*more, *remarks, *shift.notes], unit, few))

    few = shift.few_models & ~np.eye(len(shift.groups), dtype=bool) & (not shift.grouping.single_models)
    notes = (f"hatched: a group of fewer than {shift.min_models} models",) if few.any() else ()
    drift = f"Drift by {axis}"
    yield _Drawing(
        f"drift_{index}",
        f"drift_{stem}",
        drift,
        lambda: heatmap(drift, shift.drift, notes, f"drift D ({shift.divergence})"),
    )
    if len(shift.groups) > 2:
        name = f"Drift of each group by {axis} to the others"
        to_others = [(group.label, box_of(np.delete(shift.drift[g], g))) for g, group in enumerate(shift.groups)]
        to_others.sort(key=lambda row: -row[1].median)
        yield _Drawing(
            f"drift_groups_{index}",
            f"drift_groups_{stem}",
            name,
            lambda: draw_drift_boxes(to_others, Caption(name, remarks), f"drift D ({shift.divergence})"),
        )
    agreement = structure.agreement.agreement
    if np.isfinite(agreement).all():
        disagree, about = f"Disagreement of eigenfilters by {axis}", "0: the same components in the same order"
        values = np.maximum(1.0 - agreement, 0.0)
        unit = "1 − agreement (variance-weighted |cos|)"
        yield _Drawing(
            f"agreement_{index}", f"agreement_{stem}", disagree, lambda: heatmap(disagree, values, (about,), unit)
        )
    tiles, curves, boxes = f"Eigenfilters by {axis}", f"Cumulative variance by {axis}", f"Layer quality by {axis}"
    rows = [whole, *([report.structure.selection] if report.structure.selection else []), *structure.structures]
    more = (*remarks, *structure.notes)
    yield _Drawing(
        f"eigenfilters_{index}", f"eigenfilters_{stem}", tiles, lambda: draw_eigenfilters(rows, Caption(tiles, more))
    )
    yield _Drawing(
        f"cumulative_{index}",
        f"cumulative_{stem}",
        curves,
        lambda: draw_cumulative(whole, structure.structures, Caption(curves, more)),
    )
    yield _Drawing(
        f"quality_{index}", f"quality_{stem}", boxes, lambda: _quality_boxes(report, quality, Caption(boxes, more))
    )


def _quality_boxes(report: ReportResult, grouped: GroupedQuality, caption: Caption) -> Figure:
    by_group: dict[str, dict[str, Any]] = {}
    for row in grouped.summary.to_pylist():
        by_group.setdefault(row["group"], {})[row["metric"]] = row
    members = members_of(report.quality.layers, grouped.grouping)
    groups = grouped.grouping.groups
    rows = [BoxRow(g.label, mine, by_group[g.name]) for g, mine in zip(groups, members, strict=True)]
    return draw_boxes(report.quality.layers, rows, caption)


def draw_counts(counts: list[dict[str, Any]], caption: Caption) -> Figure:
    """Bars of the number of models by task, category and architecture (the first three columns that hold a value)."""
    parts = [(part["title"], _bars(part)) for part in counts[:3]]
    texts = [bar.name for _, bars in parts for bar in bars]
    with names_as_data([*texts, *caption.remarks]) as fonts:
        canvas = Canvas.blank()
        left = 0.3 + max((canvas.text_width([fonts.drawable(t) for t in texts], 9)), 0.5)
        heights = [0.26 * len(bars) for _, bars in parts]
        canvas.open(left + 4.2, sum(heights) + 0.5 * len(parts) + 0.1, caption.title, caption.remarks)
        top = canvas.top
        for (title, bars), height in zip(parts, heights, strict=True):
            canvas.write(GAP, top, title, 9.5, INK, va="top", fontweight="bold")
            axes = canvas.axes(left, top + 0.24, 3.6, height)
            axes.barh(range(len(bars)), [bar.length for bar in bars], 0.62, color=_BLUE)
            axes.axis("off")
            axes.set_ylim(len(bars) - 0.5, -0.5)
            axes.set_xlim(0, max(bar.length for bar in bars) * 1.02)
            for index, bar in enumerate(bars):
                axes.text(bar.length, index, f" {bar.number}", va="center", fontsize=8.5, color=FAINT, clip_on=False)
                y = top + 0.24 + height * (index + 0.5) / len(bars)
                canvas.write(left - 0.08, y, fonts.drawable(bar.name), 9, INK, ha="right", va="center_baseline")
            top += height + 0.5
    return canvas.figure


@dataclass(frozen=True, slots=True)
class _Bar:
    """``length`` is 0 for what is no kind by itself: others together, unknown."""

    name: str
    number: int
    length: int


def _bars(part: dict[str, Any]) -> list[_Bar]:
    bars = [(elide(name, _LABEL_WIDTH), n) for name, n in zip(part["names"], part["models"], strict=True)]
    most = len(bars) if len(bars) <= _MOST_BARS + 1 else _MOST_BARS
    others = sum(number for _, number in bars[most:])
    vague = [(f"{len(bars) - most} others", others), ("not known", part["unknown"])]
    return [_Bar(name, number, number) for name, number in bars[:most]] + [
        _Bar(name, number, 0) for name, number in vague if number
    ]


def draw_drift_boxes(boxes: list[tuple[str, Box]], caption: Caption, unit: str) -> Figure:
    """A box per label: quartiles, Tukey's whiskers, mean as a diamond; of too many the first and the last."""
    remarks = (*caption.remarks, "box: quartiles; whiskers: within 1.5 box lengths; diamond: mean")
    if len(boxes) > _MOST_BOXES:
        remarks = (*remarks, f"the {_MOST_BOXES // 2} farthest and nearest of {len(boxes)} are drawn")
        boxes = [*boxes[: _MOST_BOXES // 2], *boxes[-_MOST_BOXES // 2 :]]
    labels = [elide(label, _LABEL_WIDTH) for label, _ in boxes]
    with names_as_data([*labels, *remarks]) as fonts:
        canvas = Canvas.blank()
        labels = [fonts.drawable(label) for label in labels]
        left = 0.3 + canvas.text_width(labels, 9)
        height = float(np.interp(len(boxes), (5, 40), (0.42, 0.22))) * len(boxes) + 0.1
        canvas.open(left + 5.2, height + 0.6, caption.title, remarks)
        axes = canvas.axes(left, canvas.top, 4.9, height)
        plain_axes(axes)
        axes.spines["left"].set_visible(False)
        axes.set_yticks([])
        axes.grid(axis="x", color=RULE, linewidth=0.6)
        axes.set_ylim(len(boxes) - 0.5, -0.5)
        axes.set_xlabel(unit, fontsize=9, color=INK)
        for index, (_, box) in enumerate(boxes):
            axes.hlines(index, box.low, box.high, color=_BLUE, linewidth=1.0)
            axes.barh(index, box.q3 - box.q1, 0.5, left=box.q1, color=_LIGHT, edgecolor=_BLUE, linewidth=0.9, zorder=2)
            axes.vlines(box.median, index - 0.25, index + 0.25, color=INK, linewidth=1.5, zorder=3)
            axes.plot(box.mean, index, "D", markersize=3.5, color=INK, zorder=4)
            y = canvas.top + height * (index + 0.5) / len(boxes)
            canvas.write(left - 0.1, y, labels[index], 9, INK, ha="right", va="center_baseline")
    return canvas.figure


def _of_pairs(shift: AxisShift) -> str:
    return f"{one_line(shift.axis)} ({count(len(shift.groups) * (len(shift.groups) - 1) // 2, 'pair')})"


def _dots_as_picture(figure: Figure) -> None:
    """Clouds of very many dots become pictures inside the vector file."""
    for axes in figure.axes:
        for cloud in axes.collections:
            if isinstance(cloud, PathCollection) and len(cloud.get_offsets()) > _MOST_VECTOR_DOTS:  # type: ignore[arg-type]
                cloud.set_rasterized(True)


def _extent(report: ReportResult) -> str:
    group = report.quality.whole.grouping.groups[0]
    return f"{count(group.models, 'model')} · {count(group.layers, 'layer')} · {count(group.filters, 'filter')}"
