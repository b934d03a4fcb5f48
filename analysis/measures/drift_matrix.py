"""The drift matrix of one axis from a sketch: weighting, divergence, and how sure it is. No scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.arrays.types import Float64
from analysis.measures.drift import DIVERGENCES, Divergence, distributions
from analysis.measures.uncertainty import ModelHistograms, Resampling, uncertainty_of
from analysis.measures.weighting import Weight, model_histograms
from analysis.scanning.sketching import Sketch
from analysis.selection.grouping import Grouping
from analysis.shift.files import AxisShift
from analysis.wording import count, one_line
from distributed.errors import UserError

#: Axes whose groups are one model each, or part of one: there is nothing to resample, and nothing to flag.
SINGLE_MODEL_AXES = ("model", "model_id", "model_label", "layer", "layer_id")


@dataclass(frozen=True, slots=True)
class Comparison:
    """How groups are compared.

    Attributes:
        divergence: between two groups.
        weight: what counts the same.
        resampling: how intervals, nulls and p-values are made; None: not at all.
        min_models: cells with a group of fewer models are flagged.
        max_tested_groups: matrices of more groups get no intervals and p-values: the work grows with their square.
    """

    divergence: Divergence = DIVERGENCES["kl"]
    weight: Weight = Weight.filters
    resampling: Resampling | None = None
    min_models: int = 3
    max_tested_groups: int = 64


#: As published: symmetric KL, every filter the same, no uncertainty.
PUBLISHED = Comparison()


def axis_shift(sketch: Sketch, grouping: Grouping, comparison: Comparison = PUBLISHED) -> AxisShift:
    """The drift matrix of one axis, from the histograms alone.

    Raises:
        UserError: a layer is not in the sketch, or a group lies wholly outside the range of the sketch's basis.
    """
    number = len(grouping.groups)
    per_model = model_histograms(sketch, grouping, comparison.weight)
    counts = _group_sums(per_model, number)
    basis = sketch.basis
    empty, component = np.nonzero(counts.sum(axis=2) == 0)
    if empty.size:
        raise UserError(
            f"{grouping.axis}: no coefficient {component[0] + 1} of group {one_line(grouping.groups[empty[0]].name)} "
            f"lies in the range {basis.low:.4g} … {basis.high:.4g} of the basis: take the basis of this store"
        )
    groups = distributions(counts, basis.explained_variance_ratio, basis.low, basis.high)
    notes = [*grouping.notes, *_outside(sketch, grouping)]
    uncertainty = None
    if comparison.resampling is not None and number > 1 and grouping.axis not in SINGLE_MODEL_AXES:
        if number > comparison.max_tested_groups:
            notes.append(
                f"{grouping.axis}: no intervals and p-values for {number} groups "
                f"(more than max_tested_groups={comparison.max_tested_groups})"
            )
        else:
            measure = comparison.divergence.resampled(basis.explained_variance_ratio, basis.low, basis.high)
            uncertainty = uncertainty_of(per_model, measure, comparison.resampling)
    return AxisShift(
        grouping,
        comparison.divergence.matrix(groups),
        tuple(notes),
        divergence=comparison.divergence.title,
        uncertainty=uncertainty,
        min_models=0 if grouping.axis in SINGLE_MODEL_AXES else comparison.min_models,
    )


def _group_sums(per_model: ModelHistograms, groups: int) -> Float64:
    # Rows are sorted by group, and every group has at least one.
    first = np.searchsorted(per_model.group, np.arange(groups))
    sums: Float64 = np.add.reduceat(per_model.counts, first, axis=0)
    return sums


def _outside(sketch: Sketch, grouping: Grouping) -> tuple[str, ...]:
    """What to note about coefficients beyond the range of a basis that was made from other filters."""
    rows = sketch.rows_of(grouping.layer_ids)
    number = int(sketch.below[rows].sum() + sketch.above[rows].sum())
    if not number:
        return ()
    share = number / (9 * sum(group.filters for group in grouping.groups))
    return (
        f"{grouping.axis}: {count(number, 'coefficient')} ({share:.2g} of all) outside the range of the basis "
        "not counted",
    )
