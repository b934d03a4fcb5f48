"""Untrained filters as groups of a drift matrix, and beside the structure of groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np

from analysis.arrays.sketch import Sketch
from analysis.arrays.untrained import untrained_moments
from analysis.measures.drift_matrix import AxisShift, DriftMethod, axis_shift, notes_on_range
from analysis.measures.eigenfilters import Structure, structure_from
from analysis.selection.untrained import untrained_groups, with_untrained_groups
from analysis.settings import Baseline


def beside_untrained(shift: AxisShift, sketch: Sketch, kinds: Sequence[Baseline], method: DriftMethod) -> AxisShift:
    """The matrix with untrained filters as groups after its own, whose cells stay as they are to the last bit.

    Untrained filters are no models: there is nothing to resample or to deal out, so their cells have no interval, null
    or p-value, and false discoveries are controlled over the other pairs alone.

    Args:
        shift: of the groups of models.
        sketch: that of ``shift`` with the rows of untrained filters (``analysis.arrays.untrained``).
        kinds: of untrained filters; none: nothing changes.
        method: that of ``shift``.
    """
    if not kinds:
        return shift
    grouping, own = with_untrained_groups(shift.grouping, kinds), len(shift.groups)
    drift = axis_shift(sketch, grouping, replace(method, resampling=None)).drift
    drift[:own, :own] = shift.drift
    uncertainty = shift.uncertainty
    if uncertainty is not None:
        beyond = (0, len(grouping.groups) - own)
        known = {each.name: getattr(uncertainty, each.name) for each in fields(uncertainty)}
        uncertainty = replace(uncertainty, **{n: np.pad(v, beyond, constant_values=np.nan) for n, v in known.items()})
    theirs = grouping.codes >= own
    untrained = replace(grouping, axis="baseline", groups=grouping.groups[own:], layer_ids=grouping.layer_ids[theirs])
    notes = (*shift.notes, *notes_on_range(sketch, untrained))
    return replace(shift, grouping=grouping, drift=drift, notes=notes, uncertainty=uncertainty)


def untrained_structures(kinds: Sequence[Baseline]) -> tuple[Structure, ...]:
    """Their structure: no direction stands out, and none is odd or even more than its share."""
    return tuple(
        structure_from(untrained_moments(kind), group)
        for kind, group in zip(dict.fromkeys(kinds), untrained_groups(kinds), strict=True)
    )
