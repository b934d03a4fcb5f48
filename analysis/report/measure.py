"""What the report is made from: one look at the store, then shift, structure and quality of the same groups."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.measures.eigenfilters import agreement_of, structure_of, structures_by
from analysis.measures.quality import count_degenerate, degenerate_layers, layer_quality, summarise
from analysis.quality.files import GroupedQuality, QualityReport
from analysis.report.settings import ReportSettings
from analysis.selection.conditions import filters_in, models_in
from analysis.selection.grouping import Group, Grouping, axes_of, emptied_groups, group_layers
from analysis.selection.view import StoreView
from analysis.settings import ShiftSettings
from analysis.shift.files import AxisShift, ShiftReport
from analysis.shift.measure import comparison_of, measure_shift
from analysis.structure.files import AxisStructure, StructureReport
from analysis.wording import one_line
from distributed.errors import UserError
from distributed.store.rows import StoredReject

#: Settings of the drift and its uncertainty, the same here and in ``ShiftSettings``.
COMPARISON = ("divergence", "weight", "replicates", "level", "seed", "min_models", "max_tested_groups")


@dataclass(frozen=True, slots=True, eq=False)
class StoreReport:
    """Everything the page shows.

    Attributes:
        settings: what was asked.
        uri: of the store, absolute.
        models: the rows of ``models`` that take part, after ``where``.
        selected: the flat view of their layers.
        rejects: what the extraction skipped or failed on.
        shift: drift matrices; None if no axis could be measured.
        structure: eigenfilters of the store and of each axis.
        quality: of each layer, and summaries by axis.
        left_out: axis → why it is not drawn.
        made_at: when.
    """

    settings: ReportSettings
    uri: str
    models: pa.Table
    selected: pa.Table
    rejects: tuple[StoredReject, ...]
    shift: ShiftReport | None
    structure: StructureReport
    quality: QualityReport
    left_out: dict[str, str]
    made_at: datetime

    @property
    def shifts(self) -> tuple[AxisShift, ...]:
        """One per axis that is drawn."""
        return self.shift.shifts if self.shift else ()


def measure_store(settings: ReportSettings) -> StoreReport:
    """See ``analysis.report.command.measure_report``."""
    if not 1 <= settings.subspace <= 8:
        raise UserError(f"subspace={settings.subspace}: give 1 to 8 leading components")
    if settings.max_groups < 1:
        raise UserError(f"max_groups={settings.max_groups}: give at least 1")
    comparison_of(shift_settings(settings, []))  # its settings are checked before the store is read
    view = StoreView.open(settings.store)
    selected = view.select(settings.where)
    groupings, left_out = _groupings(selected, settings)
    rejects = tuple(sorted(view.store.reject_keys().values(), key=lambda found: (found.kind, found.reject.name)))
    chosen = pc.is_in(view.models.column("model_id"), value_set=pc.unique(selected.column("model_id")))
    return StoreReport(
        settings=settings,
        uri=view.store.uri,
        models=view.models.filter(chosen),
        selected=selected,
        rejects=rejects,
        shift=measure_shift(shift_settings(settings, groupings), view) if groupings else None,
        structure=_structure(view, selected, groupings, settings),
        quality=_quality(view.flat, selected, groupings, settings),
        left_out=left_out,
        made_at=datetime.now(UTC).replace(microsecond=0),
    )


def shift_settings(settings: ReportSettings, groupings: list[Grouping]) -> ShiftSettings:
    """The part that ``analysis.shift.measure`` measures."""
    return ShiftSettings(
        store=settings.store,
        cluster=settings.cluster,
        axes=tuple(grouping.axis for grouping in groupings),
        out=settings.out,
        where=settings.where,
        basis=settings.basis,
        bins=settings.bins,
        max_groups=settings.max_groups,
        **{name: getattr(settings, name) for name in COMPARISON},
    )


def _groupings(selected: pa.Table, settings: ReportSettings) -> tuple[list[Grouping], dict[str, str]]:
    """The groupings of the axes that can be drawn; of the others, the reason.

    Raises:
        UserError: there is no such axis.
    """
    found, left_out = [], {}
    known = set(axes_of(selected))
    for axis in dict.fromkeys(settings.axes):
        try:
            found.append(group_layers(selected, axis, max_groups=settings.max_groups))
        except UserError as error:
            if axis not in known:
                raise
            left_out[axis] = one_line(str(error))
    return found, left_out


def _structure(
    view: StoreView, selected: pa.Table, groupings: list[Grouping], settings: ReportSettings
) -> StructureReport:
    layers, flat = view.layers, view.flat
    whole = structure_of(layers, _all_of(flat, "all filters of the store"))
    selection = None
    if selected.num_rows < flat.num_rows:
        taken = pc.is_in(layers.column("layer_id"), value_set=selected.column("layer_id").combine_chunks())
        selection = structure_of(layers.filter(taken), _all_of(selected, f"where {one_line(settings.where or '')}"))
    axes = []
    for grouping in groupings:
        structures = structures_by(layers, grouping)
        agreement = agreement_of(structures, settings.subspace)
        axes.append(AxisStructure(grouping, structures, agreement, _notes(flat, selected, grouping)))
    return StructureReport(whole, selection, tuple(axes), settings.where, settings.subspace, settings.store.uri)


def _quality(flat: pa.Table, selected: pa.Table, groupings: list[Grouping], settings: ReportSettings) -> QualityReport:
    layers = layer_quality(selected)
    ids = selected.column("layer_id").to_numpy()
    everything = Grouping("all", (_all_of(selected, "all layers"),), ids, np.zeros(len(ids), dtype=np.int64))
    weight = settings.layer_weight
    whole, *by_axis = (
        GroupedQuality(
            grouping,
            summarise(layers, grouping, weight),
            count_degenerate(layers, grouping, weight),
            () if grouping is everything else _notes(flat, selected, grouping),
        )
        for grouping in (everything, *groupings)
    )
    return QualityReport(
        layers, whole, tuple(by_axis), degenerate_layers(layers), weight, settings.where, settings.store.uri
    )


def _all_of(flat: pa.Table, name: str) -> Group:
    models = models_in(flat)
    return Group(name, f"{name} ({models})", filters_in(flat), flat.num_rows, models)


def _notes(flat: pa.Table, selected: pa.Table, grouping: Grouping) -> tuple[str, ...]:
    gone = emptied_groups(flat, selected, grouping.axis) if selected.num_rows < flat.num_rows else ()
    return (*grouping.notes, *gone)
