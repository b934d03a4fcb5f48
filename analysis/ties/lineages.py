"""The lineages of a store: models that hang together by what ties them, found once and kept in the store."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analysis.arrays.types import Bool
from analysis.ties.alike import ALIKE
from analysis.ties.components import components
from analysis.ties.confirming import confirmed
from analysis.ties.exact import SAME_MOMENTS
from analysis.ties.marks import MARK_COLUMNS, SKETCH_COLUMN, Marks
from analysis.ties.pairs import DESCENT, Pairs, tied_pairs
from analysis.wording import one_line
from distributed.errors import FilterShiftError

log = logging.getLogger(__name__)

#: Layers from which what was found is kept: fewer are compared faster than a store is written.
KEPT_FROM = 4096

#: Of what is kept: another number where the meaning of a column, or how it is found, changes.
_VERSION = 1


class LineageStore(Protocol):
    """What is needed of ``distributed.store.Store``."""

    def layers(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All layers of the models that exist."""

    def filter_batches(self, model_id: str, rows: int) -> Iterator[pa.RecordBatch]:
        """A model's filters in order."""

    def read_bytes(self, path: str) -> bytes | None:
        """An object whole, None if there is none."""

    def write_bytes(self, path: str, data: bytes) -> None:
        """Put an object whole."""


@dataclass(frozen=True, slots=True, eq=False)
class Lineages:
    """What ties the models of a store.

    Attributes:
        models: (M,) their ids, sorted; ``pairs`` names them by their place.
        pairs: of models that something ties.
        unseen: (M,) models of which the store, written by an older version, has no digests and sketches: only folded
            copies are seen among them.
    """

    models: list[str]
    pairs: Pairs
    unseen: Bool

    def names(self, labels: dict[str, str]) -> dict[str, str | None]:
        """``model_id`` → its lineage, which bears the name of the first of its models; None where it is not known.

        Args:
            labels: ``model_id`` → name, of all models; no two are equal.
        """
        root = components(self.pairs.first, self.pairs.second, len(self.models))
        size = np.bincount(root, minlength=len(self.models))
        first: dict[int, str] = {}
        for model in sorted(range(len(self.models)), key=lambda m: labels[self.models[m]]):
            first.setdefault(int(root[model]), labels[self.models[model]])
        return {
            model_id: None if self.unseen[m] and size[root[m]] == 1 else first[int(root[m])]
            for m, model_id in enumerate(self.models)
        }


def lineages_of(store: LineageStore, layers: pa.Table) -> Lineages:
    """The lineages of the models of ``layers``: kept in the store, or found and, where that took a while, kept.

    Args:
        store: read for sketches, and for filters where descent is to be confirmed.
        layers: the table ``layers``, sketches are not needed.
    """
    ids = layers.column("model_id").to_pylist()
    if "digest" not in layers.column_names:
        layers = layers.append_column("digest", pa.nulls(layers.num_rows, pa.string()))
    digests = pc.fill_null(layers.column("digest"), "").to_pylist()
    models, unseen = sorted(set(ids)), {model_id for model_id, digest in zip(ids, digests, strict=True) if not digest}
    path = f"sketches/lineage-{_key(ids, layers.column('layer_index').to_pylist(), digests)}.parquet"
    pairs, wait = _kept(store, path, models), False
    if pairs is None:
        marks = _marks(store, models)
        pairs = tied_pairs(marks)
        try:
            pairs = confirmed(store, marks, pairs)
        except (FilterShiftError, OSError, pa.ArrowException) as error:
            log.warning("descent is as sketches say, the weights could not be read: %s", one_line(str(error)))
            wait = True
        if not wait and (layers.num_rows >= KEPT_FROM or pairs.confirmed.any()):
            _keep(store, path, models, pairs)
    return Lineages(models, pairs, np.array([model_id in unseen for model_id in models]))


def _marks(store: LineageStore, models: list[str]) -> Marks:
    found = store.layers([*MARK_COLUMNS, SKETCH_COLUMN])
    wanted = pc.is_in(found.column("model_id"), value_set=pa.array(models, pa.string()))
    return Marks.from_layers(found if pc.all(wanted).as_py() else found.filter(wanted))


def _key(ids: Sequence[str], indices: Sequence[int], digests: Sequence[str]) -> str:
    """Digest of what lineages follow from: the models, their layers' digests, and what counts as a tie."""
    content = hashlib.sha256(repr((_VERSION, ALIKE, DESCENT, SAME_MOMENTS)).encode())
    for model_id, _, digest in sorted(zip(ids, indices, digests, strict=True)):
        content.update(f"{model_id} {digest}\n".encode())
    return content.hexdigest()[:16]


def _kept(store: LineageStore, path: str, models: list[str]) -> Pairs | None:
    """What an earlier run has kept; None if there is nothing that can be used."""
    try:
        content = store.read_bytes(path)
        if content is None:
            return None
        table = pq.read_table(pa.BufferReader(content))
        place = {model_id: m for m, model_id in enumerate(models)}
        columns: dict[str, Any] = {name: table.column(name).to_numpy() for name in Pairs.__dataclass_fields__}
        ends = {name: np.array([place[i] for i in columns[name]], np.int64) for name in ("first", "second")}
        return Pairs(**columns | ends)
    except (FilterShiftError, pa.ArrowException, OSError, KeyError) as error:
        log.warning("%s: %s; it is made again", path, one_line(str(error)))
        return None


def _keep(store: LineageStore, path: str, models: list[str], pairs: Pairs) -> None:
    names = np.array(models, dtype=object)
    columns = {name: getattr(pairs, name) for name in Pairs.__dataclass_fields__}
    columns |= {name: pa.array(names[columns[name]], pa.string()) for name in ("first", "second")}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    try:
        store.write_bytes(path, sink.getvalue().to_pybytes())
    except FilterShiftError as error:
        log.warning("lineages could not be kept in the store, a later run will look again: %s", error)
