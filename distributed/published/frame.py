"""A pandas frame in PyTables' fixed format, read by h5py: no pickle of the file is executed, pandas is not asked.

The layout, as pandas 1.1 to 3.1 write it (``pandas.io.pytables.BlockManagerFixed``): ``axis0`` are the columns' names;
``axis1`` is the index, or for several levels ``axis1_level<i>`` (values) and ``axis1_label<i>`` (codes into them, -1
for none); ``block<i>_items`` are names of columns and ``block<i>_values`` their values, (rows, columns), texts and
mixed objects as a pickled array in a variable-length data set. Names of levels stand in attributes.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from distributed.formats.problems import unreadable, unsupported
from distributed.published.object_blocks import objects_of

#: What PyTables pickles for an attribute that is None.
_PICKLED_NONE = b"N."


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A frame's index levels and columns by name, arrays of one length; missing values are None or NaN.

    Attributes:
        index: names of the index levels, in order.
        columns: name → values; of index levels too.
        rows: number of rows.
    """

    index: tuple[str, ...]
    columns: dict[str, NDArray[Any]]
    rows: int


def read_frame(node: h5py.Group | h5py.Dataset, file: str) -> Frame:
    """The frame that ``node`` holds: fixed format, or the bytes of a CSV, as the first version kept it.

    Args:
        node: the group, or the data set of bytes.
        file: name for messages.

    Raises:
        UnextractableError: (unsafe_pickle) it holds what would run code; (unreadable, unsupported_format) it is no such
            frame.
    """
    if isinstance(node, h5py.Dataset):
        return _frame_of_csv(node, file)
    place = f"{file}:{node.name}"
    kind = _text(node.attrs.get("pandas_type"))
    if kind != "frame":
        what = "a frame in table format" if kind == "frame_table" else "no pandas frame"
        raise unsupported(place, f"{what}: write it with DataFrame.to_hdf(…, format='fixed')", found=kind or "no type")
    try:
        return _frame_of_blocks(_Parts(node, place))
    except (KeyError, ValueError, TypeError, IndexError, OSError, RuntimeError) as error:
        raise unreadable(place, "damaged or incomplete frame: download the file again", found=_line(error)) from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


class _Parts:
    """The arrays of one frame, decoded."""

    def __init__(self, group: h5py.Group, place: str) -> None:
        self.group, self.place = group, place
        self.encoding = _text(group.attrs.get("encoding")) or "utf-8"

    def attribute(self, name: str) -> Any:
        return self.group.attrs[name]

    def array(self, name: str) -> NDArray[Any]:
        """As pandas reads it: rows first, objects as they were, bytes as texts, truth values as such."""
        found = self.group[name]
        place = f"{self.place}/{name}"
        if not isinstance(found, h5py.Dataset):
            raise ValueError(f"{name} is no data set")
        if h5py.check_vlen_dtype(found.dtype) is not None:
            # The shape of an empty array stands beside it.
            return objects_of(found[0].tobytes(), place) if len(found) else np.empty(0, object)
        values: NDArray[Any] = found[...]
        if "shape" in found.attrs:  # an empty array, which HDF5 keeps as one element
            values = np.empty(tuple(found.attrs["shape"]), values.dtype)
        if values.dtype.kind == "S":
            return self._texts(values, _text(found.attrs.get("nan_rep")) or None)
        if found.id.get_type().get_class() == h5py.h5t.BITFIELD:
            return values.astype(bool)
        kind = _text(found.attrs.get("value_type")) or _text(found.attrs.get("kind")) or ""
        if kind.startswith("datetime64"):
            unit = kind.partition("[")[2].rstrip("]") or "ns"
            return values.astype(f"datetime64[{unit}]")
        return values

    def _texts(self, values: NDArray[np.bytes_], nan: str | None) -> NDArray[Any]:
        texts = np.empty(values.size, object)
        texts[:] = [str(value, self.encoding, "replace") for value in values.reshape(-1)]
        texts[texts == nan] = None
        return texts.reshape(values.shape)

    def index_name(self, name: str, number: int) -> str:
        given = self.group[name].attrs.get("name")
        return _text(given) if given is not None and bytes(given) != _PICKLED_NONE else f"level {number}"


def _frame_of_blocks(parts: _Parts) -> Frame:
    columns: dict[str, NDArray[Any]] = {}
    if _text(parts.attribute("axis1_variety")) == "multi":
        index = []
        for number in range(int(parts.attribute("axis1_nlevels"))):
            name = parts.index_name(f"axis1_level{number}", number)
            columns[name] = _decoded(parts.array(f"axis1_level{number}"), parts.array(f"axis1_label{number}"))
            index.append(name)
    else:
        index = [parts.index_name("axis1", 0)]
        columns[index[0]] = parts.array("axis1")
    rows = len(columns[index[0]])
    for block in range(int(parts.attribute("nblocks"))):
        names = [str(name) for name in parts.array(f"block{block}_items")]
        values = parts.array(f"block{block}_values")
        if values.ndim == 1:  # since pandas 3 texts are kept column by column
            values = values.reshape(-1, 1)
        if values.shape != (rows, len(names)):
            raise ValueError(f"block {block} is {values.shape} for {rows} rows of {len(names)} columns")
        columns |= {name: values[:, i] for i, name in enumerate(names)}
    missing = [str(name) for name in parts.array("axis0") if str(name) not in columns]
    if missing:
        raise ValueError(f"column {missing[0]!r} is in no block")
    if any(len(values) != rows for values in columns.values()):
        raise ValueError("columns of several lengths")
    return Frame(tuple(index), columns, rows)


def _decoded(values: NDArray[Any], codes: NDArray[Any]) -> NDArray[Any]:
    """Values of a level, by their codes; -1 is none."""
    codes = codes.astype(np.int64)
    if codes.size and (codes.max() >= len(values) or codes.min() < -1):
        raise ValueError("codes of an index level outside its values")
    found: NDArray[Any] = values[codes] if (codes >= 0).all() else np.empty(len(codes), object)
    if (codes < 0).any():
        found[:] = [values[code] if code >= 0 else None for code in codes]
    return found


def _frame_of_csv(node: h5py.Dataset, file: str) -> Frame:
    """The bytes of a CSV file: one value, or an array of single bytes."""
    import pandas as pd

    place = f"{file}:{node.name}"
    content = node[...] if node.dtype.kind in "ui" and node.dtype.itemsize == 1 else node[()]
    data = content.encode() if isinstance(content, str) else bytes(content)
    try:
        table = pd.read_csv(io.BytesIO(data), low_memory=False)
    except (ValueError, UnicodeDecodeError) as error:
        raise unreadable(place, "neither a pandas frame nor the bytes of a CSV file", found=_line(error)) from None
    table = table.drop(columns=[name for name in table if str(name).startswith("Unnamed:")])
    columns = {str(name): table[name].to_numpy(dtype=_plain_type(table[name].dtype)) for name in table}
    return Frame((), columns, len(table))


def _plain_type(dtype: Any) -> Any:
    return dtype if isinstance(dtype, np.dtype) else object


def _text(value: Any) -> str:
    """An attribute as text: PyTables writes bytes, and nothing at all for an empty one."""
    if value is None or isinstance(value, h5py.Empty):
        return ""
    return bytes(value).decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
