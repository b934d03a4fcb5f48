"""Pictures of structure: eigenfilters as rows of 3x3 tiles, and cumulative variance as curves."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from analysis.measures.eigenfilters import Structure
from analysis.pictures.canvas import GAP, Canvas, Caption, names_as_data, plain_axes
from analysis.pictures.style import ALARM, FAINT, INK, RULE, SIGNED_COLOURS
from analysis.wording import count, elide, one_line

#: Longer labels lose their middle; the tables keep the whole name.
LABEL_WIDTH = 44

#: A picture of more rows than this would be taller than anything shows: the rows with most filters are drawn.
MOST_ROWS = 100

#: Up to so many curves each have a colour and a marker of their own.
_DISTINCT = 8
#: Okabe & Ito's palette without black and yellow, which are taken and too faint, and one more grey-brown.
_PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7A4B9A", "#7F6A4F")
_MARKERS = "osD^vPX*"
_LEGEND_ROWS = 31

_TILE = 0.62  # inches
_BETWEEN = 0.14
_SHARE = 0.19  # below a tile, for its share of the variance


def draw_eigenfilters(rows: Sequence[Structure], caption: Caption) -> Figure:
    """A row of nine tiles per structure, each with its share of the variance; the sizes of the group at the left.

    All tiles share one colour scale, symmetric about 0. Components without variance are crossed out, those that do not
    stand apart from a neighbour (``Structure.separated``) have their share in grey with a ~, and a group of fewer than
    ten filters says so.
    """
    rows, remarks = largest_rows(rows, caption)
    labels = [elide(one_line(row.group.label), LABEL_WIDTH) for row in rows]
    sizes = [f"{count(row.moments.count, 'filter')} · {count(row.group.layers, 'layer')}" for row in rows]
    mixed = any((row.directed & ~row.separated).any() for row in rows)
    if mixed:
        remarks.append(
            "~ not apart from its neighbour in variance: the two may be any mixture of each other (North 1982)"
        )
    if any(not row.directed.all() for row in rows):
        remarks.append("crossed out: no variance in this direction")
    with names_as_data([*labels, caption.title, *remarks]) as fonts:
        canvas = Canvas.blank()
        labels = [fonts.drawable(label) for label in labels]
        flags = [_flag(row) for row in rows]
        left = GAP + max(canvas.text_width(labels, 9.5), canvas.text_width(sizes, 7.5), canvas.text_width(flags, 7.5))
        left += 0.18
        step, pitch = _TILE + _BETWEEN, _TILE + _SHARE + _BETWEEN
        width = left + 9 * step + GAP
        body = 0.2 + pitch * len(rows) + 0.55
        canvas.open(width, body, fonts.drawable(caption.title), [fonts.drawable(remark) for remark in remarks])
        for column in range(9):
            canvas.write(left + column * step + _TILE / 2, canvas.top, str(column + 1), 8, FAINT, ha="center", va="top")
        limit = max([0.5, *(float(np.abs(r.principal.components).max()) for r in rows if r.principal)])
        norm = Normalize(-limit, limit)
        top = canvas.top + 0.2
        axes = canvas.axes(left, top, 9 * step, pitch * len(rows))  # in inches, from the top
        axes.axis("off")
        _draw_tiles(axes, rows, pitch, norm)
        for index, row in enumerate(rows):
            _draw_row(axes, row, pitch * index)
            middle = top + pitch * index + _TILE / 2
            offset = 0.075 if not flags[index] else 0.14
            canvas.write(left - 0.14, middle - offset, labels[index], 9.5, INK, ha="right", va="center")
            canvas.write(left - 0.14, middle - offset + 0.16, sizes[index], 7.5, FAINT, ha="right", va="center")
            if flags[index]:
                canvas.write(left - 0.14, middle - offset + 0.3, flags[index], 7.5, ALARM, ha="right", va="center")
        axes.set_xlim(0, 9 * step)
        axes.set_ylim(pitch * len(rows), 0)
        _draw_scale(canvas, left, top + pitch * len(rows) + 0.1, norm)
    return canvas.figure


def _flag(row: Structure) -> str:
    if row.principal is None:
        return "one filter: no components" if row.moments.count < 2 else "all filters equal: no components"
    return "too few filters for nine components" if row.few_filters else ""


def largest_rows(rows: Sequence[Structure], caption: Caption) -> tuple[list[Structure], list[str]]:
    remarks = [one_line(remark) for remark in caption.remarks]
    if len(rows) <= MOST_ROWS:
        return list(rows), remarks
    by_size = sorted(range(len(rows)), key=lambda index: -rows[index].moments.count)
    kept = sorted(by_size[:MOST_ROWS])
    remarks.append(f"the {MOST_ROWS} of {len(rows)} rows with the most filters are drawn; the tables have them all")
    return [rows[index] for index in kept], remarks


def _draw_row(axes: Axes, row: Structure, y: float) -> None:
    """The frames of a row's tiles, the shares of variance below them, and crosses where there is none."""
    separated, directed, ratio = row.separated, row.directed, row.ratio
    frames: list[list[tuple[float, float]]] = []
    crosses: list[list[tuple[float, float]]] = []
    for column in range(9):
        x = column * (_TILE + _BETWEEN)
        right, bottom = x + _TILE, y + _TILE
        frames.append([(x, y), (right, y), (right, bottom), (x, bottom), (x, y)])
        below = y + _TILE + 0.03
        if not directed[column]:
            crosses += [[(x, y), (right, bottom)], [(x, bottom), (right, y)]]
            axes.text(x + _TILE / 2, below, "–", fontsize=7.5, color=FAINT, ha="center", va="top")
            continue
        text = f"{ratio[column]:.1%}" if separated[column] else f"~{ratio[column]:.1%}"
        colour = INK if separated[column] else FAINT
        axes.text(x + _TILE / 2, below, text, fontsize=7.5, color=colour, ha="center", va="top")
    axes.add_collection(LineCollection(frames, colors=FAINT, linewidths=0.6, clip_on=False))
    axes.add_collection(LineCollection(crosses, colors=RULE, linewidths=0.8))


def _draw_tiles(axes: Axes, rows: Sequence[Structure], pitch: float, norm: Normalize) -> None:
    """All tiles as one mesh, of which the cells between them are empty: an image for each would take seconds."""
    cells = np.full((len(rows), 4, 9, 4), np.nan)  # row, down, component, right; the fourth is between
    for index, row in enumerate(rows):
        if row.principal is not None:
            cells[index, :3, row.directed, :3] = row.principal.components[row.directed].reshape(-1, 3, 3)
    within = np.array([0.0, _TILE / 3, 2 * _TILE / 3, _TILE])
    across = np.append(np.add.outer(np.arange(9) * (_TILE + _BETWEEN), within), 9 * (_TILE + _BETWEEN))
    down = np.append(np.add.outer(np.arange(len(rows)) * pitch, within), len(rows) * pitch)
    # Rasterised: in a vector file it is one picture.
    axes.pcolormesh(across, down, cells.reshape(4 * len(rows), 36), cmap=SIGNED_COLOURS, norm=norm, rasterized=True)


def _draw_scale(canvas: Canvas, left: float, top: float, norm: Normalize) -> None:
    bar = canvas.figure.colorbar(
        ScalarMappable(norm=norm, cmap=SIGNED_COLOURS), cax=canvas.axes(left, top, 2.4, 0.12), orientation="horizontal"
    )
    bar.ax.tick_params(labelsize=7.5, colors=INK, length=2)
    bar.outline.set_visible(False)
    canvas.write(left + 2.55, top + 0.06, "entry of the component (unit length)", 7.5, FAINT, va="center")


def draw_cumulative(whole: Structure, groups: Sequence[Structure], caption: Caption) -> Figure:
    """Cumulative explained variance of the whole store (black) and of each group, over the number of components.

    Up to eight groups have a colour and marker each; more take their colour from the order of the curves, as does the
    legend. Groups of fewer than ten filters are dotted.
    """
    drawn = [group for group in groups if group.principal is not None]
    order = sorted(range(len(drawn)), key=lambda index: -float(drawn[index].cumulative[:-1].mean()))
    drawn = [drawn[index] for index in order]
    remarks = [one_line(remark) for remark in caption.remarks]
    without = len(groups) - len(drawn)
    if without:
        remarks.append(f"left out, without variance: {count(without, 'group')}")
    if any(group.few_filters for group in drawn):
        remarks.append("dotted: fewer than ten filters, which reach 100% early by themselves")
    labels = [elide(one_line(group.group.label), LABEL_WIDTH) for group in drawn]
    named = _named(len(drawn))
    if len(named) < len(drawn):
        remarks.append(f"the legend names the {len(named) // 2} highest and lowest of {len(drawn)} curves")
    with names_as_data([*labels, caption.title, *remarks]) as fonts:
        canvas = Canvas.blank()
        labels = [fonts.drawable(label) for label in labels]
        entries = [_WHOLE, *(labels[index] for index in named)]
        columns = -(-len(entries) // _LEGEND_ROWS)
        plot, side = 5.2, max(4.0, 0.18 * min(len(entries), _LEGEND_ROWS))
        rows = -(-len(entries) // columns)
        parts = [entries[start : start + rows] for start in range(0, len(entries), rows)]
        width = 0.65 + plot + 0.15 + sum(canvas.text_width(part, 8) + 0.62 for part in parts) + GAP
        canvas.open(width, side + 0.6, fonts.drawable(caption.title), [fonts.drawable(remark) for remark in remarks])
        axes = canvas.axes(0.65, canvas.top, plot, side)
        lines = _draw_curves(axes, drawn)
        x = np.arange(1, 10)
        reference = axes.plot(x, whole.cumulative, color="black", linewidth=2.2, zorder=5)[0]
        legend = axes.legend(
            [reference, *(lines[index] for index in named)],
            entries,
            loc="upper left",
            bbox_to_anchor=(1.02, 1.0),
            borderaxespad=0.0,
            ncols=columns,
            fontsize=8,
            frameon=False,
            labelspacing=0.35,
            columnspacing=1.2,
            handlelength=2.2,
            labelcolor=INK,
        )
        legend.set_in_layout(False)
        _frame_curves(axes, [whole, *drawn])
    return canvas.figure


_WHOLE = "all filters of the store"


def _named(number: int) -> list[int]:
    if number <= 3 * _LEGEND_ROWS - 1:
        return list(range(number))
    return [*range(_LEGEND_ROWS // 2 - 1), *range(number - (_LEGEND_ROWS // 2 - 1), number)]


def _draw_curves(axes: Axes, groups: Sequence[Structure]) -> list[matplotlib.lines.Line2D]:
    x = np.arange(1, 10)
    shades = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.9, max(2, len(groups))))
    lines = []
    for index, group in enumerate(groups):
        distinct = len(groups) <= _DISTINCT
        line = axes.plot(
            x,
            group.cumulative,
            color=_PALETTE[index] if distinct else shades[index],
            marker=_MARKERS[index] if distinct else None,
            markersize=4.5,
            linewidth=1.4 if len(groups) <= 30 else 0.9,
            linestyle=":" if group.few_filters else "-",
            alpha=0.9 if len(groups) <= 100 else 0.5,
        )[0]
        lines.append(line)
    return lines


def _frame_curves(axes: Axes, structures: Sequence[Structure]) -> None:
    plain_axes(axes)
    lowest = min(float(structure.cumulative[0]) for structure in structures if structure.principal)
    axes.set_ylim(max(0.0, np.floor((lowest - 0.02) * 20) / 20), 1.012)
    axes.set_xlim(0.85, 9.15)
    axes.set_xticks(range(1, 10))
    axes.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(xmax=1, decimals=0))
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_xlabel("number of components", fontsize=9, color=INK)
    axes.set_ylabel("cumulative explained variance", fontsize=9, color=INK)
