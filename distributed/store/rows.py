"""Records of single rows: a model, and what a listed model was rejected for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import pyarrow as pa

from distributed.records import MODELS_SCHEMA, REJECTS_SCHEMA, RUNS_SCHEMA


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One row of ``models``: the columns of ``MODELS_SCHEMA``, which says what each means. Unknown is None."""

    model_id: str
    name: str
    source: str
    uri: str
    revision: str | None
    file: str
    format: str
    sha256: str | None
    reference_key: str
    library: str | None
    architecture: str | None
    family: str | None
    task: str | None
    visual_category: str | None
    training_dataset: str | None
    pretraining_dataset: str | None
    license: str | None
    paper: str | None
    origins: Mapping[str, str]
    num_parameters: int | None
    total_filters: int | None
    num_filters: int
    share_3x3: float | None
    kernel_shapes: Mapping[str, int]
    op_counts: Mapping[str, int] | None
    num_conv_layers: int | None
    num_layers_3x3: int
    notes: tuple[str, ...]
    bytes_read: int
    bytes_total: int
    extracted_at: datetime
    tool_version: str
    variant: str | None = None
    recipe: str | None = None
    resolution: int | None = None
    attributes: Mapping[str, str] | None = None

    def to_table(self) -> pa.Table:
        """One row of ``MODELS_SCHEMA``."""
        return _one_row(self, MODELS_SCHEMA)


class RejectKind(StrEnum):
    """Which side table a rejected model is recorded in; the value is the folder's name."""

    SKIP = "skips"
    FAILURE = "failures"


@dataclass(frozen=True, slots=True)
class Reject:
    """One row of ``skips`` or ``failures``: the columns of ``REJECTS_SCHEMA``."""

    reference_key: str
    name: str
    source: str
    uri: str
    revision: str | None
    file: str | None
    reason: str
    message: str
    tensor: str | None
    expected: str | None
    found: str | None
    retryable: bool
    attempts: int
    recorded_at: datetime
    tool_version: str
    node: str | None = None
    run_id: str | None = None

    def to_table(self) -> pa.Table:
        """One row of ``REJECTS_SCHEMA``."""
        return _one_row(self, REJECTS_SCHEMA)


#: Without news for so long a run that has not ended is dead.
DEAD_AFTER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class RunRow:
    """One row of ``runs``: the columns of ``RUNS_SCHEMA``, which says what each means."""

    run_id: str
    started_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    ending: str | None
    host: str
    settings: Mapping[str, str]
    versions: Mapping[str, str]
    git_commit: str | None
    listed: int
    outcomes: Mapping[str, int]
    filters: int
    bytes_read: int
    retries: int
    nodes: tuple[str, ...]

    def to_table(self) -> pa.Table:
        """One row of ``RUNS_SCHEMA``."""
        return _one_row(self, RUNS_SCHEMA)

    def state(self, now: datetime) -> str:
        """``complete``, how it ended early, ``goes on``, or that it died."""
        if self.ended_at is not None:
            return self.ending or "ended"
        return "goes on" if now - self.updated_at < DEAD_AFTER else "died without a word"


@dataclass(frozen=True, slots=True)
class ModelOrigin:
    """A model of the store, by what people call it."""

    model_id: str
    name: str
    revision: str


@dataclass(frozen=True, slots=True)
class StoredReject:
    """A reject as found in the store."""

    kind: RejectKind
    reject: Reject


def _one_row(record: ModelRow | Reject | RunRow, schema: pa.Schema) -> pa.Table:
    """A dataclass whose fields are the columns of ``schema`` as a table of one row.

    Maps are sorted by key, so that equal records give equal bytes.

    Raises:
        ValueError: None in a column that always has a value.
    """
    arrays = [_cell(getattr(record, field.name), field, type(record).__name__) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def _cell(value: object, field: pa.Field, place: str) -> pa.Array:
    if value is None and not field.nullable:
        raise ValueError(f"{place}.{field.name} must not be None")
    if isinstance(value, Mapping):
        value = sorted(value.items())
    elif isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError(f"{place}.{field.name} needs a time zone (UTC)")
    return pa.array([value], type=field.type)


def with_values(row: pa.Table, schema: pa.Schema, values: Mapping[str, object]) -> pa.Table:
    """A table of one row with other values in some of its columns.

    Raises:
        ValueError: a column that ``schema`` lacks, or None in one that always has a value.
    """
    for name, value in values.items():
        if name not in schema.names:
            raise ValueError(f"there is no column {name!r}")
        field = schema.field(name)
        index = row.schema.get_field_index(name)
        array = _cell(value, field, "models")
        row = row.append_column(field, array) if index < 0 else row.set_column(index, field, array)
    return row


def reject_of(row: Mapping[str, object]) -> Reject:
    """The record of one row of ``REJECTS_SCHEMA``, as ``pa.Table.to_pylist`` gives it."""
    return Reject(**{field.name: row[field.name] for field in dataclasses.fields(Reject)})  # type: ignore[arg-type]


def run_of(row: Mapping[str, object]) -> RunRow:
    """The record of one row of ``RUNS_SCHEMA``, as ``pa.Table.to_pylist`` gives it."""
    values = {field.name: row[field.name] for field in dataclasses.fields(RunRow)}
    maps = {name: dict(values[name]) for name in ("settings", "versions", "outcomes")}  # type: ignore[call-overload]
    return RunRow(**{**values, **maps, "nodes": tuple(values["nodes"])})  # type: ignore[arg-type]
