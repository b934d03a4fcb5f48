"""Pictures of one model in a store: drift to groups with intervals, and its layers as percentiles of the store's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.arrays.types import Float64
from analysis.measures.degenerate import Degeneracy
from analysis.pictures.canvas import GAP, Canvas, Caption, names_as_data, plain_axes
from analysis.pictures.style import ALARM, BLUE, DEGENERATE_MARKS, FAINT, INK, RULE
from analysis.wording import elide, one_line

#: Longer labels lose their middle; the tables keep the whole name.
LABEL_WIDTH = 44

#: More groups of one axis than this are not drawn: the nearest are.
MOST_ROWS = 40

_PITCH, _HEADING, _TICKS = 0.25, 0.3, 0.34  # inches


@dataclass(frozen=True, slots=True)
class DriftRow:
    """One group: drift, bounds of its interval, usual drift of the group's own models (NaN: unknown), few models."""

    label: str
    drift: float
    low: float
    high: float
    usual: float
    few: bool


@dataclass(frozen=True, slots=True, eq=False)
class DriftBlock:
    """The groups of one axis. Blocks of like ``scale`` share the range of their horizontal axis."""

    heading: str
    rows: Sequence[DriftRow]
    scale: str

    def largest(self) -> float:
        """Of what is drawn."""
        values = [value for row in self.rows for value in (row.drift, row.high, row.usual)]
        return max((value for value in values if np.isfinite(value)), default=0.0)


@dataclass(frozen=True, slots=True, eq=False)
class MetricStrip:
    """One metric of a model's layers: (N,) percentiles and the values themselves, NaN where undefined."""

    title: str
    percentiles: Float64
    values: Float64


def draw_drift_to_groups(blocks: Sequence[DriftBlock], caption: Caption, unit: str, interval: float | None) -> Figure:
    """A row per group, a block per axis: dot for the drift, bar for its interval, tick for the group's own usual drift.

    Dots are hollow where the group has few models. Groups without a comparable layer say so.
    """
    remarks = [one_line(remark) for remark in caption.remarks]
    shown = [_nearest_rows(block, remarks) for block in blocks]
    labels = [[elide(one_line(row.label), LABEL_WIDTH) for row in block.rows] for block in shown]
    headings = [one_line(block.heading) for block in shown]
    with names_as_data([*(text for texts in labels for text in texts), *headings, caption.title, *remarks]) as fonts:
        canvas = Canvas.blank()
        labels = [[fonts.drawable(text) for text in texts] for texts in labels]
        left = max(GAP + canvas.text_width([text for texts in labels for text in texts], 9) + 0.14, 1.2)
        width = max(left + 5.4, 8.0)
        body = sum(_HEADING + _PITCH * len(block.rows) + _TICKS for block in shown) + 0.6
        canvas.open(width, body, fonts.drawable(caption.title), [fonts.drawable(remark) for remark in remarks])
        at = canvas.top
        for block, heading, texts in zip(shown, headings, labels, strict=True):
            canvas.write(GAP, at + 0.04, fonts.drawable(heading), 9.5, INK, va="top", fontweight="bold")
            at += _HEADING
            axes = canvas.axes(left, at, width - left - 0.35, _PITCH * len(block.rows))
            largest = max(other.largest() for other in shown if other.scale == block.scale)
            _draw_rows(axes, block.rows, (largest if largest > 0 else 1.0) * 1.04)
            for index, text in enumerate(texts):
                y = at + _PITCH * (index + 0.5)
                canvas.write(left - 0.1, y, text, 9, INK, ha="right", va="center_baseline")
            at += _PITCH * len(block.rows) + _TICKS
        axes.set_xlabel(unit, fontsize=9, color=INK)
        _drift_legend(canvas, interval)
    return canvas.figure


def _nearest_rows(block: DriftBlock, remarks: list[str]) -> DriftBlock:
    rows = block.rows
    if len(rows) <= MOST_ROWS:
        return block
    by_drift = sorted(range(len(rows)), key=lambda i: np.nan_to_num(rows[i].drift, nan=np.inf))
    remarks.append(f"{block.heading}: the {MOST_ROWS} nearest of {len(rows)} groups are drawn; the table has all")
    return DriftBlock(block.heading, [rows[i] for i in sorted(by_drift[:MOST_ROWS])], block.scale)


def _draw_rows(axes: Axes, rows: Sequence[DriftRow], limit: float) -> None:
    plain_axes(axes)
    axes.set_xlim(0, limit)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks([])
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    for index, row in enumerate(rows):
        if not np.isfinite(row.drift):
            note = "no layer of the model there"
            axes.text(limit * 0.01, index, note, fontsize=8, color=FAINT, va="center_baseline")
            continue
        if np.isfinite(row.low):
            axes.hlines(index, row.low, row.high, color=BLUE, linewidth=3.2, alpha=0.35, zorder=2)
        if np.isfinite(row.usual):
            axes.vlines(row.usual, index - 0.34, index + 0.34, color=ALARM, linewidth=1.3, zorder=3)
        face = "white" if row.few else BLUE
        axes.plot(row.drift, index, "o", markersize=5.5, mfc=face, mec=BLUE, mew=1.2, zorder=4, clip_on=False)


def _drift_legend(canvas: Canvas, interval: float | None) -> None:
    dot: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 5.5, "mec": BLUE, "mew": 1.2}
    handles = [Line2D([], [], mfc=BLUE, label="drift to the group", **dot)]
    handles.append(Line2D([], [], mfc="white", label="few models", **dot))
    if interval is not None:
        label = f"{interval:.0%} interval over the group's models"
        handles.append(Line2D([], [], color=BLUE, alpha=0.35, linewidth=3.2, label=label))
    label = "median drift of the group's own models"
    handles.append(
        Line2D([], [], color=ALARM, linestyle="none", marker="|", markersize=9, markeredgewidth=1.3, label=label)
    )
    canvas.figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(GAP / canvas.width, 0.06 / canvas.height),
        bbox_transform=canvas.figure.transFigure,
        ncols=len(handles),
        fontsize=8,
        frameon=False,
        borderaxespad=0.0,
        handletextpad=0.4,
        columnspacing=1.1,
        labelcolor=INK,
    )


def draw_percentiles(
    depth: Float64, kinds: Sequence[Degeneracy | None], strips: Sequence[MetricStrip], caption: Caption
) -> Figure:
    """A strip per metric: each layer a dot at its percentile among the store's layers, deeper layers lower and darker.

    The grey band is the middle half of the store's layers, the black line the median of the model's.
    """
    remarks = [one_line(remark) for remark in caption.remarks]
    remarks.append("a dot: a layer, the stem on top, deeper layers lower and darker; line: median; band: middle half")
    titles = [one_line(strip.title) for strip in strips]
    details = [_detail(strip) for strip in strips]
    with names_as_data([*titles, caption.title, *remarks]) as fonts:
        canvas = Canvas.blank()
        left = GAP + max(canvas.text_width(titles, 9), canvas.text_width(details, 7.5)) + 0.16
        strip_height, between, plot = 0.52, 0.16, 5.2
        width = left + plot + 0.95
        body = len(strips) * (strip_height + between) + 0.75
        canvas.open(width, body, fonts.drawable(caption.title), [fonts.drawable(remark) for remark in remarks])
        norm, shades = Normalize(0.0, 1.0), matplotlib.colormaps["viridis_r"]
        for index, strip in enumerate(strips):
            y = canvas.top + index * (strip_height + between)
            canvas.write(left - 0.14, y + strip_height / 2 - 0.08, titles[index], 9, INK, ha="right", va="center")
            canvas.write(left - 0.14, y + strip_height / 2 + 0.09, details[index], 7.5, FAINT, ha="right", va="center")
            axes = canvas.axes(left, y, plot, strip_height)
            _draw_strip(axes, depth, kinds, strip, norm)
            if index == len(strips) - 1:
                axes.tick_params(labelbottom=True)
                axes.set_xlabel("percentile among the store's layers", fontsize=9, color=INK)
        high = len(strips) * (strip_height + between) - between
        bar_axes = canvas.axes(left + plot + 0.22, canvas.top, 0.12, high)
        bar = canvas.figure.colorbar(ScalarMappable(norm=norm, cmap=shades), cax=bar_axes)
        bar_axes.invert_yaxis()
        bar.set_label("relative depth", fontsize=8, color=INK)
        bar.ax.tick_params(labelsize=7.5, colors=INK, length=2)
        bar.outline.set_visible(False)
        _kinds_legend(canvas, kinds)
    return canvas.figure


def _detail(strip: MetricStrip) -> str:
    values = strip.values[np.isfinite(strip.values)]
    if not len(values):
        return "not defined for any layer"
    return f"median {np.median(values):.3g}"


def _draw_strip(
    axes: Axes, depth: Float64, kinds: Sequence[Degeneracy | None], strip: MetricStrip, norm: Normalize
) -> None:
    plain_axes(axes)
    axes.spines["left"].set_visible(False)
    axes.set_xlim(-2, 102)
    axes.set_ylim(1.12, -0.12)
    axes.set_yticks([])
    axes.set_xticks(range(0, 101, 10))
    axes.tick_params(labelbottom=False)
    axes.axvspan(25, 75, color="#EDEDED", linewidth=0, zorder=0)
    x = strip.percentiles
    there = np.isfinite(x)
    if not there.any():
        return
    many = float(np.interp(there.sum(), (20, 300), (0, 1)))
    size = 26 * (1 - many) + 8 * many
    plain = there & np.array([kind is None for kind in kinds])
    shades = matplotlib.colormaps["viridis_r"]
    axes.scatter(x[plain], depth[plain], s=size, c=shades(norm(depth[plain])), linewidths=0, zorder=3, clip_on=False)
    for kind, (colour, marker) in DEGENERATE_MARKS.items():
        mine = there & np.array([each is kind for each in kinds])
        axes.scatter(x[mine], depth[mine], s=size + 10, c=colour, marker=marker, linewidths=0, zorder=4, clip_on=False)
    axes.vlines(float(np.median(x[there])), -0.12, 1.12, color=INK, linewidth=1.3, zorder=2)


def _kinds_legend(canvas: Canvas, kinds: Sequence[Degeneracy | None]) -> None:
    found = [(kind, *look) for kind, look in DEGENERATE_MARKS.items() if kind in kinds]
    common: dict[str, Any] = {"linestyle": "none", "markeredgewidth": 0, "markersize": 6}
    handles = [
        Line2D([], [], color=colour, marker=marker, label=f"{kind.value} ({list(kinds).count(kind)})", **common)
        for kind, colour, marker in found
    ]
    if not handles:
        canvas.write(GAP, canvas.height - 0.1, "no degenerate layer", 8, FAINT, va="bottom")
        return
    canvas.figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(GAP / canvas.width, 0.06 / canvas.height),
        bbox_transform=canvas.figure.transFigure,
        ncols=len(handles),
        fontsize=8,
        frameon=False,
        borderaxespad=0.0,
        handletextpad=0.4,
        labelcolor=INK,
    )
