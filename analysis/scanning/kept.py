"""Sketches kept in the store, so that what was scanned once is never scanned again.

    sketches/<key>.basis.json            the basis of exactly these layers; key = digest of their moments, and the bins
    sketches/<basis digest>/<batch>.parquet   histograms of some layers on one basis
    sketches/<basis digest>-clean/…           the same of filters that were prepared (``analysis.arrays.preparation``)

A store that grew has another key, hence another basis; with a basis held fixed, only new models make a new batch.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np
import pyarrow as pa

from analysis.arrays.basis import SCALING, Basis
from analysis.arrays.kernels import SIZE
from analysis.arrays.moments import layer_sums
from analysis.arrays.preparation import AS_STORED, Preparation, counted
from analysis.arrays.sketch import Sketch, merge_sketches
from analysis.arrays.types import Bool
from analysis.scanning.reading import FilterStore
from analysis.scanning.units import LayerIndex
from distributed.errors import FilterShiftError, UserError

log = logging.getLogger(__name__)

_FOLDER = "sketches"


class SketchStore(FilterStore, Protocol):
    """What is needed of ``distributed.store.Store``: the filters, and small objects under ``sketches/``."""

    def list_bytes(self, folder: str) -> list[str]:
        """Paths of the objects in a folder, sorted.

        Raises:
            StoreError: it can't be listed.
        """

    def read_bytes(self, path: str) -> bytes | None:
        """An object whole, None if there is none.

        Raises:
            StoreError: it can't be read.
        """

    def write_bytes(self, path: str, data: bytes) -> None:
        """Put an object whole."""


def key_of(layers: pa.Table, bins: int, preparation: Preparation = AS_STORED, span: tuple[float, ...] = ()) -> str:
    """Digest of which filters these are: layers, numbers and moments, in order of ``layer_id``; and of the bins.

    Where they are prepared, or the range is a given one, of that as well.
    """
    special = [preparation.identity] * (preparation != AS_STORED) + [repr(tuple(map(float, span)))] * bool(span)
    content = hashlib.sha256("\n".join([SCALING, str(bins), *special, ""]).encode())
    layers = counted(layers, preparation.filters)
    content.update(np.sort(layers.column("layer_id").to_numpy()).astype("<i8").tobytes())
    counts, sums, grams = layer_sums(layers)
    for part, kind in ((counts, "<i8"), (sums, "<f8"), (grams, "<f8")):
        content.update(np.ascontiguousarray(part, kind).tobytes())
    return content.hexdigest()[:32]


class SketchArea:
    """The folder ``sketches/`` of one store, a cache: what cannot be read there, or is damaged, is made again.

    A warning says so each time.
    """

    def __init__(self, store: SketchStore) -> None:
        self._store = store

    def read_basis(self, key: str) -> Basis | None:
        """The basis kept for these layers, None if there is none."""
        name = f"{_FOLDER}/{key}.basis.json"
        try:
            content = self._store.read_bytes(name)
            return None if content is None else Basis.from_json(content.decode(errors="replace"), name)
        except FilterShiftError as error:
            log.warning("%s; it is made again", error)
            return None

    def write_basis(self, key: str, basis: Basis) -> None:
        """Keep the basis of these layers."""
        self._write(f"{_FOLDER}/{key}.basis.json", basis.to_json().encode())

    def read(self, basis: Basis, layers: LayerIndex) -> Sketch:
        """What is kept of these layers on this basis; of a layer that was kept several times, the first."""
        size = layers.layer_ids.size
        counts = np.zeros((size, SIZE, basis.bins), np.int64)
        below, above = np.zeros((size, SIZE), np.int64), np.zeros((size, SIZE), np.int64)
        found = np.zeros(size, bool)
        for batch in self._kept_batches(basis, layers.preparation):
            wanted = _wanted(batch, layers)
            at = np.searchsorted(layers.layer_ids, batch.layer_ids[wanted])
            new, rows = at[~found[at]], np.flatnonzero(wanted)[~found[at]]
            counts[new], below[new], above[new] = batch.counts[rows], batch.below[rows], batch.above[rows]
            found[new] = True
        everything = Sketch(layers.layer_ids, counts, below, above, basis, preparation=layers.preparation)
        return everything if found.all() else everything.take(found)

    def _kept_batches(self, basis: Basis, preparation: Preparation) -> Iterator[Sketch]:
        try:
            names = self._store.list_bytes(_folder_of(basis, preparation))
        except FilterShiftError as error:
            log.warning("%s; all models are scanned again", error)
            return
        for name in names:
            if not name.endswith(".parquet"):
                continue
            try:
                content = self._store.read_bytes(name)
                if content is None:  # removed meanwhile
                    continue
                batch = Sketch.from_parquet(pa.BufferReader(content), name)
                if batch.basis.digest != basis.digest or batch.preparation != preparation:
                    raise UserError(f"{name} is on another basis, or of other filters")
            except FilterShiftError as error:
                log.warning("%s; its models are scanned again", error)
                continue
            yield batch

    def write(self, sketch: Sketch) -> None:
        """Keep the histograms of some layers."""
        ids = hashlib.sha256(np.ascontiguousarray(sketch.layer_ids, "<i8").tobytes()).hexdigest()[:16]
        sink = pa.BufferOutputStream()
        sketch.to_parquet(sink)
        self._write(f"{_folder_of(sketch.basis, sketch.preparation)}/{ids}.parquet", sink.getvalue().to_pybytes())

    def _write(self, name: str, content: bytes) -> None:
        try:
            self._store.write_bytes(name, content)
        except FilterShiftError as error:
            # The result is complete without it; only the next run has to scan again.
            log.warning("the sketch could not be kept in the store, a later run will scan again: %s", error)


def _folder_of(basis: Basis, preparation: Preparation) -> str:
    """Sketches of filters that are prepared differently are never side by side, not even on one basis."""
    return "-".join(part for part in (f"{_FOLDER}/{basis.digest}", preparation.identity) if part)


def with_new_layers(found: Sketch, more: Sketch, layers: LayerIndex) -> Sketch:
    """``found`` and those layers of ``more`` that it lacks, that ``layers`` names, and whose filters are all there."""
    wanted = _wanted(more, layers) & ~np.isin(more.layer_ids, found.layer_ids)
    return replace(merge_sketches([found, more.take(wanted)]), origin=found.origin)


def _wanted(sketch: Sketch, layers: LayerIndex) -> Bool:
    if layers.layer_ids.size == 0:
        return np.zeros(sketch.layer_ids.size, bool)
    at = np.minimum(np.searchsorted(layers.layer_ids, sketch.layer_ids), layers.layer_ids.size - 1)
    wanted: Bool = layers.layer_ids[at] == sketch.layer_ids
    wanted &= layers.counted[at] == sketch.num_filters
    return wanted
