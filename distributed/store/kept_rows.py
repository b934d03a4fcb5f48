"""The models' rows in one file, so that a run that looks at all of them opens one and not thousands.

The models' own files stay the truth: a kept row counts as long as that file has the size and time it had then. Anyone
may remove the file.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from distributed.errors import StoreError
from distributed.records import MODELS_SCHEMA
from distributed.store.conforming import as_stored
from distributed.store.reading import StoredFile, read_small, read_tables

logger = logging.getLogger(__name__)

#: Where it is, within the store.
PATH = "kept/models.parquet"

#: Models that are read from their own files before all are kept anew.
MOST_NOT_KEPT = 100

_STAMP = pa.field("stamp", pa.string(), nullable=False)
_SCHEMA = MODELS_SCHEMA.append(_STAMP)


class KeptRows:
    """The rows of ``files``, from the kept ones where they still hold, else from the files.

    Args:
        filesystem: of the store.
        path: of the kept rows.
        files: the models that exist.
    """

    def __init__(self, filesystem: pafs.FileSystem, path: str, files: Sequence[StoredFile]) -> None:
        self._filesystem, self._path, self._files = filesystem, path, files

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Some columns of ``MODELS_SCHEMA``, in no order of rows.

        Raises:
            StoreError: a file can't be read.
        """
        kept, rest = self._split(columns)
        return pa.concat_tables([kept.select(list(columns)), self._read(rest, columns)])

    def renewed(self) -> bytes | None:
        """What to keep from now on; None where what is kept is good enough.

        Raises:
            StoreError: a file can't be read.
        """
        kept, rest = self._split(MODELS_SCHEMA.names)
        if len(rest) <= MOST_NOT_KEPT:
            return None
        stamps = pa.array([_stamp(file) for file in rest], pa.string())
        table = pa.concat_tables([kept, self._read(rest, MODELS_SCHEMA.names).append_column(_STAMP, stamps)])
        sink = pa.BufferOutputStream()
        pq.write_table(as_stored(table), sink, compression="zstd")
        return bytes(sink.getvalue())

    def _read(self, files: Sequence[StoredFile], columns: Sequence[str]) -> pa.Table:
        return read_tables(self._filesystem, files, MODELS_SCHEMA, columns)

    def _split(self, columns: Sequence[str]) -> tuple[pa.Table, list[StoredFile]]:
        """The kept rows that hold, ``stamp`` among their columns, and the files of the others."""
        wanted = list(dict.fromkeys([*columns, "model_id", _STAMP.name]))
        table = pa.schema([_SCHEMA.field(name) for name in wanted]).empty_table()
        if len(self._files) > MOST_NOT_KEPT and self._filesystem.get_file_info(self._path).type is pafs.FileType.File:
            try:
                found = read_small(self._filesystem, self._path, _SCHEMA, wanted)
                table = pa.concat_tables([table, found], promote_options="default")  # null where an older one has none
            except StoreError as error:
                logger.warning("the models' own files are read, one by one: %s", error)
        stamps = {_stamp(file): file for file in self._files}
        rows = [index for index, stamp in enumerate(table[_STAMP.name].to_pylist()) if stamps.pop(stamp, None)]
        return table.take(pa.array(rows, pa.int64())), list(stamps.values())


def _stamp(file: StoredFile) -> str:
    return f"{file.key} {file.size} {file.changed}"
