"""What the report is made from: shift, structure and quality of the same groups, as their commands measure them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from analysis.lineage.measure import LineageResult
from analysis.lineage.measure import measure as measure_lineage
from analysis.lineage.settings import LineageSettings
from analysis.measures.drift_matrix import AxisShift
from analysis.partition.measure import PartitionResult
from analysis.partition.measure import measure as measure_partition
from analysis.partition.settings import PartitionSettings
from analysis.quality.measure import QualityResult
from analysis.quality.measure import measure as measure_quality
from analysis.quality.settings import QualitySettings
from analysis.report.factors import Partitioned, partitioned
from analysis.report.settings import ReportSettings
from analysis.selection.grouping import group_axes
from analysis.selection.view import Extent, StoreView
from analysis.settings import GroupSettings
from analysis.shift.measure import ShiftResult, drift_method
from analysis.shift.measure import measure as measure_shift
from analysis.shift.settings import ShiftSettings
from analysis.structure.measure import StructureResult, structure_by
from analysis.structure.settings import StructureSettings
from distributed.errors import UserError
from distributed.store import StoredReject

S = TypeVar("S", bound=GroupSettings)


@dataclass(frozen=True, slots=True, eq=False)
class ReportResult:
    """Everything the page shows.

    Attributes:
        settings: what was asked.
        uri: of the store, absolute.
        models: the rows of ``models`` that take part, after ``where``.
        selected: the flat view of their layers.
        rejects: what the extraction skipped or failed on.
        shift: drift matrices; None if no axis could be measured. So ``structure``: eigenfilters of the store and of
            each axis.
        quality: of each layer, and summaries by axis.
        partition: what those axes explain that are factors.
        lineage: what ties the models that ``where`` chooses, duplicates among them.
        duplicates: what to note about models that do not count.
        left_out: axis → why it is not drawn.
        label_notes: on the join of the labels.
        made_at: when.
    """

    settings: ReportSettings
    uri: str
    models: pa.Table
    selected: pa.Table
    rejects: tuple[StoredReject, ...]
    shift: ShiftResult | None
    structure: StructureResult
    quality: QualityResult
    partition: Partitioned
    lineage: LineageResult
    duplicates: tuple[str, ...]
    left_out: dict[str, str]
    label_notes: tuple[str, ...]
    made_at: datetime

    @property
    def shifts(self) -> tuple[AxisShift, ...]:
        """One per axis that is drawn."""
        return self.shift.shifts if self.shift else ()

    @property
    def extent(self) -> Extent:
        """What took part, after ``where``."""
        return self.quality.extent

    @property
    def where(self) -> str | None:
        """The condition, None for all."""
        return self.settings.where

    @property
    def notes(self) -> tuple[str, ...]:
        """Models that do not count, axes that are not drawn, and why."""
        return (*self.duplicates, *(f"not drawn: {reason}" for reason in self.left_out.values()))


def measure(settings: ReportSettings, view: StoreView | None = None) -> ReportResult:
    """Everything the page shows, of one store. Writes nothing but the sketch that the store keeps.

    Joins or starts a Ray only if filters have to be read: not if the store holds their histograms. An axis that cannot
    group this store is left out, with the reason.

    Args:
        settings: what to measure.
        view: of ``settings.store`` with ``settings.labels``, where it has been opened already.

    Raises:
        UserError: an axis does not exist, or the condition, the basis or a number is not usable.
        StoreError: the store is empty or damaged.
    """
    drift_method(settings)  # checked before the store is read
    view = view or StoreView.open(settings.store, settings.labels)
    selected = view.select(settings.where, duplicates=settings.duplicates)
    counted = view.select(settings.where, settings.filters, settings.duplicates)
    groupings = group_axes(view.flat, counted, settings.axes, max_groups=settings.max_groups, leave_out=UserError)
    axes = tuple(grouping.axis for grouping in groupings.found)
    chosen = pc.is_in(view.models.column("model_id"), value_set=pc.unique(selected.column("model_id")))

    def by_factors(factors: tuple[str, ...]) -> PartitionResult:
        permutations = 999 if settings.replicates else 0
        more = {"factors": factors, "axes": (), "by_component": False, "permutations": permutations}
        return measure_partition(part_of(settings, PartitionSettings, **more), view)

    return ReportResult(
        settings=settings,
        uri=view.store.uri,
        models=view.models.filter(chosen),
        selected=selected,
        rejects=tuple(sorted(view.store.reject_keys().values(), key=lambda found: (found.kind, found.reject.name))),
        shift=measure_shift(part_of(settings, ShiftSettings, axes=axes), view) if axes else None,
        structure=structure_by(groupings, view, counted, part_of(settings, StructureSettings)),
        quality=measure_quality(
            part_of(settings, QualitySettings, axes=axes, standing=(), weight=settings.layer_weight), view
        ),
        partition=partitioned(counted, axes, by_factors),
        lineage=measure_lineage(LineageSettings(settings.store, labels=settings.labels, where=settings.where), view),
        duplicates=view.notes_on_duplicates(settings.where, settings.duplicates),
        left_out=dict(groupings.left_out),
        label_notes=view.notes,
        made_at=datetime.now(UTC).replace(microsecond=0),
    )


def part_of(settings: ReportSettings, kind: type[S], **more: Any) -> S:
    """The settings of another command, taken from the report's where they bear the same name, and from ``more``."""
    names = {field.name for field in fields(kind)}
    shared = {field.name: getattr(settings, field.name) for field in fields(settings) if field.name in names}
    return kind(**{**shared, **more})
