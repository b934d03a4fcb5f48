"""Pictures of quality: boxes by group, scatters against depth, with the random threshold drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter

from analysis.arrays.types import Float64, Int64
from analysis.measures.degenerate import COLLAPSED_SPARSITY
from analysis.measures.layer_quality import METRICS, floats
from analysis.pictures.canvas import GAP, Canvas, Caption, names_as_data, plain_axes
from analysis.pictures.style import ALARM, BLUE, DEGENERATE_MARKS, FAINT, INK, LIGHT, RULE
from analysis.wording import elide, one_line

#: Longer labels lose their middle; the tables keep the whole name.
LABEL_WIDTH = 44

#: More groups than this would make the picture taller than anything shows.
MOST_ROWS = 150

#: Below this many layers a box says less than the layers themselves.
FEW_LAYERS = 5


@dataclass(frozen=True, slots=True)
class _Panel:
    """One metric of a picture: its column, its scale, and a line to draw with its name.

    ``scale``: one of ``_SCALES``.
    """

    metric: str
    scale: str = "linear"
    line: float | None = None
    line_name: str = ""


_PANELS = (
    _Panel("variance_entropy_normalized", line=1.0, line_name="random threshold T(n)"),
    _Panel("sparsity", line=COLLAPSED_SPARSITY, line_name="0.14, of the rule for collapsed layers"),
    _Panel("orthogonality"),
    _Panel("norm_mean", "log"),
    _Panel("distance_from_untrained", "symlog"),
)

#: Scales and matplotlib's arguments of them. Below 0.01 only large layers tell a distance from untrained from noise.
_SCALES: Mapping[str, Mapping[str, Any]] = {
    "linear": {},
    "log": {"nonpositive": "mask"},
    "symlog": {"linthresh": 0.01},
}
#: Of the last, along x and along y.
_TICKS = ((-1, -0.1, 0, 0.1, 1), (-1, -0.1, -0.01, 0, 0.01, 0.1, 1))


@dataclass(frozen=True, slots=True, eq=False)
class BoxRow:
    """One group of a box plot: its label, the rows of the quality table in it, and their summaries by metric.

    ``colours``: of its lines, and of its areas.
    """

    label: str
    members: Int64
    summaries: Mapping[str, Mapping[str, Any]]
    colours: tuple[str, str] = (BLUE, LIGHT)


def draw_boxes(quality: pa.Table, rows: Sequence[BoxRow], caption: Caption) -> Figure:
    """A row of five boxes per group: normalised entropy, sparsity, orthogonality, mean norm, distance from untrained.

    Boxes are the weighted quartiles, whiskers the weighted 5 % and 95 % quantiles, dots the layers beyond, the diamond
    is the weighted mean. A group with fewer than five layers shows them as dots, without a box.
    """
    remarks = [one_line(remark) for remark in caption.remarks]
    remarks.append("box: quartiles; whiskers: 5% and 95%; diamond: mean; dots: layers beyond the whiskers")
    rows = list(rows)
    if any(len(row.members) < FEW_LAYERS for row in rows):
        remarks.append(f"fewer than {FEW_LAYERS} layers: each drawn as a ring, no box")
    if len(rows) > MOST_ROWS:
        by_size = sorted(range(len(rows)), key=lambda index: -len(rows[index].members))[:MOST_ROWS]
        remarks.append(
            f"the {MOST_ROWS} of {len(rows)} groups with the most layers are drawn; the tables have them all"
        )
        rows = [rows[index] for index in sorted(by_size)]
    labels = [elide(one_line(row.label), LABEL_WIDTH) for row in rows]
    with names_as_data([*labels, caption.title, *remarks]) as fonts:
        canvas = Canvas.blank()
        labels = [fonts.drawable(label) for label in labels]
        left = GAP + canvas.text_width(labels, 9) + 0.12
        pitch = float(np.interp(len(rows), (4, 20, 80), (0.36, 0.27, 0.2)))
        panel, between = 2.15, 0.3
        height = pitch * len(rows) + 0.1
        width = left + len(_PANELS) * (panel + between) + GAP
        canvas.open(width, height + 0.75, fonts.drawable(caption.title), [fonts.drawable(r) for r in remarks])
        for column, kind in enumerate(_PANELS):
            x = left + column * (panel + between)
            canvas.write(x, canvas.top, METRICS[kind.metric], 9, INK, va="top", fontweight="bold")
            axes = canvas.axes(x, canvas.top + 0.2, panel, height)
            _draw_panel(axes, floats(quality, kind.metric), rows, kind)
        for index, label in enumerate(labels):
            y = canvas.top + 0.2 + 0.05 + pitch * (index + 0.5)
            canvas.write(left - 0.1, y, label, 9 if pitch > 0.22 else 8, INK, ha="right", va="center_baseline")
        if any(panel_.line is not None for panel_ in _PANELS):
            note = f"dashed: {_PANELS[0].line_name}; {_PANELS[1].line_name}"
            canvas.write(left, canvas.height - 0.1, note, 7.5, FAINT, va="bottom")
    return canvas.figure


def _draw_panel(axes: Axes, values: Float64, rows: Sequence[BoxRow], panel: _Panel) -> None:
    plain_axes(axes)
    margin = 0.05 / (axes.get_position().height * float(axes.figure.get_figheight()))  # type: ignore[union-attr]
    span = len(rows) / (1 - 2 * margin)
    axes.set_ylim(len(rows) - 0.5 + span * margin, -0.5 - span * margin)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xscale(panel.scale, **_SCALES[panel.scale])
    if panel.scale == "symlog":
        axes.xaxis.set(major_locator=FixedLocator(_TICKS[0]), major_formatter="{x:g}")
    elif panel.scale == "linear":
        axes.locator_params(axis="x", nbins=5)  # more would touch each other
    axes.grid(axis="x", color=RULE, linewidth=0.6)
    if panel.line is not None:
        axes.axvline(panel.line, color=ALARM, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    for colours in dict.fromkeys(row.colours for row in rows):
        mine = [(index, row) for index, row in enumerate(rows) if row.colours == colours]
        _draw_rows(axes, values, mine, panel, *colours)
    if panel.scale == "log":
        _plain_logarithms(axes)


def _plain_logarithms(axes: Axes) -> None:
    """Ticks of a logarithmic scale as plain numbers: there is no mathematics in our texts (``names_as_data``)."""
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 20 * low else (1.0,), numticks=6))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def _draw_rows(
    axes: Axes, values: Float64, rows: Sequence[tuple[int, BoxRow]], panel: _Panel, line: str, area: str
) -> None:
    """Rows of the same colours, each at its place."""
    boxes: list[tuple[float, ...]] = []  # place, 5 %, quartile, median, quartile, 95 %, mean
    rings, dots = [np.empty((2, 0))], [np.empty((2, 0))]
    for index, row in rows:
        here = values[row.members]
        here = here[np.isfinite(here) & ((here > 0) | (panel.scale != "log"))]
        if not len(here):
            continue
        if len(row.members) < FEW_LAYERS:
            rings.append(np.stack([here, np.full(len(here), index)]))
            continue
        summary = row.summaries[panel.metric]
        boxes.append((index, *(summary[name] for name in ("q05", "q25", "median", "q75", "q95", "mean"))))
        beyond = here[(here < summary["q05"]) | (here > summary["q95"])]
        dots.append(np.stack([beyond, np.full(len(beyond), index)]))
    # Each kind of mark at once: an artist for each box would take seconds.
    at, q05, q25, median, q75, q95, mean = np.array(boxes).reshape(-1, 7).T
    axes.hlines(at, q05, q95, color=line, linewidth=0.9, zorder=2)
    axes.barh(at, q75 - q25, 0.62, left=q25, color=area, edgecolor=line, linewidth=0.8, zorder=2.5)
    axes.vlines(median, at - 0.31, at + 0.31, color=INK, linewidth=1.4, zorder=3)
    axes.plot(mean, at, "D", markersize=3.2, color=INK, mec="white", mew=0.4, zorder=4)
    axes.plot(*np.hstack(rings), "o", markersize=4, mfc="none", mec=line, mew=0.9, zorder=3)
    axes.plot(*np.hstack(dots), ".", markersize=2.5, color=line, alpha=0.55, zorder=2)


def draw_by_depth(quality: pa.Table, caption: Caption) -> Figure:
    """Five metrics of each layer against its relative depth, and their median by decile of depth."""
    depth = floats(quality, "conv_depth_norm")
    remarks = [one_line(remark) for remark in caption.remarks]
    with names_as_data([caption.title, *remarks]) as fonts:
        canvas = Canvas.blank()
        panel, height, last = 4.3, 2.5, len(_PANELS) - 1
        canvas.open(
            2 * panel + 1.5,
            (last // 2 + 1) * (height + 0.6) + 0.4,
            fonts.drawable(caption.title),
            [fonts.drawable(r) for r in remarks],
        )
        shown = None
        for index, kind in enumerate(_PANELS):
            row, column = divmod(index, 2)
            x, y = 0.62 + column * (panel + 0.7), canvas.top + row * (height + 0.6)
            axes = canvas.axes(x, y, panel, height)
            plain_axes(axes)
            axes.grid(color=RULE, linewidth=0.6)
            values = floats(quality, kind.metric)
            scale_y(axes, kind.scale)
            if kind.scale == "log":
                values = np.where(values > 0, values, np.nan)
            scatter_layers(axes, depth, values, quality)
            _medians(axes, depth, values)
            if kind.line is not None:
                axes.axhline(kind.line, color=ALARM, linewidth=1.1, linestyle=(0, (4, 3)), zorder=4)
            axes.set_xlim(-0.03, 1.03)
            axes.set_ylabel(METRICS[kind.metric], fontsize=9, color=INK)
            if index >= last - 1:  # the lowest of its column
                axes.set_xlabel("relative depth of the layer (0: stem, 1: deepest)", fontsize=9, color=INK)
            shown = axes
        lines = [
            Line2D([], [], color=INK, linewidth=1.6, label="median by decile of depth"),
            Line2D([], [], color=ALARM, linewidth=1.1, linestyle=(0, (4, 3)), label="T(n); sparsity 0.14"),
        ]
        assert shown is not None
        name_layers(canvas, shown, quality, lines)
    return canvas.figure


def scale_y(axes: Axes, scale: str) -> None:
    """Give the y-axis one of ``_SCALES``."""
    axes.set_yscale(scale, **_SCALES[scale])
    if scale == "symlog":
        axes.yaxis.set(major_locator=FixedLocator(_TICKS[1]), major_formatter="{x:g}")


def _medians(axes: Axes, depth: Float64, values: Float64) -> None:
    edges = np.arange(1, 10) / 10
    decile = np.searchsorted(edges, depth, side="left")
    at, medians = [], []
    for index in range(10):
        here = values[(decile == index) & np.isfinite(values)]
        if len(here):
            at.append((index + 0.5) / 10)
            medians.append(float(np.median(here)))
    axes.plot(at, medians, color="white", linewidth=2.8, alpha=0.7, zorder=4.5)
    axes.plot(at, medians, color=INK, linewidth=1.6, marker="o", markersize=3, zorder=5)


def scatter_layers(axes: Axes, x: Float64, y: Float64, quality: pa.Table) -> None:
    """Dots, fainter and smaller the more there are; degenerate layers above them by colour and shape."""
    kinds = np.array(quality.column("degenerate").to_pylist(), dtype=object)
    fine = np.array([kind is None for kind in kinds])
    many = float(np.interp(np.log10(max(1, len(x))), (2, 5), (0, 1)))
    size, alpha = 22 * (1 - many) + 3 * many, 0.6 * (1 - many) + 0.12 * many
    axes.scatter(x[fine], y[fine], s=size, c=BLUE, alpha=alpha, linewidths=0, zorder=2)
    for kind, (colour, marker) in DEGENERATE_MARKS.items():
        mine = kinds == kind.value
        if mine.any():
            axes.scatter(
                x[mine], y[mine], s=size * 1.3 + 6, c=colour, marker=marker, alpha=0.85, linewidths=0, zorder=3
            )


def name_layers(canvas: Canvas, axes: Axes, quality: pa.Table, lines: Sequence[Line2D]) -> None:
    """One line below the axes: what dots and lines are, with how many layers."""
    kinds = quality.column("degenerate").to_pylist()
    common: dict[str, Any] = {"linestyle": "none", "markeredgewidth": 0}
    handles = [Line2D([], [], color=BLUE, marker="o", markersize=5, label=f"layers ({kinds.count(None)})", **common)]
    for kind, (colour, marker) in DEGENERATE_MARKS.items():
        number = kinds.count(kind.value)
        if number:
            label = f"{kind.value} ({number})"
            handles.append(Line2D([], [], color=colour, marker=marker, markersize=6, label=label, **common))
    axes.figure.legend(
        handles=[*handles, *lines],
        loc="lower left",
        bbox_to_anchor=(0.6 / canvas.width, 0.06 / canvas.height),
        bbox_transform=canvas.figure.transFigure,
        ncols=len(handles) + len(lines),
        fontsize=8,
        frameon=False,
        borderaxespad=0.0,
        handletextpad=0.4,
        columnspacing=1.4,
        labelcolor=INK,
    )
