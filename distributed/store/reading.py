"""Reading the store's small files: many at once, each checked against its schema."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from distributed.errors import StoreError, first_line
from distributed.records import LATER_COLUMNS
from distributed.store.conforming import conformed
from distributed.store.problems import reading

#: Files read at a time: a request to S3 is waiting, a local file is work.
_S3_THREADS, _LOCAL_THREADS = 32, 4

#: A model's or reference's key, the stem of every file of the store.
KEY = re.compile(r"[0-9a-f]{16}")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One Parquet file of a folder of the store.

    Attributes:
        key: its stem, 16 hex digits.
        path: for the store's ``arrow_filesystem``.
        size: bytes.
        changed: when, in nanoseconds.
    """

    key: str
    path: str
    size: int
    changed: int


def list_folder(filesystem: pafs.FileSystem, folder: str) -> list[StoredFile]:
    """The Parquet files of a folder of the store, sorted by key; none if there is no such folder.

    Hidden files (``.x``, ``_x``) are none of the store's business and passed over.

    Raises:
        StoreError: the folder holds a file that is none of the store's.
        UnusableStoreError, RetryableError: it can't be listed.
    """
    with reading(folder):
        infos = filesystem.get_file_info(pafs.FileSelector(folder, allow_not_found=True))
    files = []
    for info in infos:
        if info.base_name.startswith((".", "_")):
            continue
        if not info.base_name:  # an S3 console's marker for the folder itself
            continue
        stem = info.base_name.removesuffix(".parquet")
        if info.type is not pafs.FileType.File or stem == info.base_name or not KEY.fullmatch(stem):
            raise StoreError(f"{info.path} is not the store's (expected <16 hex digits>.parquet): move it elsewhere")
        files.append(StoredFile(stem, info.path, info.size, info.mtime_ns))
    return sorted(files, key=lambda file: file.key)


def read_tables(
    filesystem: pafs.FileSystem,
    files: Sequence[StoredFile],
    schema: pa.Schema,
    columns: Sequence[str] | None = None,
    without: Collection[str] = (),
) -> pa.Table:
    """All files as one table, in the order given.

    Args:
        filesystem: where they are.
        files: what to read.
        schema: columns that each file must have; those that it has besides are kept (null where absent).
        columns: only these, in this order.
        without: all but these, where ``columns`` says nothing.

    Raises:
        StoreError: a file can't be read or differs from ``schema``.
    """
    found = parallel(filesystem, lambda file: _as_found(filesystem, file.path, schema, columns, without), files)
    tables = _all_conformed(found, schema, files)
    wanted = schema if columns is None else pa.schema([schema.field(c) for c in columns if c in schema.names])
    try:
        table = pa.concat_tables([wanted.empty_table(), *tables], promote_options="default")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise StoreError(f"files beside {files[0].path} disagree on an extra column: {error}") from error
    if columns is None:
        return table
    for name in columns:
        if name not in table.column_names:
            raise StoreError(f"no column {name!r} in these files; the store has {', '.join(schema.names)}")
    return table.select(list(columns))


def read_small(
    filesystem: pafs.FileSystem, path: str, schema: pa.Schema, columns: Sequence[str] | None = None
) -> pa.Table:
    """One file, fetched in one piece and checked.

    Raises:
        StoreError: it can't be read, is no Parquet, or a column is missing, of another type, or null where a value
            is promised.
    """
    return _conformed(_as_found(filesystem, path, schema, columns), schema, path)


def _as_found(
    filesystem: pafs.FileSystem,
    path: str,
    schema: pa.Schema,
    columns: Sequence[str] | None = None,
    without: Collection[str] = (),
) -> pa.Table:
    with reading(path):
        with filesystem.open_input_stream(path) as stream:
            data = stream.read()
        try:
            file = pq.ParquetFile(pa.BufferReader(data))
        except pa.ArrowInvalid as error:
            raise StoreError(f"{path} is not a Parquet file: {first_line(error)} (remove it)") from error
        check_columns(file.schema_arrow, schema if columns is None else _of(schema, columns), path)
        if columns is None and without:
            columns = [name for name in file.schema_arrow.names if name not in without]
        try:
            table = file.read(columns=None if columns is None else list(columns), use_threads=False)
        except (pa.ArrowInvalid, OSError) as error:
            raise StoreError(f"{path} is damaged: {first_line(error)} (remove it and extract again)") from error
    return table.replace_schema_metadata(None)


def _all_conformed(found: Sequence[pa.Table], schema: pa.Schema, files: Sequence[StoredFile]) -> list[pa.Table]:
    """Each as ``_conformed``; together where they are alike, as one writer's are: that takes a third of the time."""
    if len(found) > 1 and all(table.schema.equals(found[0].schema) for table in found):
        try:
            return [_conformed(pa.concat_tables(found).combine_chunks(), schema, files[0].path)]
        except StoreError:
            pass  # one by one they say which file it is
    return [_conformed(table, schema, file.path) for table, file in zip(found, files, strict=True)]


def check_schema(found: pa.Schema, expected: pa.Schema, path: str) -> None:
    """Every column of ``expected`` must be there, of its very type; others are welcome.

    Raises:
        StoreError: naming file, column, expected and found.
    """
    check_columns(found, expected, path)
    for field in expected:
        if found.field(field.name).type != field.type:
            raise _unlike(path, field, found.field(field.name).type)


def check_columns(found: pa.Schema, expected: pa.Schema, path: str) -> None:
    """Every column of ``expected`` but ``LATER_COLUMNS`` must be there; others are welcome.

    Raises:
        StoreError: naming file, column and type.
    """
    names = set(found.names)
    for field in expected:
        if field.name not in names and field.name not in LATER_COLUMNS:
            raise StoreError(f"{path}: column {field.name!r}: expected {field.type}, found none (a foreign file?)")


def _unlike(path: str, field: pa.Field, found: pa.DataType) -> StoreError:
    return StoreError(f"{path}: column {field.name!r}: expected {field.type}, found {found} (a foreign file?)")


def parallel(filesystem: pafs.FileSystem, work: Callable[[StoredFile], T], files: Sequence[StoredFile]) -> list[T]:
    """``work`` on every file, many at a time; results in order, the first error is raised."""
    threads = _S3_THREADS if isinstance(filesystem, pafs.S3FileSystem) else _LOCAL_THREADS
    if len(files) <= 1:
        return [work(file) for file in files]
    with ThreadPoolExecutor(min(threads, len(files)), thread_name_prefix="store-read") as pool:
        try:
            return list(pool.map(work, files))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _of(schema: pa.Schema, columns: Sequence[str]) -> pa.Schema:
    return pa.schema([schema.field(name) for name in columns if name in schema.names])


def _conformed(table: pa.Table, schema: pa.Schema, path: str) -> pa.Table:
    """Columns of ``schema`` first, in its order, types and nullability, then the others."""
    if table.schema.equals(schema):  # what our own writer wrote: a required Parquet column holds no nulls
        return table.replace_schema_metadata(None)
    names = set(table.column_names)  # a property that makes a new list each time
    ours, arrays = [field for field in schema if field.name in names], []
    for field in ours:
        column = table.column(field.name)
        if not field.nullable and column.null_count:
            raise StoreError(f"{path}: column {field.name!r}: expected a value in every row, found null")
        try:
            arrays.append(conformed(column, field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise _unlike(path, field, column.type) from error
    extra = [field.with_metadata(None) for field in table.schema if field.name not in schema.names]
    arrays += [table.column(field.name) for field in extra]
    return pa.Table.from_arrays(arrays, schema=pa.schema(ours + extra))
