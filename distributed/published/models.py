"""From the rows of a published frame to models: their layers, what is known about them, and what is not kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distributed.errors import UnextractableError
from distributed.formats.problems import unsupported
from distributed.published import columns
from distributed.published.corrections import corrected
from distributed.published.frame import Frame
from distributed.published.ranges import filter_ranges
from distributed.published.rows import DEPTH_METHOD, PublishedLayer, PublishedModel
from distributed.references import ModelMetadata

#: What a model may not have several values of without a word: everything but these, which are a layer's.
_OF_LAYERS = frozenset(
    {*columns.INDEX, columns.FILTER_IDS, columns.IN_CHANNELS, columns.OUT_CHANNELS, *columns.OF_LAYERS.values()}
)


@dataclass(frozen=True, slots=True)
class Described:
    """A model with its name and what the file says about it."""

    name: str
    model: PublishedModel
    metadata: ModelMetadata


def models_of(frame: Frame, rows: int, file: str, *, corrections: bool) -> list[Described]:
    """The models of a frame, in its order.

    Args:
        frame: of the file.
        rows: number of filters in the file.
        file: its name, for origins and messages.
        corrections: whether what is known to be labelled wrong is corrected.

    Raises:
        UnextractableError: a column is missing, or rows and filters do not fit; the message names the rows.
    """
    needed = (*columns.INDEX[:3], columns.FILTER_IDS)
    missing = [name for name in needed if name not in frame.columns]
    if missing:
        raise unsupported(
            f"{file}: meta",
            f"column {missing[0]!r} is missing: it is no frame of CNN Filter DB",
            expected=", ".join(needed),
            found=", ".join(map(str, frame.columns))[:200],
        )
    ids = [_text(value) or "" for value in frame.columns[columns.MODEL_ID]]

    def describe(row: int) -> str:
        return f"row {row} (model_id {ids[row]}, conv_depth {frame.columns[columns.DEPTH][row]})"

    starts, stops = filter_ranges(list(frame.columns[columns.FILTER_IDS]), rows, describe, file)
    _check_depths(frame, describe, file)
    of_model: dict[str, list[int]] = {}
    for row, model_id in enumerate(ids):
        of_model.setdefault(model_id, []).append(row)
    reading = _Reading(frame, starts, stops, file, corrections)
    return [reading.model(model_id, mine) for model_id, mine in of_model.items()]


def _check_depths(frame: Frame, describe: Any, file: str) -> None:
    depth, norm = frame.columns[columns.DEPTH], frame.columns[columns.DEPTH_NORM]
    for row, (one, other) in enumerate(zip(depth.tolist(), norm.tolist(), strict=True)):
        number, share = _number(one), _number(other)
        if number is None or number < 0 or number != int(number) or share is None or not 0 <= share <= 1:
            raise unsupported(
                f"{file}: meta",
                f"{describe(row)} has no depth",
                expected="conv_depth 0, 1 …, conv_depth_norm 0 … 1",
                found=f"{one}, {other}",
            )


@dataclass(slots=True)
class _Model:
    """What is collected about one model."""

    values: dict[str, Any] = field(default_factory=dict)
    several: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    def take(self, name: str) -> Any:
        self.used.add(name)
        return self.values.get(name)


class _Reading:
    def __init__(
        self, frame: Frame, starts: NDArray[np.int64], stops: NDArray[np.int64], file: str, corrections: bool
    ) -> None:
        self._frame, self._starts, self._stops = frame, starts, stops
        self._file, self._corrections = file, corrections
        self._plain = {name: values.tolist() for name, values in frame.columns.items() if name not in _OF_LAYERS}

    def model(self, model_id: str, rows: Sequence[int]) -> Described:
        found = _Model()
        for name, values in self._plain.items():
            several = list(dict.fromkeys(value for row in rows if not _is_null(value := values[row])))
            if len(several) == 1:
                found.values[name] = several[0]
            elif several:
                found.several[name] = ", ".join(_text(values[row]) or "" for row in rows)
                found.notes.append(f"{name!r} has {len(several)} values within the model: kept as one text")
        name = _text(found.take(columns.MODEL)) or f"model {model_id}"
        layers = self._layers(rows, found)
        counts, share = _counts(found), _number(found.take(columns.SHARE_3X3))
        metadata = self._metadata(model_id, name, found)
        total = counts["total_filters"]
        filters = sum(layer.filters for layer in layers)
        shapes = {
            shape: int(count)
            for column, value in found.values.items()
            if (shape := columns.kernel_of(column)) and (count := _number(value))
        }
        operators = {
            operator: int(count)
            for column, value in found.values.items()
            if (operator := columns.operator_of(column)) and (count := _number(value))
        }
        conv_layers = counts["num_conv_layers"] or operators.get("Conv")
        model = PublishedModel(
            original_id=model_id,
            layers=tuple(layers),
            num_parameters=counts["num_parameters"],
            total_filters=total,
            share_3x3=share if share is not None else filters / total if total else None,
            num_conv_layers=conv_layers,
            kernel_shapes=shapes,
            op_counts=operators or None,
            notes=tuple(found.notes),
        )
        return Described(name, model, metadata)

    def _metadata(self, model_id: str, name: str, found: _Model) -> ModelMetadata:
        values: dict[str, Any] = {}
        origins: dict[str, str] = {}
        for target, sources in columns.FIELDS.items():
            for source in sources:
                text = _text(found.values.get(source))
                # ``False`` stands for "not pretrained": no name of a data set. It stays among the attributes.
                if text is None or text == "False":
                    continue
                text, why = corrected(target, text, name) if self._corrections else (text, None)
                found.used.add(source)
                values[target] = int(text) if target == "resolution" else text
                origins[target] = f"{self._file} {source}" + (f", {why}" if why else "")
                break
        attributes = {columns.ORIGINAL_ID: model_id, **found.several}
        for column, value in found.values.items():
            known = column in found.used or columns.kernel_of(column) or columns.operator_of(column)
            # Our export repeats the architecture under the published names.
            is_repeated = column in ("Name", "Backbone") and _text(value) == values.get("architecture")
            if not known and not is_repeated and (text := _text(value)) is not None:
                attributes[column] = text
        origins |= dict.fromkeys(attributes, f"{self._file} meta")
        return ModelMetadata(**values, attributes=attributes, origins=origins)

    def _layers(self, rows: Sequence[int], found: _Model) -> list[PublishedLayer]:
        depths = self._frame.columns[columns.DEPTH]
        ordered = sorted(rows, key=lambda row: int(depths[row]))  # stable: the file's order within a depth
        of_depth: dict[int, int] = {}
        layers = []
        for row in ordered:
            depth = int(depths[row])
            number = of_depth[depth] = of_depth.get(depth, -1) + 1
            layers.append(self._layer(row, depth, number, found))
        names = [layer.name for layer in layers]
        if len(set(names)) < len(names):
            raise _twice(next(name for name in names if names.count(name) > 1), found, self._file)
        return layers

    def _layer(self, row: int, depth: int, number: int, found: _Model) -> PublishedLayer:
        def value(column: str) -> Any:
            values = self._frame.columns.get(column)
            return None if values is None or _is_null(values[row]) else values[row]

        layer_id = value(columns.LAYER_ID)
        given = _text(value(columns.OF_LAYERS["name"]))
        plain = f"depth {depth}" if layer_id is None else f"layer {_text(layer_id)}"
        name = given or (plain if number == 0 or layer_id is not None else f"{plain} ({number + 1})")
        start, stop = int(self._starts[row]), int(self._stops[row])
        channels = None
        if (out := _number(value(columns.OUT_CHANNELS))) and (into := _number(value(columns.IN_CHANNELS))):
            channels = int(out), int(into)
            if channels[0] * channels[1] != stop - start:
                found.notes.append(
                    f"{name}: {channels[0]} x {channels[1]} channels are not {stop - start} filters: not kept"
                )
                channels = None
        groups = _number(value(columns.OF_LAYERS["groups"]))
        return PublishedLayer(
            name,
            start,
            stop,
            depth,
            float(self._frame.columns[columns.DEPTH_NORM][row]),
            channels,
            None if groups is None else int(groups),
            _truth(value(columns.OF_LAYERS["is_depthwise"])),
            _truth(value(columns.OF_LAYERS["is_transposed"])),
            _text(value(columns.OF_LAYERS["depth_method"])) or DEPTH_METHOD,
            _text(value(columns.OF_LAYERS["dtype"])),
        )


def _twice(name: str, found: _Model, file: str) -> UnextractableError:
    model = _text(found.values.get(columns.MODEL))
    return unsupported(f"{file}: meta", f"model {model!r} has several layers of the name {name!r}")


def _counts(found: _Model) -> dict[str, int | None]:
    numbers = {name: _number(found.take(name)) for name in (columns.TOTAL_FILTERS, *columns.OWN_COUNTS)}
    return {name: None if number is None else int(number) for name, number in numbers.items()}


def _is_null(value: Any) -> bool:
    return value is None or value == "" or bool(value != value)  # NaN and NaT differ from themselves


def _number(value: Any) -> float | None:
    """A number, or a text that is one; None where there is none."""
    if _is_null(value) or isinstance(value, bool | np.bool_):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _truth(value: Any) -> bool | None:
    """A truth value, or the text or number that a frame with gaps makes of it."""
    known = {"True": True, "False": False, "1.0": True, "0.0": False, "1": True, "0": False}
    return None if _is_null(value) else known.get(str(value))


def _text(value: Any) -> str | None:
    """A cell as text: whole numbers without a fraction, whatever gaps in their column made of them."""
    if _is_null(value):
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, float | np.floating) and float(value).is_integer() and abs(float(value)) < 2**53:
        return str(int(value))
    text = str(value)
    return text if text.strip() else None
