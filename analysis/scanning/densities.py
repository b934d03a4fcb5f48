"""Two-dimensional densities of coefficients, by group or by layer, in one pass over the filters.

Filters stay in the worker that reads them, and are summed there by group: what comes back is a histogram for each group
of a unit of work and each pair of components, never a row.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.fs as pafs

from analysis.arrays.basis import Basis
from analysis.arrays.kernels import Binning, Kernels, NonFiniteFilterError
from analysis.arrays.kernels.pairs import count_pairs
from analysis.arrays.types import Float64, Int64, UInt32
from analysis.scanning.reading import PATIENT, FilterStore, PartReader, ReadPolicy, with_retries
from analysis.scanning.scan import FilterScan, ScanTime
from analysis.scanning.task import Workers
from analysis.scanning.units import FilePart, LayerIndex, WorkUnit
from analysis.selection.grouping import Grouping
from distributed.errors import UserError

#: (first, second) component, counted from 1 as people do.
Pair = tuple[int, int]

#: Histogram cells of one scan: 256 MiB in the driver; each worker holds those of its unit's groups only.
MOST_CELLS = 1 << 25


@dataclass(frozen=True, slots=True, eq=False)
class Densities:
    """Two-dimensional histograms of G groups.

    Attributes:
        counts: (G, P, bins, bins) int64; the first component of a pair lies along the third axis.
        filters: (G,) int64, filters of each group, those outside the range included.
        pairs: P pairs of components, counted from 1.
        low, high: range of both axes, the basis's.
        time: of the scan.
    """

    counts: Int64
    filters: Int64
    pairs: tuple[Pair, ...]
    low: float
    high: float
    time: ScanTime

    @property
    def edges(self) -> Float64:
        """(bins + 1,) of both axes."""
        return np.linspace(self.low, self.high, self.counts.shape[-1] + 1)


@dataclass(frozen=True, slots=True, eq=False)
class _PairScan:
    """Runs over one work unit, in a worker.

    ``layer_ids`` (L,) ascending with ``codes`` (A, L) say in which group of each of A axes a layer is counted, -1 for
    none; no code belongs to two axes. Layers that are not among them are read over.
    """

    layer_ids: Int64
    codes: Int64
    pairs: Int64
    bins: int

    def __call__(
        self, unit: WorkUnit, filesystem: pafs.FileSystem, kernels: Kernels, basis: Basis, policy: ReadPolicy
    ) -> dict[str, Any]:
        """``codes`` (U,) each once, ``counts`` (U, P, bins, bins) uint32, ``sizes`` (U,), number of ``filters``.

        Raises:
            StoreError: a file cannot be read or is not what it should be.
        """
        present = np.unique(self._codes_of(np.concatenate([part.layer_ids for part in unit.parts])))
        present = present[present >= 0]
        binning = Binning(basis.low, basis.high, self.bins)
        counts = np.zeros((present.size, len(self.pairs), self.bins, self.bins), np.uint32)
        sizes = np.zeros(present.size, np.int64)
        filters = 0

        def one(part: FilePart) -> tuple[int, UInt32, Int64]:
            # A part is counted by itself: a second attempt must not count twice.
            mine, rows, read = np.zeros_like(counts), np.zeros_like(sizes), 0
            with PartReader(part, filesystem) as reader:
                for batch in reader.batches(with_layers=True):
                    starts, layer_ids = reader.runs(batch)
                    for codes in self._codes_of(layer_ids):
                        targets = np.where(codes >= 0, np.searchsorted(present, codes), -1)
                        try:
                            count_pairs(batch.columns, starts, targets, basis.projection, binning, self.pairs, mine)
                        except NonFiniteFilterError as error:
                            raise reader.not_finite(batch, error.row) from None
                        counted = targets >= 0
                        np.add.at(rows, targets[counted], np.diff(starts)[counted])
                    read += batch.columns[0].size
            return read, mine, rows

        for part in unit.parts:
            read, more, rows = with_retries(one, part, policy)
            filters += read
            counts += more
            sizes += rows
        return {"filters": filters, "codes": present, "counts": counts, "sizes": sizes}

    def _codes_of(self, layer_ids: Int64) -> Int64:
        """(A, R)"""
        at = np.minimum(np.searchsorted(self.layer_ids, layer_ids), self.layer_ids.size - 1)
        codes: Int64 = np.where(self.layer_ids[at] == layer_ids, self.codes[:, at], -1)
        return codes


def checked_pairs(pairs: object) -> tuple[Pair, ...]:
    """Pairs of different components 1 … 9, each once.

    Raises:
        UserError: something else was given.
    """
    result: list[Pair] = []
    for pair in pairs if isinstance(pairs, (list, tuple)) else [pairs]:
        if (
            not isinstance(pair, (list, tuple))
            or len(pair) != 2
            or any(type(c) is not int or not 1 <= c <= 9 for c in pair)
            or pair[0] == pair[1]
        ):
            raise UserError(
                f"pairs: {pair!r} is not a pair of different components 1 … 9; give them as in 'pairs=[[1,2],[3,4]]'"
            )
        result.append((pair[0], pair[1]))
    return tuple(dict.fromkeys(result))


def pair_densities(
    store: FilterStore,
    layers: LayerIndex,
    groupings: Sequence[Grouping],
    basis: Basis,
    pairs: tuple[Pair, ...],
    workers: Workers,
    *,
    bins: int,
    policy: ReadPolicy = PATIENT,
) -> tuple[Densities, ...]:
    """Densities of the groups of each axis: one pass for all, over the models that have a grouped layer.

    Args:
        store: whose filters.
        layers: all layers of these models.
        groupings: one per axis.
        basis: whose components and range.
        pairs: see ``checked_pairs``.
        workers: who reads the filters; on CPUs.
        bins: along each axis of a density.

    Raises:
        UserError: the histograms would not fit into memory.
        StoreError: filters are missing, damaged, or not what ``layers`` says.
    """
    sizes = [len(grouping.groups) for grouping in groupings]
    groups = sum(sizes)
    if groups * len(pairs) * bins**2 > MOST_CELLS:
        raise UserError(
            f"{groups} groups or layers x {len(pairs)} pairs x {bins}² bins are too many cells ({MOST_CELLS:,} at "
            "most): choose fewer with where=… or layers=…, fewer pairs, or fewer density_bins"
        )
    first = np.cumsum([0, *sizes])
    layer_ids = np.unique(np.concatenate([grouping.layer_ids for grouping in groupings]))
    codes = np.full((len(groupings), layer_ids.size), -1, np.int64)
    for axis, grouping in enumerate(groupings):
        codes[axis, np.searchsorted(layer_ids, grouping.layer_ids)] = grouping.codes + first[axis]
    wanted = np.isin(layers.layer_ids, layer_ids)
    models = {model for model, keep in zip(layers.model_ids, wanted, strict=True) if keep}
    run = _PairScan(layer_ids, codes, np.array(pairs, np.int64).reshape(-1, 2) - 1, bins)
    counts = np.zeros((groups, len(pairs), bins, bins), np.int64)
    filters = np.zeros(groups, np.int64)
    scan = FilterScan("densities", store, layers.of_models(models), workers, policy)
    for result in scan.results(run, basis):
        counts[result["codes"]] += result["counts"]  # a unit names each group once
        filters[result["codes"]] += result["sizes"]
    time = scan.time()
    return tuple(
        Densities(counts[a:b], filters[a:b], pairs, basis.low, basis.high, time) for a, b in itertools.pairwise(first)
    )
