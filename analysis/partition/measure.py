"""Which factor explains the distances between the models of a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from analysis.arrays.sketch import Sketch
from analysis.arrays.types import Float64
from analysis.measures.confounding import confounding
from analysis.measures.designs import Design
from analysis.measures.drift import DIVERGENCES
from analysis.measures.model_distance import NO_METRIC
from analysis.measures.observations import Observations
from analysis.measures.permanova import Permanova
from analysis.measures.permdisp import Permdisp
from analysis.partition.parts import EVERYTHING, Compared, Part, by_group, dispersions_of, whole_and_components
from analysis.partition.settings import PartitionSettings
from analysis.scanning.sketching import ScanOptions, SketchKind, sketch_of_store
from analysis.scanning.workers import scan_workers
from analysis.selection.axes import unit_codes
from analysis.selection.factors import Factor, Models, known_on_all
from analysis.selection.grouping import group_axes, whole
from analysis.selection.view import Extent, StoreView
from analysis.settings import Unit
from analysis.wording import count
from distributed.errors import UserError


@dataclass(frozen=True, slots=True, eq=False)
class PartitionResult:
    """What one run found.

    Attributes:
        settings: what was asked.
        confounding: a row per pair of factors, the strata among them (``analysis.measures.confounding.SCHEMA``).
        parts: all layers first, then components, then the groups of each axis.
        dispersions: one per factor with two groups of three or more.
        models: (M,) labels of the models compared.
        squared: (M, M) d² between them.
        sketch: what their histograms come from.
        extent: what took part.
        notes: what was left out and what to beware of.
    """

    settings: PartitionSettings
    confounding: pa.Table
    parts: tuple[Part, ...]
    dispersions: tuple[Permdisp, ...]
    models: tuple[str, ...]
    squared: Float64
    sketch: Sketch
    extent: Extent
    notes: tuple[str, ...]

    @property
    def where(self) -> str | None:
        """The condition, None for all."""
        return self.settings.where

    @property
    def whole(self) -> Permanova:
        """Of all layers."""
        found = self.parts[0].permanova
        assert found is not None  # ``measure`` raises where there is none
        return found

    @property
    def distance(self) -> str:
        """What the distances are, for people."""
        return f"√ of {DIVERGENCES[self.settings.distance].title}"


def measure(settings: PartitionSettings, view: StoreView | None = None) -> PartitionResult:
    """What each factor explains. Writes nothing but the sketch that the store keeps.

    Args:
        settings: what to measure.
        view: of ``settings.store`` with ``settings.labels``, where it has been opened already.

    Raises:
        UserError: a factor, the strata, the condition or the store is not usable, or factors cannot be told apart,
            known before any filter is read; or the filters are missing or damaged.
    """
    if settings.distance not in DIVERGENCES:
        raise UserError(f"distance={settings.distance}: there are {', '.join(DIVERGENCES)}")
    view = view or StoreView.open(settings.store, settings.labels)
    selected = view.select(settings.where, settings.filters, settings.duplicates)
    selected, notes = _known(selected, settings.factors)
    models = Models.of(selected)
    factors = [models.factor(selected, name) for name in settings.factors]
    strata = None if settings.strata is None else models.factor(selected, settings.strata)
    units = np.arange(len(models.keys))
    if settings.unit is not Unit.model:
        units = unit_codes(selected, settings.unit)[models.first]
    compared = Compared(settings, models, factors, strata, units)
    everyone = compared.observations(np.arange(len(models.keys)))
    Design.of(everyone.factors)  # raises what would be raised after the scan
    groupings = group_axes(view.flat, selected, settings.axes, max_groups=settings.max_groups)
    options = ScanOptions(workers=lambda filters: scan_workers(settings.cluster, filters))
    sketch = sketch_of_store(view.store, view.layers, SketchKind.of(settings), options=options)
    squared, parts = whole_and_components(compared, sketch, whole(selected, EVERYTHING))
    for grouping in groupings.found:
        parts += by_group(compared, sketch, grouping)
    dispersions, alone = dispersions_of(compared, everyone, squared)
    return PartitionResult(
        settings,
        confounding([*everyone.factors, *_as_factor(strata, everyone)]),
        tuple(parts),
        dispersions,
        models.labels,
        squared,
        sketch,
        Extent.of(selected),
        (
            *view.notes_on_duplicates(settings.where, settings.duplicates),
            *notes,
            *_cautions(compared, everyone, parts),
            *alone,
            *groupings.left_out.values(),
        ),
    )


def _known(selected: pa.Table, names: tuple[str, ...]) -> tuple[pa.Table, list[str]]:
    """The rows of models that have a value on every factor, and what to say of the others.

    Raises:
        UserError: there is none; or see ``Models.factor``.
    """
    models = Models.of(selected)
    factors = [models.factor(selected, name) for name in names]
    known = known_on_all(factors)
    if not known.any():
        raise UserError(
            f"no model has a value on all of {', '.join(names)}: "
            + "; ".join(f"{factor.name}: {int((factor.codes >= 0).sum())} of {len(known)}" for factor in factors)
        )
    if known.all():
        return selected, []
    missing = [f"{factor.name} {int((factor.codes < 0).sum())}" for factor in factors if (factor.codes < 0).any()]
    left_out = f"{count(int((~known).sum()), 'model')} of {len(known)} ({', '.join(missing)})"
    return selected.filter(pa.array(known[models.rows])), [f"left out, no value on a factor: {left_out}"]


def _as_factor(strata: Factor | None, everyone: Observations) -> Iterator[Factor]:
    """The strata of the observations, to stand beside the factors, if each has one."""
    if strata is not None and (strata.codes >= 0).all():
        yield Factor(strata.name, strata.levels, everyone.strata)


def _cautions(compared: Compared, everyone: Observations, parts: Sequence[Part]) -> Iterator[str]:
    """What to beware of."""
    settings, found = compared.settings, parts[0].permanova
    assert found is not None
    if settings.distance in NO_METRIC:
        yield f"distance={settings.distance} is no metric: sums of squares may be negative; js is one"
    if everyone.number < len(everyone.members):
        counted = count(len(everyone.members), "model"), count(everyone.number, "observation")
        yield f"unit={settings.unit}: {' are '.join(counted)} of {count(len(np.unique(everyone.units)), 'lineage')}"
    if found.arrangements is not None:
        for factor in everyone.factors:
            if not found.arrangements.moves(factor.codes):
                yield f"{factor.name}: no p, as it never differs within {settings.strata}, where labels are dealt out"
        if found.arrangements.exact:
            ways = found.arrangements.number
            yield f"only {count(ways, 'arrangement')} of the labels, all taken: no p can be below {1 / ways:.2g}"
    for part in parts:
        if part.permanova is None:
            yield f"{part.title}: {part.reason}"
