"""Eigenfilters of a store and of the groups of each axis, from the moments in ``layers``."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from analysis.arrays.preparation import counted
from analysis.measures.eigenfilters import Agreement, Structure, agreement_of, structure_of, structures_by
from analysis.measures.untrained import untrained_structures
from analysis.selection.grouping import Grouping, Groupings, group_axes, whole
from analysis.selection.untrained import with_untrained_groups
from analysis.selection.view import Extent, StoreView
from analysis.settings import Filters
from analysis.structure.settings import StructureSettings
from analysis.wording import listed, one_line


@dataclass(frozen=True, slots=True, eq=False)
class AxisStructure:
    """The structure of each group of one axis, in the grouping's order, and the agreement of every two of them."""

    grouping: Grouping
    structures: tuple[Structure, ...]
    agreement: Agreement
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class StructureResult:
    """What one run found.

    Attributes:
        whole: of all filters of the store.
        selection: of those that ``where`` chooses; None without ``where``.
        axes: one per axis, in the order asked.
        extent: what took part, after ``where``.
        where: the condition.
        subspace: number of leading components compared.
        uri: of the store.
        notes: models and axes that were left out, and why.
    """

    whole: Structure
    selection: Structure | None
    axes: tuple[AxisStructure, ...]
    extent: Extent
    where: str | None
    subspace: int
    uri: str
    notes: tuple[str, ...] = ()

    @property
    def standing(self) -> tuple[Structure, ...]:
        """What stands beside the groups of every axis: the whole, and the selection if there is one."""
        return (self.whole,) if self.selection is None else (self.whole, self.selection)


def measure(settings: StructureSettings, view: StoreView | None = None) -> StructureResult:
    """The structure of a store and of the groups of each axis; writes nothing.

    Args:
        settings: what to measure. ``where`` chooses what is grouped; the structure of the whole store stands beside it.
        view: of ``settings.store`` with ``settings.labels``, where it has been opened already.

    Raises:
        UserError: an axis, the condition or the store is not usable.
        StoreError: the store is empty, its moments are missing or damaged.
    """
    view = view or StoreView.open(settings.store, settings.labels)
    selected = view.select(settings.where, settings.filters, settings.duplicates)
    groupings = group_axes(view.flat, selected, settings.axes, max_groups=settings.max_groups).at_least_one()
    return structure_by(groupings, view, selected, settings)


def structure_by(
    groupings: Groupings, view: StoreView, selected: pa.Table, settings: StructureSettings
) -> StructureResult:
    """See ``measure``, with the groups of ``selected`` made already; without any: of the store alone."""
    counting = view.select(None, settings.filters, settings.duplicates)
    layers, name = counted(view.layers_of(counting), settings.filters), "all filters of the store"
    if settings.filters is Filters.clean:
        name += " that are not sparse"
    everything = structure_of(layers, whole(counting, name).groups[0])
    selection = None
    if selected.num_rows < counting.num_rows:
        group = whole(selected, f"where {one_line(settings.where or '')}").groups[0]
        selection = structure_of(counted(view.layers_of(selected), settings.filters), group)
    # Of equal models ``where`` may choose another than stands for them in the whole store.
    grouped = counted(view.layers_of(selected), settings.filters)
    found, untrained = [], untrained_structures(settings.baseline)
    for grouping in groupings.found:
        structures = (*structures_by(grouped, grouping), *untrained)
        grouping = with_untrained_groups(grouping, settings.baseline)
        notes = (*grouping.notes, *_flags(grouping.axis, structures))
        found.append(AxisStructure(grouping, structures, agreement_of(structures, settings.subspace), notes))
    return StructureResult(
        everything,
        selection,
        tuple(found),
        Extent.of(selected),
        settings.where,
        settings.subspace,
        view.store.uri,
        (*view.notes_on_duplicates(settings.where, settings.duplicates), *groupings.left_out.values()),
    )


def _flags(axis: str, structures: tuple[Structure, ...]) -> tuple[str, ...]:
    """A sentence on the groups whose components mean little or nothing."""
    few = [s.group.name for s in structures if s.few_filters]
    equal = [s.group.name for s in structures if s.principal is None and not s.few_filters]
    found = ((few, "fewer than 10 filters, flagged"), (equal, "all filters equal, no components"))
    return tuple(f"{axis}: {what}: {listed(names)}" for names, what in found if names)
