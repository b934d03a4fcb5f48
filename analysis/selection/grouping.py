"""Which layer belongs to which group of an axis (``analysis.selection.axes``). Filters themselves are never touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from analysis.arrays.types import Bool, Int64
from analysis.selection.axes import (
    EmptyAxisError,
    axes_of,
    codes_on,
    is_single,
    model_codes,
    parts_of,
    unit_codes,
    values_on,
)
from analysis.selection.view import Extent
from analysis.settings import Unit
from analysis.wording import count, listed, one_line, shown, shown_apart
from distributed.errors import UserError
from distributed.records import MODEL_BITS_SHIFT


@dataclass(frozen=True, slots=True)
class Group:
    """One group of an axis. ``label`` is for eyes: ``name (number of models)``, or the name of a model or layer.

    ``models`` is 0 for untrained filters (``analysis.selection.untrained``), which are of none.
    """

    name: str
    label: str
    filters: int
    layers: int
    models: int


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """The groups of one axis and the layers in them.

    Attributes:
        axis: its name.
        groups: (G,) in the order of the matrix: by name, numbers and deciles by value, layers by model and depth.
        layer_ids: (N,) int64, the layers that have a group.
        codes: (N,) int64, 0 … G-1, the group of each of them.
        notes: what was left out and what to beware of, one sentence each.
        unit: what is one observation.
        kin: of each model (the upper bits of its layers' ids) that is no unit of its own the one that stands for its
            unit; empty: every model is one.
    """

    axis: str
    groups: tuple[Group, ...]
    layer_ids: Int64
    codes: Int64
    notes: tuple[str, ...] = ()
    unit: Unit = Unit.model
    kin: Mapping[int, int] = field(default_factory=dict)

    @property
    def units(self) -> Int64:
        """(N,) the unit of observation of each layer: the model that stands for it."""
        models, of_layer = np.unique(self.layer_ids >> MODEL_BITS_SHIFT, return_inverse=True)
        return np.array([self.kin.get(model, model) for model in models.tolist()], np.int64)[of_layer]

    @property
    def units_of_groups(self) -> Int64:
        """(G,) how many units have a layer in each group."""
        if not self.kin:
            return np.array([group.models for group in self.groups], np.int64)
        return _models_per_group(self.codes, self.units, len(self.groups))

    @property
    def single_models(self) -> bool:
        """Whether each group is one model, or part of one."""
        return is_single(self.axis)

    @property
    def learned(self) -> Bool:
        """(G,) whether a group is of models: not the untrained filters."""
        return np.array([group.models > 0 for group in self.groups], bool)

    @property
    def filters(self) -> int:
        """Of all groups of models."""
        return sum(group.filters for group in self.groups if group.models)

    @property
    def names(self) -> list[str]:
        """(G,) for eyes, without the numbers of models: on one line, and no two that look the same."""
        return shown_apart([group.name for group in self.groups])

    def codes_of(self, layer_ids: Int64) -> Int64:
        """(M,) the group of each of M layers, -1 where it has none."""
        order = np.argsort(self.layer_ids, kind="stable")
        at = np.searchsorted(self.layer_ids, layer_ids, sorter=order)
        at = order[np.minimum(at, len(order) - 1)]
        return np.where(self.layer_ids[at] == layer_ids, self.codes[at], -1)


def group_layers(flat: pa.Table, axis: str, *, max_groups: int | None = None, unit: Unit = Unit.model) -> Grouping:
    """The groups of ``axis`` among the layers of a (selected) flat view.

    Layers without a value, and groups without a filter, are left out and counted in ``notes``.

    Raises:
        UserError: there is no such axis (the message lists them), its values cannot group, or there are more than
            ``max_groups`` groups.
        EmptyAxisError: it is null everywhere, or no group holds a filter.
    """
    names, codes = codes_on(flat, axis)
    if not len(names):
        raise EmptyAxisError(
            f"axis {axis!r} is null for all of {count(Extent.of(flat).models, 'model')} "
            "(after where, if given): choose another axis"
        )
    if max_groups is not None and len(names) > max_groups:
        raise UserError(
            f"axis {axis!r} has {len(names)} groups, more than max_groups={max_groups}: restrict them with where=…, "
            "or raise max_groups (the matrix has their square)"
        )
    sizes = flat.column("layer_num_filters").to_numpy().astype(np.int64)
    filters = _sums(codes, sizes, len(names))
    notes = _notes_on_nulls(flat, axis, codes)
    if not filters.all():
        empty = listed([names[index] for index in np.flatnonzero(filters == 0)])
        notes.append(f"{axis}: left out, they hold no filter: {empty}")
        kept = np.cumsum(filters > 0) - 1
        codes = np.where((codes >= 0) & (filters[codes] > 0), kept[codes], -1)
        names = [name for name, size in zip(names, filters, strict=True) if size]
        filters = filters[filters > 0]
    if not names:
        raise EmptyAxisError(f"axis {axis!r}: no group holds a filter: choose another axis or where")
    if len(names) == 1:
        notes.append(f"{axis}: one group only, {shown(names[0])}: there is nothing to compare it with")
    grouped = np.flatnonzero(codes >= 0)
    codes = codes[grouped]
    models = _models_per_group(codes, model_codes(flat)[grouped], len(names))
    layers = np.bincount(codes, minlength=len(names))
    labels = shown_apart(names)
    groups = tuple(
        Group(
            name=name,
            label=labels[g] if is_single(axis) else f"{labels[g]} ({models[g]})",
            filters=int(filters[g]),
            layers=int(layers[g]),
            models=int(models[g]),
        )
        for g, name in enumerate(names)
    )
    layer_ids = flat.column("layer_id").to_numpy()[grouped].astype(np.int64)
    kin = {} if unit is Unit.model else _kin(layer_ids, unit_codes(flat, unit)[grouped])
    return Grouping(axis, groups, layer_ids, codes.astype(np.int64), tuple(notes), unit, kin)


@dataclass(frozen=True, slots=True, eq=False)
class Groupings:
    """The groupings of several axes.

    Attributes:
        found: one per axis that groups, in the order asked.
        left_out: axis → why it does not, one sentence.
    """

    found: tuple[Grouping, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def at_least_one(self) -> Groupings:
        """Itself.

        Raises:
            UserError: no axis groups anything (says why of each), or none was named.
        """
        if not self.found:
            raise UserError(
                "; ".join(self.left_out.values()) or "axes is empty: name at least one, as in 'axes=[task,depth]'"
            )
        return self


def group_axes(
    flat: pa.Table,
    selected: pa.Table,
    axes: Sequence[str],
    *,
    max_groups: int,
    unit: Unit = Unit.model,
    leave_out: type[UserError] = EmptyAxisError,
) -> Groupings:
    """The groups of each axis among the layers of ``selected``, a part of ``flat``, with notes on emptied groups.

    Axes without a value are left out, and the reason kept.

    Args:
        flat: the store's flat view.
        selected: the rows that take part.
        axes: what to group by; repeated ones count once.
        max_groups: an axis with more is refused.
        unit: what is one observation.
        leave_out: errors of an existing axis that leave it out.

    Raises:
        UserError: see ``group_layers``.
    """
    found, errors, known = [], dict[str, UserError](), set(axes_of(selected))
    for axis in dict.fromkeys(axes):
        try:
            grouping = group_layers(selected, axis, max_groups=max_groups, unit=unit)
        except leave_out as error:
            if not set(parts_of(axis)) <= known:
                raise
            errors[axis] = error
            continue
        notes = (*grouping.notes, *emptied_groups(flat, selected, axis))
        found.append(replace(grouping, notes=notes))
    return Groupings(tuple(found), {axis: one_line(str(error)) for axis, error in errors.items()})


def whole(flat: pa.Table, name: str, *, axis: str = "all") -> Grouping:
    """All layers of a flat view as one group, ``name (number of models)``."""
    extent = Extent.of(flat)
    group = Group(name, f"{one_line(name)} ({extent.models})", extent.filters, extent.layers, extent.models)
    ids = flat.column("layer_id").to_numpy().astype(np.int64)
    return Grouping(axis, (group,), ids, np.zeros(len(ids), np.int64))


def emptied_groups(flat: pa.Table, selected: pa.Table, axis: str) -> tuple[str, ...]:
    """What to note about groups of ``axis`` that have layers in ``flat`` but none in ``selected`` (none: empty)."""
    if is_single(axis) or selected.num_rows == flat.num_rows:
        return ()
    before, after = values_on(flat, axis), set(values_on(selected, axis))
    gone = [name for name in before if name not in after]
    return (f"{axis}: where leaves no filter in {len(gone)} of {len(before)} groups: {listed(gone)}",) if gone else ()


def _notes_on_nulls(flat: pa.Table, axis: str, codes: Int64) -> list[str]:
    missing = flat.filter(pa.array(codes < 0))
    if not missing.num_rows:
        return []
    extent = Extent.of(missing)
    return [
        f"{axis}: left out, no value: {count(extent.models, 'model')} of {Extent.of(flat).models} "
        f"({count(extent.layers, 'layer')}, {count(extent.filters, 'filter')})"
    ]


def _kin(layer_ids: Int64, units: Int64) -> dict[int, int]:
    """See ``Grouping``: of each unit the first model stands for it."""
    models, first = np.unique(layer_ids >> MODEL_BITS_SHIFT, return_index=True)
    _, lead, unit_of_model = np.unique(units[first], return_index=True, return_inverse=True)
    leaders = models[lead][unit_of_model]
    follows = models != leaders
    return dict(zip(models[follows].tolist(), leaders[follows].tolist(), strict=True))


def _models_per_group(codes: Int64, models: Int64, groups: int) -> Int64:
    pairs = np.unique(np.stack([codes, models]), axis=1)
    return np.bincount(pairs[0], minlength=groups).astype(np.int64)


def _sums(codes: Int64, sizes: Int64, groups: int) -> Int64:
    total = np.zeros(groups, dtype=np.int64)
    np.add.at(total, codes[codes >= 0], sizes[codes >= 0])
    return total
