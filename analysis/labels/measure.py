"""What is known about each model of a store, by field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from analysis.labels.settings import LabelsSettings
from analysis.selection.view import Extent, StoreView
from distributed.errors import UserError
from distributed.label_files import JOINED_BY
from distributed.labels import KNOWLEDGE, columns_of, metadata_in
from distributed.store import Store

#: Where a value comes from of which nobody wrote it down.
NOT_SAID = "not said"


@dataclass(frozen=True, slots=True, eq=False)
class LabelsResult:
    """What one run found.

    Attributes:
        fields: a row per field: ``field, known, unknown`` (models), ``values`` (different ones), ``origins``.
        models: a row per model and field: ``model_id, name, field, value, origin``; null where it is not known.
        template: a row per model: what joins it, and its fields as text.
        changed: ``model_id`` → columns of its row that the labels would change, with their new values.
        settings: how.
        store: which.
        extent: what took part, after ``where``.
        label_notes: on the join of the labels; they are said where the store is opened.
    """

    fields: pa.Table
    models: pa.Table
    template: pa.Table
    changed: Mapping[str, Mapping[str, object]]
    settings: LabelsSettings
    store: Store
    extent: Extent
    label_notes: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What to beware of beside ``label_notes``: nothing."""
        return ()

    @property
    def where(self) -> str | None:
        """The condition, None for all."""
        return self.settings.where


def measure(settings: LabelsSettings, view: StoreView | None = None) -> LabelsResult:
    """What is known about the models of a store; writes nothing.

    Args:
        settings: what to look at.
        view: of ``settings.store`` with ``settings.labels``, where it has been opened already.

    Raises:
        UserError: the condition or the labels are not usable, or the template is there already.
        StoreError: the store is empty or damaged.
    """
    if settings.template is not None and Path(settings.template).exists():
        raise UserError(f"template={settings.template} is there already, and may have been edited: give another name")
    view = view or StoreView.open(settings.store, settings.labels)
    selected = view.select(settings.where)
    taking_part = pc.is_in(view.models.column("model_id"), value_set=pc.unique(selected.column("model_id")))
    rows = view.models.filter(taking_part).select([*JOINED_BY, *KNOWLEDGE]).to_pylist()
    found = [_fields_of(row) for row in rows]
    names = list(dict.fromkeys([*_columns(), *sorted({name for each in found for name in each})]))
    return LabelsResult(
        fields=_by_field(names, rows, found),
        models=_by_model(names, rows, found),
        template=pa.table(
            {key: pa.array([row[key] for row in rows], pa.string()) for key in ("model_id", "name")}
            | {name: pa.array([each.get(name) for each in found], pa.string()) for name in names}
        ),
        changed={} if settings.labels is None else _changed(view, {row["model_id"] for row in rows}),
        settings=settings,
        store=view.store,
        extent=Extent.of(selected),
        label_notes=view.notes,
    )


def _columns() -> list[str]:
    return [name for name in KNOWLEDGE if name not in ("attributes", "origins")]


def _fields_of(row: Mapping[str, Any]) -> dict[str, str]:
    """What is known of a model, as text."""
    values = {name: row[name] for name in _columns()} | dict(row["attributes"] or ())
    return {name: str(value) for name, value in values.items() if value is not None}


def _by_field(names: list[str], rows: list[dict[str, Any]], found: list[dict[str, str]]) -> pa.Table:
    table = []
    for name in names:
        known = [each[name] for each in found if name in each]
        origins = Counter(
            dict(row["origins"]).get(name, NOT_SAID) for row, each in zip(rows, found, strict=True) if name in each
        )
        said = ", ".join(f"{origin} {number}" for origin, number in origins.most_common())
        row = {"field": name, "known": len(known), "unknown": len(rows) - len(known), "values": len(set(known))}
        table.append(row | {"origins": said})
    return pa.Table.from_pylist(table)


def _by_model(names: list[str], rows: list[dict[str, Any]], found: list[dict[str, str]]) -> pa.Table:
    pairs = [(row, each, name) for row, each in zip(rows, found, strict=True) for name in names]
    origins = [dict(row["origins"]).get(name) if name in each else None for row, each, name in pairs]
    columns = {
        "model_id": [row["model_id"] for row, _, _ in pairs],
        "name": [row["name"] for row, _, _ in pairs],
        "field": [name for _, _, name in pairs],
        "value": [each.get(name) for _, each, name in pairs],
        "origin": origins,
    }
    return pa.table({column: pa.array(values, pa.string()) for column, values in columns.items()})


def _changed(view: StoreView, model_ids: set[str]) -> dict[str, dict[str, object]]:
    """What the view, with its labels, says otherwise than the store."""
    columns = ["model_id", *KNOWLEDGE]
    stored = {row["model_id"]: metadata_in(row) for row in view.store.model_rows(model_ids, columns)}
    changed = {}
    for row in view.models.select(columns).to_pylist():
        now, before = metadata_in(row), stored.get(row["model_id"])
        if before is not None and now != before:
            unchanged = columns_of(before)
            values = columns_of(now)
            changed[row["model_id"]] = {name: value for name, value in values.items() if value != unchanged[name]}
    return changed
