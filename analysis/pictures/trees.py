"""What is near to what, as trees side by side: leaves at the right, joined the farther left the less alike they are."""

from __future__ import annotations

from matplotlib.figure import Figure

from analysis.measures.linkage import Linkage
from analysis.pictures.canvas import GAP, Canvas, Caption, names_as_data, plain_axes
from analysis.pictures.style import BLUE, FAINT, INK, RULE
from analysis.wording import elide, one_line

_LABEL_WIDTH = 44
_ROW, _WIDE = 0.2, 4.6  # inches a leaf, and of the trees


def draw_trees(linkage: Linkage, caption: Caption, unit: str, tied_from: float) -> Figure:
    """One row a leaf; ``unit`` names the axis, ``tied_from`` is marked on it."""
    labels = [elide(one_line(label), _LABEL_WIDTH) for label in linkage.labels]
    with names_as_data([*labels, caption.title, *caption.remarks]) as fonts:
        canvas = Canvas.blank()
        labels = [fonts.drawable(label) for label in labels]
        side = _ROW * max(2, len(labels))
        names = canvas.text_width(labels, 8)
        canvas.open(2 * GAP + _WIDE + 0.1 + names, side + 0.55, caption.title, caption.remarks)
        axes = canvas.axes(GAP, canvas.top, _WIDE, side)
        plain_axes(axes)
        axes.spines["left"].set_visible(False)
        axes.set_xlim(0, 1.01)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set_yticks([])
        axes.set_xlabel(unit, fontsize=8.5, color=INK)
        axes.axvline(tied_from, color=RULE, linewidth=1, linestyle="--")
        # By its first leaf: height (a cosine), and where its line leaves it.
        at = {leaf: (1.0, float(leaf)) for leaf in range(len(labels))}
        owner = list(range(len(labels)))
        for first, second, cosine in linkage.merges:
            ends = [at[owner[leaf]] for leaf in (first, second)]
            for x, y in ends:
                axes.plot([cosine, x], [y, y], color=BLUE, linewidth=1.4, solid_capstyle="butt")
            axes.plot([cosine] * 2, [y for _, y in ends], color=BLUE, linewidth=1.4, solid_capstyle="projecting")
            joined, left = owner[second], owner[first]
            owner = [left if each == joined else each for each in owner]
            at[left] = (cosine, (ends[0][1] + ends[1][1]) / 2)
        for row, label in enumerate(labels):
            y = canvas.top + _ROW * (row + 0.5) * max(2, len(labels)) / len(labels)
            canvas.write(GAP + _WIDE + 0.1, y, label, 8, INK if len(labels) < 100 else FAINT, va="center_baseline")
    return canvas.figure
