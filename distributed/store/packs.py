"""Where a model's filters are: in a file of their own, or, once small files were merged, among others' in a pack.

A pack is a Parquet file of ``FILTERS_SCHEMA`` in ``packs/``: the rows of one model after those of another. Which models
it holds stands in its own footer, so that no index can disagree with it. A model's own file counts before any pack: a
pack is there, whole, before the files that it was made of go, and whoever plans to read these still finds them for the
time that ``compact`` grants.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from distributed.errors import StoreError
from distributed.records import FILTERS_SCHEMA
from distributed.store.problems import reading
from distributed.store.reading import StoredFile, parallel
from distributed.store.row_groups import ROW_GROUP_ROWS

#: Folder of the packs, within the store.
PACKS = "packs"

_KEY = b"models"


@dataclass(frozen=True, slots=True)
class FilterPlace:
    """Rows ``first_row`` … of a file are a model's.

    Attributes:
        path: of the file, for the store's ``arrow_filesystem``.
        first_row: where the model begins.
        file_rows: of the whole file; None for a file of this model alone.
    """

    path: str
    first_row: int = 0
    file_rows: int | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A model in a pack.

    Attributes:
        model_id: which.
        first_row: where its rows begin.
        rows: how many there are.
        size: bytes of the file that it had before.
    """

    model_id: str
    first_row: int
    rows: int
    size: int


@dataclass(frozen=True, slots=True)
class Pack:
    """One pack: its file, its rows, and its models in the order of their rows."""

    file: StoredFile
    rows: int
    members: tuple[Member, ...]


def read_packs(filesystem: pafs.FileSystem, files: Sequence[StoredFile]) -> list[Pack]:
    """What stands in the footers of packs.

    Raises:
        StoreError: one is none.
        UnusableStoreError, RetryableError: one can't be read.
    """
    return parallel(filesystem, lambda file: _read_pack(filesystem, file), files)


def _read_pack(filesystem: pafs.FileSystem, file: StoredFile) -> Pack:
    with reading(file.path):
        try:
            metadata = pq.read_metadata(file.path, filesystem=filesystem)
        except pa.ArrowInvalid as error:
            raise StoreError(f"{file.path} is not a Parquet file: {str(error).splitlines()[0]}") from error
    text = (metadata.metadata or {}).get(_KEY)
    if text is None:
        raise StoreError(f"{file.path} is no pack: its footer names no models (move it elsewhere)")
    return Pack(file, metadata.num_rows, tuple(Member(*each) for each in json.loads(text)))


def packed(packs: Sequence[Pack], unpacked: Collection[str]) -> Mapping[str, FilterPlace]:
    """The models that are in packs alone; ``unpacked`` have a file of their own."""
    return {
        member.model_id: FilterPlace(pack.file.path, member.first_row, pack.rows)
        for pack in packs
        for member in pack.members
        if member.model_id not in unpacked
    }


def pack_table(tables: Mapping[str, pa.Table], sizes: Mapping[str, int]) -> pa.Table:
    """The rows of several models, one after the other, with the footer that says so."""
    members, first = [], 0
    for model_id, table in tables.items():
        members.append([model_id, first, table.num_rows, sizes[model_id]])
        first += table.num_rows
    whole = pa.concat_tables(tables.values()).cast(FILTERS_SCHEMA)
    return whole.replace_schema_metadata({_KEY: json.dumps(members).encode()})


def rows_of(file: pq.ParquetFile, first: int, rows: int) -> pa.Table:
    """Some rows of a file, by the row groups that hold them."""
    ends, end = [], 0
    for group in range(file.metadata.num_row_groups):
        end += file.metadata.row_group(group).num_rows
        ends.append(end)
    groups = [
        group
        for group, stop in enumerate(ends)
        if stop > first and stop - file.metadata.row_group(group).num_rows < first + rows
    ]
    before = ends[groups[0] - 1] if groups and groups[0] else 0
    return file.read_row_groups(groups, columns=FILTERS_SCHEMA.names, use_threads=False).slice(first - before, rows)


def as_file(table: pa.Table) -> pq.ParquetFile:
    """A table of filters as the file that a model of its own would have, in memory."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="none", use_dictionary=["layer_id"], row_group_size=ROW_GROUP_ROWS)
    return pq.ParquetFile(pa.BufferReader(sink.getvalue()))
