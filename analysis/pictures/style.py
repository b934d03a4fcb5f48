"""Colours and marks that all pictures share, and matplotlib's defaults in place of the user's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import matplotlib
import numpy as np
from matplotlib.colors import ListedColormap

from analysis.measures.degenerate import Degeneracy

#: Of texts and lines; of warnings; of data, and of areas of data; of the other side, where there are two.
INK, FAINT, RULE, ALARM = "#1a1a1a", "#5c5c5c", "#d9d9d9", "#b3261e"
BLUE, LIGHT = "#3B6EA5", "#C9D9EA"
ORANGE, PEACH = "#B8570C", "#F3D3B3"

#: Of drifts: perceptually uniform, light (alike) to dark (far apart), readable in grey and by the colour-blind.
#: Cut before it turns black, where differences are lost.
DRIFT_COLOURS = ListedColormap(matplotlib.colormaps["magma_r"](np.linspace(0.0, 0.88, 256)), name="drift")

#: Of numbers with a sign: blue to red through white, told apart by the colour-blind; white is 0.
SIGNED_COLOURS = matplotlib.colormaps["RdBu_r"]

#: Of densities.
DENSITY_COLOURS = matplotlib.colormaps["viridis"]

#: How degenerate layers are drawn: colour, marker.
DEGENERATE_MARKS: Mapping[Degeneracy, tuple[str, str]] = {
    Degeneracy.RANDOM: ("#D55E00", "^"),
    Degeneracy.COLLAPSED: ("#7A4B9A", "v"),
    Degeneracy.ZERO: ("#1a1a1a", "X"),
}


@contextmanager
def default_style() -> Iterator[None]:
    """Within it, figures are drawn and saved as ours are, whatever the user's matplotlibrc or style sheet says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield
