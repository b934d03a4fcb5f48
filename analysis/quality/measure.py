"""The quality of each layer of a store, and summaries by group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from analysis.measures.layer_quality import degenerate_layers, layer_quality, with_group
from analysis.measures.summaries import count_degenerate, summarise
from analysis.quality.settings import QualitySettings
from analysis.selection.grouping import Grouping, group_axes, whole
from analysis.selection.view import Extent, StoreView
from analysis.settings import LayerWeight
from distributed.errors import UserError


@dataclass(frozen=True, slots=True, eq=False)
class GroupedQuality:
    """One axis: its groups, ``summarise`` and ``count_degenerate`` of them (``analysis.measures.summaries``), notes."""

    grouping: Grouping
    summary: pa.Table
    degenerate: pa.Table
    notes: tuple[str, ...]

    def summaries(self, group: str) -> Mapping[str, Mapping[str, Any]]:
        """Metric → row of ``summary``, of the group of this name."""
        mine = self.summary.filter(pc.equal(self.summary.column("group"), group))
        return {row["metric"]: row for row in mine.to_pylist()}


@dataclass(frozen=True, slots=True, eq=False)
class QualityResult:
    """What one run found.

    Attributes:
        layers: one row per layer (``analysis.measures.layer_quality``), with the group of each on the asked axes.
        whole: of all layers that took part, as one group.
        axes: one per axis: those asked, then the standing ones.
        standing: names of the axes that were not asked for.
        degenerate: the rows of ``layers`` that are degenerate.
        weight: what counts as one observation in summaries.
        extent: what took part, after ``where``.
        where: the condition, None for all.
        uri: of the store.
        notes: models and axes that were left out, and why.
    """

    layers: pa.Table
    whole: GroupedQuality
    axes: tuple[GroupedQuality, ...]
    standing: frozenset[str]
    degenerate: pa.Table
    weight: LayerWeight
    extent: Extent
    where: str | None
    uri: str
    notes: tuple[str, ...] = ()


def measure(settings: QualitySettings, view: StoreView | None = None) -> QualityResult:
    """The quality of each layer, summaries of each axis's groups, and the degenerate layers; writes nothing.

    Args:
        settings: what to measure.
        view: of ``settings.store`` with ``settings.labels``, where it has been opened already.

    Raises:
        UserError: the condition or an axis is not usable, or no axis asked for has a value.
        StoreError: the store is empty or damaged.
    """
    view = view or StoreView.open(settings.store, settings.labels)
    selected = view.select(settings.where, duplicates=settings.duplicates)
    # Asked axes first: they are what is read first. Standing ones may be asked for as well.
    standing = settings.on_depth(settings.standing)
    axes = (*settings.axes, *standing)
    groupings = group_axes(view.flat, selected, axes, max_groups=settings.max_groups)
    if settings.axes and groupings.left_out.keys() >= set(settings.axes):
        raise UserError("; ".join(groupings.left_out[axis] for axis in settings.axes))
    layers = layer_quality(selected)
    for grouping in groupings.found:
        layers = with_group(layers, grouping)

    def grouped(grouping: Grouping) -> GroupedQuality:
        kinds = count_degenerate(layers, grouping, settings.weight)
        return GroupedQuality(grouping, summarise(layers, grouping, settings.weight), kinds, grouping.notes)

    return QualityResult(
        layers,
        grouped(whole(selected, "all layers")),
        tuple(grouped(grouping) for grouping in groupings.found),
        frozenset(standing) - frozenset(settings.axes),
        degenerate_layers(layers),
        settings.weight,
        Extent.of(selected),
        settings.where,
        view.store.uri,
        (*view.notes_on_duplicates(settings.where, settings.duplicates), *groupings.left_out.values()),
    )
