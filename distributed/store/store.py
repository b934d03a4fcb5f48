"""The store: models, layers and filters as folders of Parquet files, on disk or on S3 (DESIGN §3)."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Self

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from distributed.errors import StoreError
from distributed.records import FILTERS_SCHEMA, LAYERS_SCHEMA, MODELS_SCHEMA, REJECTS_SCHEMA, REPOSITORIES_SCHEMA
from distributed.store import kept_rows
from distributed.store.backends import Backend, LocalBackend
from distributed.store.kept_rows import KeptRows
from distributed.store.location import Location, locate, probe
from distributed.store.problems import reading, without_filters, writing
from distributed.store.reading import KEY, StoredFile, check_schema, list_folder, read_small, read_tables
from distributed.store.rows import ModelOrigin, Reject, RejectKind, StoredReject, reject_of, with_values
from distributed.store.settings import StoreSettings
from distributed.store.writer import Finish, WriteReceipt, write_model, write_row

_SKETCHES = "sketches/"
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
            RetryableError: no permission, or no room.
            StoreError: no such bucket.
        """
        with writing(self.uri):
            self._backend.prepare()

    def write_model(self, model_id: str, batches: Iterable[pa.RecordBatch], finish: Finish) -> WriteReceipt:
        """Write one model, unless it is there.

        Args:
            model_id: 16 hex digits.
            batches: record batches of ``FILTERS_SCHEMA`` as ``RowGroups`` gives them, rows of one layer contiguous and
                layers in order. Consumed only if the model isn't there yet; their errors pass through.
            finish: called after the last batch; gives the models row and the layers (``LAYERS_SCHEMA``).

        Returns:
            a receipt; ``created`` is False if the model existed, or a concurrent writer was first.

        Raises:
            RetryableError: full, not permitted, not reachable. Nothing became visible, staging is removed.
            StoreError: no such bucket.
            ValueError: the row, the layers and the batches contradict each other.
        """
        _key(model_id)
        if self.has_model(model_id):
            return WriteReceipt(model_id, False, 0)
        with writing(self.uri):
            backend = self._backend
        return write_model(backend, model_id, batches, finish, lambda: self.has_model(model_id))

    def relabel_model(self, model_id: str, values: Mapping[str, object]) -> None:
        """Put other values into a model's row of ``models``. The file is replaced whole, no other is touched.

        Raises:
            StoreError: the model is not there, or its row can't be read.
            RetryableError: the store can't be written.
            ValueError: no column of ``MODELS_SCHEMA``, or None where there must be a value.
        """
        relative = f"models/{_key(model_id)}.parquet"
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
        """Whether the model exists."""
        path = self._path(f"models/{_key(model_id)}.parquet")
        with reading(path):
            return bool(self._arrow.get_file_info(path).type is pafs.FileType.File)

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

    def repositories(self) -> dict[tuple[str, str], str]:
        """(id, commit hash) of a repository → what the Hub said of it.

        Raises:
            StoreError: it can't be read.
        """
        files = list_folder(self._arrow, self._path(_REPOSITORIES))
        table = read_tables(self._arrow, files, REPOSITORIES_SCHEMA)
        repo, revision, answer = (table[name].to_pylist() for name in REPOSITORIES_SCHEMA.names)
        return dict(zip(zip(repo, revision, strict=True), answer, strict=True))

    # Reading

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

    def layers(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All layers of the models that exist, sorted by model and ``layer_index``.

        Args:
            columns: only these, in this order; None: ``LAYERS_SCHEMA``, then whatever columns others added.

        Raises:
            StoreError: there is none, a model's file is missing, or a file is not the store's.
        """
        return read_tables(self._arrow, self._existing("layers"), LAYERS_SCHEMA, columns)

    def filters_path(self, model_id: str) -> str:
        """Where a model's filters are, for ``arrow_filesystem``."""
        return self.table_path("filters", model_id)

    def table_path(self, table: str, model_id: str) -> str:
        """Where a model's part of a table (``filters``, ``layers``, ``models``) is, for ``arrow_filesystem``."""
        return self._path(f"{table}/{_key(model_id)}.parquet")

    def open_filters(self, model_id: str) -> pq.ParquetFile:
        """A model's filters, opened and checked; close it after use.

        Raises:
            StoreError: they are not there, can't be read or are not of ``FILTERS_SCHEMA``.
        """
        path = self.filters_path(model_id)
        with reading(path):
            if self._arrow.get_file_info(path).type is pafs.FileType.NotFound:
                raise without_filters(path, model_id)
            try:
                file = pq.ParquetFile(path, filesystem=self._arrow)
            except pa.ArrowInvalid as error:
                raise StoreError(f"{path} is not a Parquet file: {str(error).splitlines()[0]}") from error
            check_schema(file.schema_arrow, FILTERS_SCHEMA, path)
        return file

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
                        raise StoreError(f"{self.uri}: bucket {bucket!r} does not exist (check store.uri)")
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
