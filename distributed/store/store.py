"""The store: models, layers and filters as folders of Parquet files, on disk or on S3 (DESIGN §3)."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, Self

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from distributed.errors import StoreError, UnusableStoreError
from distributed.records import (
    FILTERS_SCHEMA,
    LAYERS_SCHEMA,
    MODELS_SCHEMA,
    REJECTS_SCHEMA,
    REPOSITORIES_SCHEMA,
    RUNS_SCHEMA,
)
from distributed.store import kept_rows
from distributed.store.backends import Backend, LocalBackend
from distributed.store.conforming import as_stored
from distributed.store.kept_rows import KeptRows
from distributed.store.location import Location, locate, probe
from distributed.store.packs import PACKS, FilterPlace, Pack, as_file, pack_table, packed, read_packs, rows_of
from distributed.store.problems import reading, without_filters, writing
from distributed.store.reading import KEY, StoredFile, check_schema, list_folder, read_small, read_tables
from distributed.store.rows import ModelOrigin, Reject, RejectKind, RunRow, StoredReject, reject_of, run_of, with_values
from distributed.store.settings import StoreSettings
from distributed.store.writer import Finish, WriteReceipt, row_path, write_model, write_pack, write_row

_SKETCHES = "sketches/"
_PROBES = ".probes"
_RUNS = "runs"
_REPOSITORIES = "repositories"


class Store:
    """One store. Cheap to make and to pickle: it carries settings, and connects when it is first used.

    Writing a model: stage its files where nobody looks, publish filters and layers, and last, only if no other has,
    the models row. A model exists when that row does. Reading sees whole models only.
    """

    def __init__(self, location: Location) -> None:
        self._location = location

    @classmethod
    def open(cls, settings: StoreSettings) -> Self:
        """The store at ``settings.uri``; it need not exist yet.

        Raises:
            StoreError: the URI or endpoint is malformed or not supported.
        """
        return cls(locate(settings))

    def __reduce__(self) -> tuple[type[Store], tuple[Location]]:
        return (Store, (self._location,))

    def __repr__(self) -> str:
        return f"Store({self.uri!r})"

    @property
    def settings(self) -> StoreSettings:
        """The same store for any process: absolute folder, endpoint and region filled in. Pass these on, not others."""
        return self._location.settings

    @property
    def uri(self) -> str:
        """Absolute folder, or ``s3://bucket/prefix``."""
        return self._location.settings.uri

    def arrow_filesystem(self) -> pafs.FileSystem:
        """A pyarrow file system that the store's paths (``filters_path``) belong to."""
        return self._arrow

    # Writing

    def prepare(self) -> None:
        """Make the folders (or see that the bucket is there), so that a run fails before it has read anything.

        Raises:
            UnusableStoreError: no permission, no credentials, no room, no such bucket.
            StoreError: nothing answers at the endpoint.
            RetryableError: it fails for a reason that may pass.
        """
        probe(self._location)
        with writing(self.uri):
            self._backend.prepare()

    def probe_writing(self) -> None:
        """See that this process can write here, by a small object that is removed again.

        Raises:
            UnusableStoreError, StoreError, RetryableError: see ``prepare``.
        """
        self.prepare()
        path = f"{_PROBES}/{socket.gethostname()}-{uuid.uuid4().hex[:16]}"
        with writing(self.uri):
            self._backend.write(path, b"Remove me: a run looked whether it may write here.\n")
            self._backend.remove(path)

    def write_model(self, model_id: str, batches: Iterable[pa.RecordBatch], finish: Finish) -> WriteReceipt:
        """Write one model. Whoever can do without the reading asks ``has_model`` first.

        Args:
            model_id: 16 hex digits.
            batches: record batches of ``FILTERS_SCHEMA`` as ``RowGroups`` gives them, rows of one layer contiguous and
                layers in order. Their errors pass through.
            finish: called after the last batch; gives the models row and the layers (``LAYERS_SCHEMA``).

        Returns:
            a receipt; ``created`` is False if the model was there by then, or a concurrent writer was first: nothing of
            it was changed.

        Raises:
            UnusableStoreError: full, not permitted, no credentials, no bucket. Nothing became visible, staging is
                removed; likewise for the next.
            RetryableError: not reachable, or no room for staging on this machine.
            ValueError: the row, the layers and the batches contradict each other.
        """
        _key(model_id)
        with writing(self.uri):
            backend = self._backend
        return write_model(backend, model_id, batches, finish)

    def relabel_model(self, model_id: str, values: Mapping[str, object]) -> None:
        """Put other values into a model's row of ``models``. The file is replaced whole, no other is touched.

        Raises:
            StoreError: the model is not there, or its row can't be read.
            RetryableError: the store can't be written.
            ValueError: no column of ``MODELS_SCHEMA``, or None where there must be a value.
        """
        relative = row_path(_key(model_id))
        row = read_small(self._arrow, self._path(relative), MODELS_SCHEMA)
        sink = pa.BufferOutputStream()
        write_row(with_values(row, MODELS_SCHEMA, values), sink)
        with writing(self.uri):
            self._backend.write(relative, sink.getvalue().to_pybytes())

    def write_skip(self, reject: Reject, before: Collection[RejectKind] = tuple(RejectKind)) -> None:
        """Record that a listed model holds nothing to extract, in place of what was recorded of it before.

        Args:
            reject: the record.
            before: the tables in which an older record of the model may be; each costs a request.

        Raises:
            RetryableError: the store can't be written.
        """
        self._write_reject(RejectKind.SKIP, reject, before)

    def write_failure(self, reject: Reject, before: Collection[RejectKind] = tuple(RejectKind)) -> None:
        """Record that a listed model could not be extracted; see ``write_skip``."""
        self._write_reject(RejectKind.FAILURE, reject, before)

    def clear_reject(self, reference_key: str, before: Collection[RejectKind] = tuple(RejectKind)) -> None:
        """Forget that a model was skipped or had failed, if it was; see ``write_skip``."""
        with writing(self.uri):
            for kind in before:
                self._backend.remove(f"{kind}/{_key(reference_key)}.parquet")

    def keep_rows(self) -> None:
        """Put the rows of all models into one file, for runs to come, if many are not there yet.

        Raises:
            RetryableError: the store can't be written.
            StoreError: it can't be read.
        """
        data = self._kept(list_folder(self._arrow, self._path("models"))).renewed()
        if data is not None:
            with writing(self.uri):
                self._backend.write(kept_rows.PATH, data)

    def write_repositories(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """Keep what the Hub said of repositories: (id, commit hash, answer), one file of all rows.

        Raises:
            RetryableError: the store can't be written.
        """
        columns = dict(zip(REPOSITORIES_SCHEMA.names, map(list, zip(*rows, strict=True)), strict=True))
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(columns, schema=REPOSITORIES_SCHEMA), sink, compression="zstd")
        with writing(self.uri):
            self._backend.write(f"{_REPOSITORIES}/{uuid.uuid4().hex[:16]}.parquet", sink.getvalue().to_pybytes())

    def write_run(self, row: RunRow) -> None:
        """Record a run, in place of what was recorded of it before.

        Raises:
            UnusableStoreError, RetryableError: the store can't be written.
        """
        sink = pa.BufferOutputStream()
        pq.write_table(as_stored(row.to_table()), sink, compression="none")
        with writing(self.uri):
            self._backend.write(f"{_RUNS}/{_key(row.run_id)}.parquet", sink.getvalue().to_pybytes())

    def write_bytes(self, path: str, data: bytes) -> None:
        """Put a small object at ``path`` (``sketches/…``) whole, in place of what is there.

        Raises:
            RetryableError: the store can't be written.
            ValueError: a path outside ``sketches/``.
        """
        with writing(self.uri):
            self._backend.write(_sketch(path), data)

    def read_bytes(self, path: str) -> bytes | None:
        """The object at ``path`` (``sketches/…``), None if there is none.

        Raises:
            StoreError: it can't be read.
            ValueError: a path outside ``sketches/``.
        """
        full = self._path(_sketch(path))
        with reading(full):
            try:
                with self._arrow.open_input_stream(full) as stream:
                    data: bytes = stream.read()
            except FileNotFoundError:
                return None
        return data

    def list_bytes(self, folder: str) -> list[str]:
        """Paths of the objects directly in ``folder`` (``sketches/…``), sorted; none if there is no such folder.

        Raises:
            StoreError: it can't be listed.
            ValueError: a folder outside ``sketches/``.
        """
        full = self._path(_sketch(folder))
        with reading(full):
            infos = self._arrow.get_file_info(pafs.FileSelector(full, allow_not_found=True))
        return sorted(f"{folder}/{info.base_name}" for info in infos if info.type is pafs.FileType.File)

    # What is there

    def has_model(self, model_id: str) -> bool:
        """Whether the model exists, by one request.

        Raises:
            UnusableStoreError, RetryableError: it can't be told.
        """
        with reading(self.uri):
            return self._backend.exists(row_path(_key(model_id)))

    def model_ids(self) -> set[str]:
        """The models that exist, by one listing; none in a store that is still empty.

        Raises:
            StoreError: nothing answers at the endpoint, or the store can't be listed.
        """
        probe(self._location)
        return {file.key for file in list_folder(self._arrow, self._path("models"))}

    def model_rows(self, model_ids: Collection[str], columns: Sequence[str]) -> list[dict[str, Any]]:
        """Some columns of the rows of some models, of those that exist."""
        files = [file for file in list_folder(self._arrow, self._path("models")) if file.key in model_ids]
        rows: list[dict[str, Any]] = self._kept(files).read(columns).to_pylist()
        return rows

    def reference_keys(self) -> dict[str, str]:
        """``reference_key`` → ``model_id`` of the models that exist."""
        files = list_folder(self._arrow, self._path("models"))
        table = self._kept(files).read(("reference_key", "model_id"))
        return dict(zip(table["reference_key"].to_pylist(), table["model_id"].to_pylist(), strict=True))

    def hub_contents(self) -> dict[tuple[str, str], ModelOrigin]:
        """(``sha256``, ``variant``) → the model of the Hub that is there with these weights."""
        files = list_folder(self._arrow, self._path("models"))
        columns = ("sha256", "variant", "model_id", "name", "revision")
        rows = self._kept(files).read(columns).to_pylist()
        return {
            (row["sha256"], row["variant"] or ""): ModelOrigin(row["model_id"], row["name"], row["revision"])
            for row in rows
            if row["sha256"] is not None and row["revision"] is not None
        }

    def skips(self) -> dict[str, Reject]:
        """``reference_key`` → why the model holds nothing to extract."""
        return self._rejects(RejectKind.SKIP)

    def failures(self) -> dict[str, Reject]:
        """``reference_key`` → why the model could not be extracted."""
        return self._rejects(RejectKind.FAILURE)

    def reject_keys(self) -> dict[str, StoredReject]:
        """``reference_key`` → what is recorded, skip or failure."""
        return {key: StoredReject(kind, reject) for kind in RejectKind for key, reject in self._rejects(kind).items()}

    def runs(self) -> list[RunRow]:
        """The runs, the earliest first.

        Raises:
            StoreError, RetryableError: they can't be read.
        """
        probe(self._location)
        table = read_tables(self._arrow, list_folder(self._arrow, self._path(_RUNS)), RUNS_SCHEMA)
        return sorted(map(run_of, table.to_pylist()), key=lambda run: run.started_at)

    def repositories(self) -> dict[tuple[str, str], str]:
        """(id, commit hash) of a repository → what the Hub said of it.

        Raises:
            StoreError: it can't be read.
        """
        files = list_folder(self._arrow, self._path(_REPOSITORIES))
        table = read_tables(self._arrow, files, REPOSITORIES_SCHEMA)
        repo, revision, answer = (table[name].to_pylist() for name in REPOSITORIES_SCHEMA.names)
        return dict(zip(zip(repo, revision, strict=True), answer, strict=True))

    # Upkeep

    def files(self, table: str) -> list[StoredFile]:
        """The files of a table (``filters``, ``runs`` …), those of models that don't exist among them."""
        return list_folder(self._arrow, self._path(table))

    def orphans(self, before: datetime) -> list[StoredFile]:
        """What nobody needs and nobody has written to since ``before``: layers and filters without a model, probes.

        Raises:
            StoreError, RetryableError: the store can't be listed.
        """
        found = [file for table in ("filters", "layers") for file in self.files(table)]
        models = self.model_ids()  # listed last: what became a model meanwhile is one
        orphans = [file for file in found if file.key not in models]
        full = self._path(_PROBES)
        with reading(full):
            probes = self._arrow.get_file_info(pafs.FileSelector(full, allow_not_found=True))
        orphans += [StoredFile(info.base_name, info.path, info.size, info.mtime_ns) for info in probes]
        return [file for file in orphans if file.changed < before.timestamp() * 1e9]

    def remove_orphans(self, orphans: Iterable[StoredFile]) -> None:
        """Remove files that ``orphans`` gave, but what has become a model's since.

        Raises:
            UnusableStoreError, RetryableError: the store can't be written.
        """
        models = self.model_ids()
        with writing(self.uri):
            for file in orphans:
                if file.key not in models:
                    self._backend.remove(file.path.removeprefix(self._path("")))

    def write_pack(self, model_ids: Sequence[str]) -> None:
        """Put the filters of several models into a pack; their own files stay.

        Raises:
            StoreError: a model's file is not the store's, or the pack is not, row for row, what went into it.
            UnusableStoreError, RetryableError: the store can't be read or written.
        """
        tables, sizes = {}, {}
        for model_id in model_ids:
            with self.open_filters(model_id) as file, reading(self.filters_path(model_id)):
                tables[model_id] = file.read(columns=FILTERS_SCHEMA.names, use_threads=False)
                sizes[model_id] = self._arrow.get_file_info(self.filters_path(model_id)).size
        write_pack(self._backend, pack_table(tables, sizes))

    def remove_packed(self, before: datetime) -> list[StoredFile]:
        """Remove the own files of models that are in packs written by ``before``; gives what was removed.

        A file that is younger than its pack, or of another size than the one that went into it, stays.
        """
        done = self.packed_files(before)
        with writing(self.uri):
            for file in done:
                self._backend.remove(f"filters/{file.key}.parquet")
        return done

    def packed_files(self, before: datetime) -> list[StoredFile]:
        """What ``remove_packed`` would remove."""
        own = {file.key: file for file in self.files("filters")}
        return [
            own[member.model_id]
            for pack in self.packs()
            if pack.file.changed <= before.timestamp() * 1e9
            for member in pack.members
            if member.model_id in own
            and own[member.model_id].size == member.size
            and own[member.model_id].changed <= pack.file.changed
        ]

    # Reading

    def filter_batches(self, model_id: str, rows: int) -> Iterator[pa.RecordBatch]:
        """A model's filters in the order of the file, at most ``rows`` at a time.

        Raises:
            StoreError, OSError, pa.ArrowException: they can't be read.
        """
        with self.open_filters(model_id) as file:
            yield from file.iter_batches(rows, columns=FILTERS_SCHEMA.names, use_threads=False)

    def models(self) -> pa.Table:
        """All models, sorted by ``model_id``: ``MODELS_SCHEMA``, then whatever columns others added.

        Raises:
            StoreError: there is none, or a file is not the store's.
        """
        files = self._existing("models")
        table = read_tables(self._arrow, files, MODELS_SCHEMA)
        for file, found in zip(files, table["model_id"].to_pylist(), strict=True):
            if found != file.key:
                raise StoreError(f"{file.path}: column 'model_id': expected {file.key}, found {found} (renamed file?)")
        return table

    def layers(self, columns: Sequence[str] | None = None, *, without: Collection[str] = ()) -> pa.Table:
        """All layers of the models that exist, sorted by model and ``layer_index``.

        Args:
            columns: only these, in this order; None: ``LAYERS_SCHEMA``, then whatever columns others added.
            without: but these, which are not even decoded; of ``columns=None``.

        Raises:
            StoreError: there is none, a model's file is missing, or a file is not the store's.
        """
        schema = pa.schema([field for field in LAYERS_SCHEMA if field.name not in without])
        return read_tables(self._arrow, self._existing("layers"), schema, columns, without)

    def filters_path(self, model_id: str) -> str:
        """Where a model's own file of filters is, for ``arrow_filesystem``; ``filter_places`` knows of packs."""
        return self.table_path("filters", model_id)

    def table_path(self, table: str, model_id: str) -> str:
        """Where a model's part of a table (``filters``, ``layers``, ``models``) is, for ``arrow_filesystem``."""
        return self._path(f"{table}/{_key(model_id)}.parquet")

    def filter_places(self) -> Callable[[str], FilterPlace]:
        """Gives where a model's filters are, as of now; what has been there stays for a while (``compact``).

        Raises:
            StoreError, RetryableError: the store can't be listed.
        """
        packs = self.packs()
        places = packed(packs, {file.key for file in self.files("filters")}) if packs else {}
        return lambda model_id: places.get(model_id) or FilterPlace(self.filters_path(model_id))

    def packs(self) -> list[Pack]:
        """The packs of small models; none in a store that was never compacted.

        Raises:
            StoreError, RetryableError: they can't be read.
        """
        return read_packs(self._arrow, self.files(PACKS))

    def open_filters(self, model_id: str) -> pq.ParquetFile:
        """A model's filters, opened and checked; close it after use.

        Raises:
            StoreError: they are not there, can't be read or are not of ``FILTERS_SCHEMA``.
            RetryableError: they can't be read now.
        """
        path = self.filters_path(model_id)
        with reading(path):
            try:
                file = pq.ParquetFile(path, filesystem=self._arrow)
            except FileNotFoundError:
                if (table := self._from_packs(model_id)) is None:
                    raise without_filters(path, model_id) from None
                return as_file(table)
            except pa.ArrowInvalid as error:
                raise StoreError(f"{path} is not a Parquet file: {str(error).splitlines()[0]}") from error
            check_schema(file.schema_arrow, FILTERS_SCHEMA, path)
        return file

    def _from_packs(self, model_id: str) -> pa.Table | None:
        """A model's rows in a pack; None if no pack has it."""
        for is_fresh in (False, True):
            if is_fresh:
                self.__dict__.pop("_known_packs", None)  # compacted since they were looked at
            for pack in self._known_packs:
                for member in pack.members:
                    if member.model_id == model_id:
                        with pq.ParquetFile(pack.file.path, filesystem=self._arrow) as file:
                            return rows_of(file, member.first_row, member.rows)
        return None

    @cached_property
    def _known_packs(self) -> list[Pack]:
        return self.packs()

    # Inside

    def _kept(self, files: Sequence[StoredFile]) -> KeptRows:
        return KeptRows(self._arrow, self._path(kept_rows.PATH), files)

    @cached_property
    def _arrow(self) -> pafs.FileSystem:
        return self._location.arrow_filesystem()

    @cached_property
    def _backend(self) -> Backend:
        if not self._location.is_s3:
            return LocalBackend(self._location.root)
        from distributed.store.s3 import S3Backend  # aiobotocore is slow to import; a local store doesn't need it

        return S3Backend(self._location)

    def _path(self, relative: str) -> str:
        return f"{self._location.root}/{relative}"

    def _existing(self, table: str) -> list[StoredFile]:
        """The files of ``table`` that belong to models that exist; at least one.

        Raises:
            StoreError: no models at all, or a model's file is missing.
        """
        probe(self._location)
        models = list_folder(self._arrow, self._path("models"))
        if not models:
            if self._location.is_s3:
                bucket = self._location.bucket
                with reading(self.uri):
                    if self._arrow.get_file_info(bucket).type is pafs.FileType.NotFound:
                        raise UnusableStoreError(f"{self.uri}: bucket {bucket!r} does not exist (check store.uri)")
            raise StoreError(f"{self.uri} holds no models: run launch/extract.py with this store.uri")
        if table == "models":
            return models
        files = {file.key: file for file in list_folder(self._arrow, self._path(table))}
        for model in models:
            if model.key not in files:
                raise StoreError(
                    f"{self._path(table)}/{model.key}.parquet is missing although {model.path} exists: "
                    "remove the latter and run launch/extract.py again"
                )
        return [files[model.key] for model in models]

    def _write_reject(self, kind: RejectKind, reject: Reject, before: Collection[RejectKind]) -> None:
        key = _key(reject.reference_key)
        sink = pa.BufferOutputStream()
        pq.write_table(reject.to_table(), sink, compression="none")
        with writing(self.uri):
            self._backend.write(f"{kind}/{key}.parquet", sink.getvalue().to_pybytes())
        self.clear_reject(key, [other for other in before if other is not kind])

    def _rejects(self, kind: RejectKind) -> dict[str, Reject]:
        table = read_tables(self._arrow, list_folder(self._arrow, self._path(str(kind))), REJECTS_SCHEMA)
        return {row["reference_key"]: reject_of(row) for row in table.to_pylist()}


def _key(key: str) -> str:
    if not KEY.fullmatch(key):
        raise ValueError(f"expected 16 hex digits, found {key!r}")
    return key


def _sketch(path: str) -> str:
    parts = path.split("/")
    if not path.startswith(_SKETCHES) or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"small objects live under {_SKETCHES}, found {path!r}")
    return path
