"""The drift matrix of one axis from a sketch: weighting, divergence, and how sure it is. No scan."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from analysis.arrays.sketch import Sketch
from analysis.arrays.types import Bool, Float64
from analysis.measures.drift import DIVERGENCES, Divergence
from analysis.measures.uncertainty import Resampling, Uncertainty, uncertainty_of
from analysis.measures.verdicts import verdicts
from analysis.measures.weighting import component_weights, group_distributions, unit_histograms
from analysis.selection.grouping import Group, Grouping
from analysis.settings import Adjust, ComponentWeight, Unit, Weight
from analysis.wording import count
from distributed.records import MODEL_BITS_SHIFT


@dataclass(frozen=True, slots=True)
class DriftMethod:
    """How groups are compared.

    Attributes:
        divergence: between two groups.
        weight: what counts the same.
        resampling: how intervals, nulls and p-values are made; None: not at all.
        min_models: cells with a group of fewer models are flagged.
        max_tested_groups: matrices of more groups get no intervals and p-values: the work grows with their square.
        components: what each component counts.
        margin: how large a drift matters; None: no verdicts.
    """

    divergence: Divergence = DIVERGENCES["kl"]
    weight: Weight = Weight.filters
    resampling: Resampling | None = None
    min_models: int = 3
    max_tested_groups: int = 64
    components: ComponentWeight = ComponentWeight.evr
    margin: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class AxisShift:
    """The drift matrix of one axis.

    Attributes:
        grouping: its groups, in the order of the matrix.
        drift: (G, G) float64.
        notes: what was left out and what to beware of.
        divergence: what ``drift`` is, for people.
        uncertainty: intervals, nulls and p-values of ``drift``; None where they were not asked for or make no sense.
        min_models: cells with a group of fewer models are flagged; 0: none is.
        margin: how large a drift matters; None: no verdicts.
        adjust: how the q-values of ``uncertainty`` were made.
    """

    grouping: Grouping
    drift: Float64
    notes: tuple[str, ...]
    divergence: str = DIVERGENCES["kl"].title
    uncertainty: Uncertainty | None = None
    min_models: int = 0
    margin: float | None = None
    adjust: Adjust = Adjust.bh

    @property
    def axis(self) -> str:
        """Its name."""
        return self.grouping.axis

    @property
    def groups(self) -> tuple[Group, ...]:
        """(G,)"""
        return self.grouping.groups

    @property
    def models(self) -> int:
        """Number of models with a layer in any of the groups."""
        models = np.unique(self.grouping.layer_ids >> MODEL_BITS_SHIFT)
        return int((models >= 0).sum())  # those of untrained filters are below

    @property
    def units(self) -> str:
        """What is left out and dealt out, in the plural."""
        return f"{self.grouping.unit}s"

    @property
    def few_models(self) -> Bool:
        """(G, G) whether a cell has a group of fewer than ``min_models`` models, or lineages if they are the unit."""
        few = (self.grouping.units_of_groups < self.min_models) & self.grouping.learned
        flagged: Bool = few[:, None] | few[None, :]
        return flagged

    @property
    def verdicts(self) -> npt.NDArray[np.str_] | None:
        """(G, G) ``analysis.measures.verdicts``; None without a margin or ``uncertainty``."""
        known = self.uncertainty
        if known is None or self.margin is None:
            return None
        return verdicts(known.low, known.high, known.q_value, self.margin)

    def pairs(self) -> pa.Table:
        """Every ordered pair, a group with itself included: ``a, b, drift``, the sizes of both groups, ``few_models``.

        Untrained filters are of 0 models, and never few. With ``uncertainty`` also, after ``drift``, ``drift_debiased``
        and ``floor``, then ``drift_lo, drift_hi`` (interval; these four are null where a group has one model),
        ``null_median, null_high``, ``p_value`` and ``q_value`` (``analysis.measures.uncertainty``); with a margin
        ``verdict``; where lineages are the unit, ``units_a, units_b``.
        """
        number = len(self.groups)
        first = pa.array(np.repeat(np.arange(number), number))
        second = pa.array(np.tile(np.arange(number), number))
        names = pa.array([group.name for group in self.groups], pa.string())
        columns = {"a": names.take(first), "b": names.take(second), "drift": pa.array(self.drift.ravel())}
        known = {name: pa.array(values.ravel(), from_pandas=True) for name, values in self._known().items()}
        columns |= {name: known.pop(name) for name in ("drift_debiased", "floor") if name in known}
        sizes = {size: [getattr(group, size) for group in self.groups] for size in ("filters", "layers", "models")}
        if self.grouping.unit is Unit.lineage:
            sizes["units"] = self.grouping.units_of_groups.tolist()
        for size, values in sizes.items():
            numbers = pa.array(values, pa.int64())
            columns[f"{size}_a"], columns[f"{size}_b"] = numbers.take(first), numbers.take(second)
        columns |= {"few_models": pa.array(self.few_models.ravel()), **known}
        if (said := self.verdicts) is not None:
            columns["verdict"] = pa.array(said.ravel(), pa.string())
        return pa.table(columns)

    def _known(self) -> dict[str, Float64]:
        """Column → (G, G) of ``uncertainty``; NaN becomes null."""
        known = self.uncertainty
        if known is None:
            return {}
        return {
            "drift_debiased": known.debiased,
            "floor": known.floor,
            "drift_lo": known.low,
            "drift_hi": known.high,
            **{name: getattr(known, name) for name in ("null_median", "null_high", "p_value", "q_value")},
        }

    def matrix(self) -> pa.Table:
        """A row per group: its label in the column named like the axis, then its drift to each group by label."""
        labels = [group.label for group in self.groups]
        columns = [pa.array(labels, pa.string()), *(pa.array(column) for column in self.drift.T)]
        return pa.Table.from_arrays(columns, names=[self.axis, *labels])


#: As published: symmetric KL, every filter the same, no uncertainty.
PUBLISHED = DriftMethod()


def axis_shift(sketch: Sketch, grouping: Grouping, method: DriftMethod = PUBLISHED) -> AxisShift:
    """The drift matrix of one axis, from the histograms alone.

    Raises:
        UserError: a layer is not in the sketch, or a group lies wholly outside the range of the sketch's basis.
    """
    number = len(grouping.groups)
    per_unit = unit_histograms(sketch, grouping, method.weight)
    basis = sketch.basis
    weights = component_weights(basis, method.components)
    groups = replace(group_distributions(per_unit, grouping, basis), weights=weights)
    notes = [*grouping.notes, *notes_on_range(sketch, grouping)]
    uncertainty = None
    if method.resampling is not None and number > 1 and not grouping.single_models:
        if number > method.max_tested_groups:
            notes.append(
                f"{grouping.axis}: no intervals and p-values for {number} groups "
                f"(more than max_tested_groups={method.max_tested_groups})"
            )
        else:
            measure = method.divergence.resampled(weights, basis.low, basis.high)
            uncertainty = uncertainty_of(per_unit, measure, method.resampling)
    if method.margin is not None and grouping.single_models and number > 1:
        notes.append(
            f"{grouping.axis}: no verdicts: each group is of one model, whose drift cannot be told from chance"
        )
    return AxisShift(
        grouping,
        method.divergence.matrix(groups),
        tuple(notes),
        divergence=method.divergence.title_with(method.components),
        uncertainty=uncertainty,
        min_models=0 if grouping.single_models else method.min_models,
        margin=method.margin,
        adjust=method.resampling.adjust if method.resampling else Adjust.bh,
    )


def by_mean_drift(shift: AxisShift) -> AxisShift:
    """The same with groups in rising order of their mean drift to all, themselves included."""
    order = np.argsort(shift.drift.mean(axis=0), kind="stable")
    place = np.argsort(order)
    grouping = shift.grouping
    grouping = replace(
        grouping, groups=tuple(grouping.groups[i] for i in order), codes=place[grouping.codes].astype(np.int64)
    )
    uncertainty = shift.uncertainty
    if uncertainty is not None:
        moved = {each.name: getattr(uncertainty, each.name)[np.ix_(order, order)] for each in fields(uncertainty)}
        uncertainty = replace(uncertainty, **moved)
    return replace(shift, grouping=grouping, drift=shift.drift[np.ix_(order, order)], uncertainty=uncertainty)


def notes_on_range(sketch: Sketch, grouping: Grouping) -> tuple[str, ...]:
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
