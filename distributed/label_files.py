"""Files of labels: what a user knows about models, joined to them by names, and which row says what of which model.

A row names its models in the columns ``model_id``, ``name``, ``uri``, ``file``: those given must all agree, as they are
or as a pattern (``resnet*``, ``*/checkpoints/?.pt``; case counts). Every other column is a label. An empty cell says
nothing; ``null`` says that the label is not known, whatever the store says.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from distributed.errors import UserError
from distributed.records import LAYERS_SCHEMA, MODELS_SCHEMA
from distributed.references import METADATA_FIELDS
from distributed.sources.metadata import resolution_of, text_of, yaml_problem
from distributed.sources.naming import some
from distributed.store import StoreSettings
from distributed.store.location import locate, probe
from distributed.store.problems import reading

#: Columns that say which models a row is about.
JOINED_BY = ("model_id", "name", "uri", "file")

#: What extraction measured or wrote down to find a model again: no label can stand for it.
_MEASURED = {*MODELS_SCHEMA.names, *LAYERS_SCHEMA.names} - {*METADATA_FIELDS, *JOINED_BY}

#: Names in a note before it only counts.
_NAMED = 10

#: A row of a file as it stands there: where (``line 3``), and its cells by column.
Row = tuple[str, dict[str, Any]]

#: Label → its value; None: not known, whatever was said before.
Labels = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One row: ``place`` for people (``labels.csv line 3``), the ``keys`` of its models, and its ``labels``."""

    place: str
    keys: Mapping[str, str]
    labels: Labels

    def matches(self, model: Mapping[str, Any]) -> bool:
        """Whether it is about the model of these ``JOINED_BY``."""
        return all(_agree(model.get(key), wanted) for key, wanted in self.keys.items())

    @property
    def is_pattern(self) -> bool:
        """Whether it may be about several models."""
        return any(_is_pattern(wanted) for wanted in self.keys.values())

    def __str__(self) -> str:
        return f"{self.place} ({', '.join(f'{key} {value}' for key, value in self.keys.items())})"


class LabelFile:
    """The rows of one file; ``origin``, its name, is where labels from it were read."""

    def __init__(self, origin: str, rows: Sequence[LabelRow]) -> None:
        self.origin, self.rows = origin, tuple(rows)
        self._patterns: list[int] = []
        self._exact: dict[tuple[str, str], list[int]] = {}
        for number, row in enumerate(self.rows):
            exact = next(((key, row.keys[key]) for key in row.keys if not _is_pattern(row.keys[key])), None)
            (self._patterns if exact is None else self._exact.setdefault(exact, [])).append(number)

    def rows_of(self, model: Mapping[str, Any]) -> list[int]:
        """Numbers of the rows about a model: patterns first, then what names it; a later one's labels count."""
        numbers = list(self._patterns)
        for key in JOINED_BY:
            numbers += self._exact.get((key, model.get(key) or ""), ())
        found = [number for number in numbers if self.rows[number].matches(model)]
        return sorted(found, key=lambda number: (not self.rows[number].is_pattern, number))

    def labels_of(self, model: Mapping[str, Any]) -> Labels:
        """What the file says of the model of these ``JOINED_BY``."""
        found: dict[str, str | None] = {}
        for number in self.rows_of(model):
            found |= self.rows[number].labels
        return found

    def notes_on(self, models: Iterable[Mapping[str, Any]]) -> list[str]:
        """Rows about none of the models, or about several by one name; models without a row, or of several: by name."""
        used: Counter[int] = Counter()
        without, several = [], []
        for model in models:
            numbers = self.rows_of(model)
            used.update(numbers)
            if not numbers:
                without.append(str(model["name"]))
            elif len(numbers) > 1:
                places = ", ".join(self.rows[number].place for number in numbers)
                several.append(f"{model['name']} ({places})")
        rows = list(enumerate(self.rows))
        unused = [str(row) for number, row in rows if not used[number]]
        shared = [f"{row}: {used[number]}" for number, row in rows if used[number] > 1 and not row.is_pattern]
        kinds = (
            (unused, "row", "without a model"),
            (shared, "row", "about several models that bear the name"),
            (without, "model", "without a row"),
            (several, "model", "with several rows (the last counts, and names before patterns)"),
        )
        return [
            f"labels {self.origin}: {len(names)} {noun}{'' if len(names) == 1 else 's'} {what}: {some(names, _NAMED)}"
            for names, noun, what in kinds
            if names
        ]


def read_labels(path: str, near: StoreSettings) -> LabelFile:
    """The rows of a CSV, Parquet or YAML file (``models:``, a list of mappings, as a manifest has it).

    Args:
        path: of a local file, ``file://`` or ``s3://bucket/key``.
        near: endpoint and region of S3 are this store's.

    Raises:
        UserError: it cannot be read, is none of these, names no models, or labels what is measured.
    """
    origin = PurePosixPath(path).name
    found = read_rows(path, near)
    rows = [_row(f"{origin} {place}", values) for place, values in found]
    if not rows:
        raise UserError(f"labels={path}: holds no row")
    return LabelFile(origin, rows)


def read_rows(path: str, near: StoreSettings, setting: str = "labels", of: str = "models") -> list[Row]:
    """The rows of a CSV, Parquet or YAML file, as they stand there.

    Args:
        path: see ``read_labels``.
        near: see ``read_labels``.
        setting: what people know the file by.
        of: in YAML, the key of the list.

    Raises:
        UserError: it cannot be read, or is none of these.
    """
    data = _bytes_of(path, near, setting)
    yaml_rows = partial(_yaml_rows, of=of)
    readers: dict[str, Callable[[bytes], list[Row]]] = {
        ".csv": _csv_rows,
        ".parquet": _parquet_rows,
        ".yaml": yaml_rows,
        ".yml": yaml_rows,
    }
    reader = readers.get(PurePosixPath(path).suffix.lower())
    if reader is None:
        raise UserError(f"{setting}={path}: give a file that ends with .csv, .parquet, .yaml or .yml")
    try:
        return reader(data)
    except UnicodeDecodeError as error:
        raise UserError(f"{setting}={path}: is not UTF-8 text (byte {error.start})") from error
    except (csv.Error, pa.ArrowException, yaml.YAMLError, RecursionError, ValueError) as error:
        reason = yaml_problem(error) if isinstance(error, yaml.YAMLError) else str(error).splitlines()[0]
        raise UserError(f"{setting}={path}: cannot be read as what its name says: {reason}") from error


def _bytes_of(path: str, near: StoreSettings, setting: str) -> bytes:
    if not path.startswith("s3://"):
        try:
            return Path(path.removeprefix("file://")).expanduser().read_bytes()
        except OSError as error:
            raise UserError(f"{setting}={path}: cannot be read ({error.strerror}): check the path") from error
    location = locate(replace(near, uri=path))
    probe(location)
    with reading(path), location.arrow_filesystem().open_input_stream(location.root) as stream:
        data: bytes = stream.read()
    return data


def _csv_rows(data: bytes) -> list[Row]:
    lines = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
    heading = [name.strip() for name in next(lines, [])]
    if len(set(heading)) != len(heading):
        raise ValueError(f"column {next(name for name in heading if heading.count(name) > 1)!r} stands there twice")
    rows = []
    for cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(heading):
            raise ValueError(f"line {lines.line_num} has {len(cells)} cells, the heading {len(heading)}")
        rows.append((f"line {lines.line_num}", dict(zip(heading, cells, strict=False))))
    return rows


def _parquet_rows(data: bytes) -> list[Row]:
    rows = pq.read_table(pa.BufferReader(data)).to_pylist()
    return [(f"row {number}", {key: _plain(value) for key, value in row.items()}) for number, row in enumerate(rows, 1)]


def _plain(value: Any) -> Any:
    """Times and decimals as text; NaN, which data frames write for what is missing, as nothing."""
    if value is None or value != value:
        return None
    return value if isinstance(value, str | bool | int | float | list | dict) else str(value)


def _yaml_rows(data: bytes, of: str) -> list[Row]:
    content = yaml.load(data.decode("utf-8"), Loader=yaml.BaseLoader)
    entries = content.get(of) if isinstance(content, dict) else None
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise ValueError(f"expected a mapping with the list {of!r}, one mapping per {of.removesuffix('s')}")
    return [(f"entry {number}", each) for number, each in enumerate(entries, 1)]


def _row(place: str, values: Mapping[Any, Any]) -> LabelRow:
    texts: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            raise UserError(f"labels: {place}: {key} is a mapping, expected text")
        text = text_of(value)
        if text is not None and key:
            texts[str(key)] = text.strip()
    keys = {key: texts.pop(key) for key in JOINED_BY if key in texts}
    if not keys:
        raise UserError(f"labels: {place}: names no model; give one of {', '.join(JOINED_BY)}")
    if measured := sorted(_MEASURED & texts.keys()):
        raise UserError(
            f"labels: {place}: {measured[0]} is measured or recorded by the extraction, no label can stand for it: "
            "give the column another name"
        )
    labels: dict[str, str | None] = {key: None if text in ("null", "~") else text for key, text in texts.items()}
    if (side := labels.get("resolution")) is not None:
        labels["resolution"] = resolution_of(side)
        if labels["resolution"] is None:
            raise UserError(f"labels: {place}: resolution is the side of a square in pixels, found {side[:80]!r}")
    return LabelRow(place, keys, labels)


def _agree(value: Any, wanted: str) -> bool:
    return isinstance(value, str) and (value == wanted or fnmatchcase(value, wanted))


def _is_pattern(wanted: str) -> bool:
    return any(character in wanted for character in "*?[")
