"""One HDF5 file in the published layout (CNN Filter DB, robustness data), for code that was written for that.

``filters`` is (N, 9) float32. ``meta`` is a pandas frame in fixed format with the published columns, and with what only
a store knows in columns of its own, so that importing the file gives the store's models again. Its mixed columns are
pickled as the layout has it, by protocol 2 and under the names that NumPy has had since its beginning: pandas 1.1 with
NumPy 1.21 reads them as pandas 3 with NumPy 2 does. This reader of ours runs none of them.
"""

from __future__ import annotations

import math
import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.export.measure import Chosen
from distributed import __version__
from distributed.errors import StoreError, UserError
from distributed.published import columns
from distributed.records import WEIGHT_COLUMNS

if TYPE_CHECKING:
    import h5py
    import pandas as pd

#: Attribute of the file that says who wrote it.
_MARK = "exported_by"

_PROGRAM = "cnn-filter-shift"

#: What of a frame cannot be an attribute's own column.
_TAKEN = frozenset(
    {
        *columns.INDEX,
        *(columns.FILTER_IDS, columns.MODEL, columns.TOTAL_FILTERS, columns.SHARE_3X3),
        *(columns.IN_CHANNELS, columns.OUT_CHANNELS, *columns.OWN_COUNTS, *columns.OF_LAYERS.values()),
    }
)


def is_export(path: Path) -> bool:
    """Whether a file was written here."""
    h5 = _h5py()
    try:
        with h5.File(path, "r") as file:
            return str(file.attrs.get(_MARK, "")).startswith(_PROGRAM)
    except OSError:
        return False


def write_hdf5(chosen: Chosen, path: Path) -> None:
    """Write the file: the frame, then all filters, a batch at a time.

    Raises:
        UserError: h5py or PyTables is missing.
        StoreError: a model's filters are missing or damaged.
    """
    h5 = _h5py()
    ordered, ids = _order(chosen)
    _write_frame(frame_of(chosen, ordered, ids), path)
    with h5.File(path, "a") as file:
        _write_portably(file["meta"])
        file.attrs[_MARK] = f"{_PROGRAM} {__version__}"
        filters = file.create_dataset("filters", (chosen.extent.filters, 9), "<f4")
        done = 0
        for model in ordered:
            for batch in chosen.filters(model["model_id"]):
                rows = np.empty((batch.num_rows, 9), np.float32)
                for i, name in enumerate(WEIGHT_COLUMNS):
                    rows[:, i] = batch.column(name).to_numpy()
                filters[done : done + len(rows)] = rows
                done += len(rows)
        if done != chosen.extent.filters:
            raise StoreError(f"read {done:,} filters where layers/ says {chosen.extent.filters:,}: extract again")


def _h5py() -> Any:
    try:
        import h5py
        import tables  # noqa: F401 - pandas writes by it
    except ImportError as error:
        raise UserError(
            f"format=cnn_filter_db needs {error.name}, which is not installed: pip install 'cnn-filter-shift[hdf5]'"
        ) from None
    return h5py


def _order(chosen: Chosen) -> tuple[list[dict[str, Any]], list[int]]:
    """The models with their numbers in the file: those they were published under, if each has its own; else 0, 1 …."""
    rows = [{**row, "attributes": dict(row["attributes"] or [])} for row in chosen.models.to_pylist()]
    texts = [row["attributes"].get(columns.ORIGINAL_ID, "") for row in rows]
    if len(set(texts)) == len(texts) and all(re.fullmatch(r"\d{1,18}", text) for text in texts):
        numbers = list(map(int, texts))
    else:
        rows.sort(key=lambda row: (row["name"], row["model_id"]))
        numbers = list(range(len(rows)))
    order = sorted(range(len(rows)), key=numbers.__getitem__)
    return [rows[i] for i in order], [numbers[i] for i in order]


def frame_of(chosen: Chosen, ordered: Sequence[Mapping[str, Any]], ids: Sequence[int]) -> pd.DataFrame:
    """``meta``: a row for each layer; with ``layer_id`` in its index where layers are single convolutions."""
    import pandas as pd

    of_model: dict[str, list[dict[str, Any]]] = {}
    for layer in chosen.layers.drop_columns(_MEASURED & set(chosen.layers.column_names)).to_pylist():
        of_model.setdefault(layer["model_id"], []).append(layer)
    index: list[tuple[int, int, float, int]] = []
    of_layers: list[dict[str, Any]] = []
    owner: list[int] = []
    start = 0
    for number, (model, original) in enumerate(zip(ordered, ids, strict=True)):
        for layer in sorted(of_model[model["model_id"]], key=lambda each: each["layer_index"]):
            index.append((original, layer["conv_depth"], layer["conv_depth_norm"], _layer_id(layer)))
            stop = start + layer["num_filters"]
            of_layers.append(
                {
                    columns.FILTER_IDS: f"{start}:{stop - 1}",
                    columns.OUT_CHANNELS: layer["out_channels"],
                    columns.IN_CHANNELS: layer["in_channels"],
                    **{target: layer[source] for source, target in columns.OF_LAYERS.items()},
                }
            )
            owner.append(number)
            start = stop
    single = any(layer[columns.OUT_CHANNELS] is not None for layer in of_layers)
    levels = columns.INDEX if single else columns.INDEX[:3]
    cells = [{**of_layer, **_about(ordered[i])} for of_layer, i in zip(of_layers, owner, strict=True)]
    names = dict.fromkeys(name for row in cells for name in row)
    series = {name: _column([row.get(name) for row in cells]) for name in names}
    known = {name: values for name, values in series.items() if values is not None}
    frame = pd.DataFrame({i: pd.Series(values, dtype=values.dtype) for i, values in enumerate(known.values())})
    frame.columns = pd.Index(list(known), dtype=object)
    # Levels one by one: text that looks like numbers stays text, numbers stay of their type.
    arrays = [np.array([row[i] for row in index]) for i in range(len(levels))]
    frame.index = pd.MultiIndex.from_arrays(arrays, names=levels)
    return frame


#: Columns of ``layers`` that are computed from the filters, and will be again.
_MEASURED = frozenset(
    {"scaled_sum", "scaled_gram", "extreme_filters", "clean_sum", "clean_gram", "digest", "weight_sketch"}
)


def _layer_id(layer: Mapping[str, Any]) -> int:
    """The number that an imported layer had, or its place within the model."""
    found = re.fullmatch(r"layer (\d{1,9})", layer["name"])
    return int(found[1]) if found else int(layer["layer_index"])


def _about(model: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that say something about the model, the published ones first."""
    attributes = dict(model["attributes"])
    attributes.pop(columns.ORIGINAL_ID, None)
    about: dict[str, Any] = {columns.MODEL: model["name"]}
    for field, sources in columns.FIELDS.items():
        # The first in the published words; what has none is in a column of its own.
        name = next((source for source in sources if source[0].isupper()), sources[0])
        name = sources[0] if field == "architecture" else name
        about[name] = model[field]
    # The robustness data have the architecture as Backbone, and models as Name.
    about["Backbone"] = model["architecture"] if "Name" in attributes else None
    about["Name"] = attributes.pop("Name", None) or model["architecture"]
    about[columns.TOTAL_FILTERS], about[columns.SHARE_3X3] = model["total_filters"], model["share_3x3"]
    about |= {name: model[name] for name in columns.OWN_COUNTS}
    about |= {columns.kernel_column(shape): number for shape, number in model["kernel_shapes"]}
    about |= {columns.operator_column(name): number for name, number in model["op_counts"] or []}
    for key, value in attributes.items():
        if about.get(key) is None and key not in _TAKEN:
            about[key] = value
        else:
            about[f"{key} (attribute)"] = value
    if about["Pretraining-Dataset"] == "False":
        about["Pretraining-Dataset"] = False  # not pretrained, as published
    # The notebook of the data set's authors looks for words in it, whatever it is.
    about["Task"] = about["Task"] or ""
    about.setdefault("Accessible", f"https://huggingface.co/{model['uri']}" if model["revision"] else None)
    return about


def _column(values: Sequence[Any]) -> NDArray[Any] | None:
    """Numbers, truth values or objects, as pandas would have them; None where there is no value at all."""
    there = [value for value in values if value is not None]
    if not there:
        return None
    if all(isinstance(value, str) for value in there):
        there, values = _read_again(there, values)
    if all(isinstance(value, bool) for value in there) and len(there) == len(values):
        return np.array(values, bool)
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in there):
        if len(there) == len(values) and all(isinstance(value, int) for value in there):
            return np.array(values, np.int64)
        return np.array([math.nan if value is None else float(value) for value in values])
    found = np.empty(len(values), object)
    found[:] = values
    return found


def _read_again(there: list[Any], values: Sequence[Any]) -> tuple[list[Any], Sequence[Any]]:
    """Texts of attributes as what they were: numbers and truth values, where every one is written as such."""
    if all(text in ("True", "False") for text in there):
        known: dict[str, Any] = {"True": True, "False": False}
    else:
        known = {}
        for text in set(there):
            number = _number(text)
            if number is None:
                return there, values
            known[text] = number
    return [known[text] for text in there], [None if text is None else known[text] for text in values]


def _number(text: str) -> int | float | None:
    """The number that is written as exactly this text."""
    if re.fullmatch(r"-?(0|[1-9]\d{0,14})", text) and text != "-0":
        return int(text)
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and repr(number) == text and not number.is_integer() else None


def _write_frame(frame: pd.DataFrame, path: Path) -> None:
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.PerformanceWarning)  # mixed columns are pickled: the layout has it so
        frame.to_hdf(path, key="meta", mode="w", format="fixed")


def _write_portably(group: h5py.Group) -> None:
    """The pickled blocks once more, so that older versions of NumPy and pandas read them."""
    from distributed.published.object_blocks import objects_of

    for name, node in group.items():
        if name.endswith("_values") and node.dtype.kind == "O" and len(node):
            objects = objects_of(node[0].tobytes(), name)
            data = pickle.dumps(objects, 2).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n", 1)
            node[0] = np.frombuffer(data, np.uint8)
