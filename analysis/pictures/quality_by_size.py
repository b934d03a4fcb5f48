"""Pictures of quality against the number of a layer's filters: what chance makes of small layers is drawn beside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.arrays.types import Int64
from analysis.measures.degenerate import RANDOM_MARGIN, random_thresholds
from analysis.measures.layer_quality import METRICS, floats
from analysis.measures.untrained_distance import untrained_threshold
from analysis.pictures.canvas import Canvas, Caption, names_as_data, plain_axes
from analysis.pictures.quality import name_layers, scale_y, scatter_layers
from analysis.pictures.style import ALARM, FAINT, INK, RULE
from analysis.wording import one_line


def draw_entropy_by_size(quality: pa.Table, caption: Caption) -> Figure:
    """Variance entropy of each layer against the number of its filters, with T(n) and the margin of the rule."""

    def draw(axes: Axes, n: Int64) -> list[Line2D]:
        threshold = random_thresholds(n)
        axes.set_ylim(-0.02, 1.0)
        return [
            *axes.plot(np.log2(n), threshold, color=ALARM, linewidth=1.4, zorder=4, label="T(n), random filters"),
            *axes.plot(np.log2(n), threshold - RANDOM_MARGIN, label=f"T(n) − {RANDOM_MARGIN}", **_DASHED),
        ]

    return _by_size(quality, "variance_entropy", caption, draw)


def draw_untrained_by_size(quality: pa.Table, caption: Caption) -> Figure:
    """Distance from untrained of each layer against the number of its filters, and up to where it is noise."""

    def draw(axes: Axes, n: Int64) -> list[Line2D]:
        scale_y(axes, "symlog")
        axes.axhline(0, color=FAINT, linewidth=0.8)
        return axes.plot(np.log2(n), untrained_threshold(n), label="999 of 1,000 untrained layers are below", **_DASHED)

    return _by_size(quality, "distance_from_untrained", caption, draw)


_DASHED: Mapping[str, Any] = {"color": ALARM, "linewidth": 0.9, "linestyle": (0, (4, 3)), "zorder": 4}


def _by_size(quality: pa.Table, metric: str, caption: Caption, draw: Callable[[Axes, Int64], list[Line2D]]) -> Figure:
    """A metric against log2 of the number of filters; ``draw`` adds lines over (K,) numbers and gives those to name."""
    size, values = floats(quality, "num_filters"), floats(quality, metric)
    remarks = [one_line(remark) for remark in caption.remarks]
    with names_as_data([caption.title, *remarks]) as fonts:
        canvas = Canvas.blank()
        canvas.open(8.4, 5.3, fonts.drawable(caption.title), [fonts.drawable(remark) for remark in remarks])
        axes = canvas.axes(0.65, canvas.top, 7.6, 4.3)
        plain_axes(axes)
        axes.grid(color=RULE, linewidth=0.6)
        scatter_layers(axes, np.log2(size), values, quality)
        lines = draw(axes, np.unique(np.geomspace(3, max(16.0, float(size.max()) * 1.3), 300).astype(np.int64)))
        axes.set_xlabel("log2 n, number of filters of the layer", fontsize=9, color=INK)
        axes.set_ylabel(METRICS[metric], fontsize=9, color=INK)
        name_layers(canvas, axes, quality, lines)
    return canvas.figure
