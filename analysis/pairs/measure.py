"""What differs between the sides of pairs: drift and quality, pair by pair and together, by depth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.arrays.basis import Basis
from analysis.measures.drift import divergence_named
from analysis.measures.layer_quality import layer_quality
from analysis.measures.pairing import PairedModels
from analysis.measures.placement import Ruler
from analysis.measures.sign_flips import SwapPlan, clusters_of
from analysis.measures.weighting import unit_histograms
from analysis.pairs.bins import Bench, Bin
from analysis.pairs.depths import with_shared_depths
from analysis.pairs.listing import PairList, pairs_in_file, selected_pairs
from analysis.pairs.matching import Candidates, matched_pairs
from analysis.pairs.settings import PairsSettings
from analysis.scanning.sketching import ScanOptions, SketchKind, sketch_of_store
from analysis.scanning.workers import scan_workers
from analysis.selection.axes import model_codes, unit_codes
from analysis.selection.grouping import group_layers, whole
from analysis.selection.view import Extent, StoreView
from analysis.settings import Unit
from analysis.wording import count

#: The first bin.
ALL = "all layers"


@dataclass(frozen=True, slots=True, eq=False)
class PairsResult:
    """Everything one run of ``analysis.pairs.measure`` found.

    Attributes:
        listing: the pairs and the names of the sides.
        labels: ``model_id`` → name.
        paired: the pairs as numbers.
        bins: all layers, then by depth.
        quality: a row per layer of a paired model.
        basis: what filters were projected on.
        provenance: where the sketch came from, one line.
        extent: what took part.
        settings: how.
        uri: of the store.
        notes: what to beware of.
    """

    listing: PairList
    labels: Mapping[str, str]
    paired: PairedModels
    bins: tuple[Bin, ...]
    quality: pa.Table
    basis: Basis
    provenance: str
    extent: Extent
    settings: PairsSettings
    uri: str
    notes: tuple[str, ...]

    @property
    def where(self) -> str | None:
        """The condition, None for all."""
        return self.settings.where


def measure(settings: PairsSettings, view: StoreView | None = None) -> PairsResult:
    """Drift and quality between paired models. Writes nothing but the sketch that the store keeps.

    Args:
        settings: what to measure.
        view: of ``settings.store`` with ``settings.labels``, where it has been opened already.

    Raises:
        UserError: the pairs, the condition, the basis or the store is not usable, known before any filter is read; or
            the filters are missing or damaged.
    """
    divergence, kind = divergence_named(settings.divergence), SketchKind.of(settings)
    view = view or StoreView.open(settings.store, settings.labels)
    selected = view.select(settings.where, settings.filters)
    listing = list_pairs(settings, view, selected)
    ids = {model_id for pair in listing.pairs for model_id in (pair.a, pair.b)}
    flat = selected.filter(pc.is_in(selected.column("model_id"), value_set=pa.array(sorted(ids))))
    flat, lent = with_shared_depths(flat)
    groupings = [whole(flat, ALL, axis=ALL)]
    if settings.by is not None:
        axis = "depth_first" if settings.by == "depth" else settings.by
        groupings.append(group_layers(flat, axis, max_groups=settings.max_groups))
    options = ScanOptions(workers=partial(scan_workers, settings.cluster))
    sketch = sketch_of_store(view.store, view.layers, kind, options=options)
    # Of all filters of a layer, whatever is left out of drifts.
    paired_layers = pc.is_in(view.flat.column("layer_id"), value_set=flat.column("layer_id").combine_chunks())
    quality = layer_quality(view.flat.filter(paired_layers))
    models, filters = model_codes(flat), flat.column("layer_num_filters").to_numpy()
    paired = _numbered(settings, listing, flat)
    bench = Bench(
        paired,
        Ruler(divergence, sketch.basis, settings.components),
        SwapPlan(settings.flips, settings.seed),
        quality,
        models,  # both tables are by layer_id
        settings.layer_weight,
    )
    bins = []
    for grouping in groupings:
        histograms = unit_histograms(sketch, grouping, settings.weight)
        codes = grouping.codes_of(flat.column("layer_id").to_numpy())
        model_of = np.unique(models[codes >= 0])
        for g, group in enumerate(grouping.groups):
            rows = histograms.group == g
            counts = np.zeros((paired.models, *histograms.counts.shape[1:]))
            counts[model_of[histograms.unit[rows]]] = histograms.counts[rows]
            sizes = np.bincount(models[codes == g], filters[codes == g], paired.models).astype(np.int64)
            bins.append(bench.measure(group.name, counts, sizes, codes == g))
    return PairsResult(
        listing,
        dict(zip(flat.column("model_id").to_pylist(), flat.column("model_label").to_pylist(), strict=True)),
        paired,
        tuple(bins),
        quality,
        sketch.basis,
        sketch.provenance,
        Extent.of(flat),
        settings,
        view.store.uri,
        (
            *listing.notes,
            *lent,
            *(note for each in groupings[1:] for note in each.notes),
            *_on_chance(bins[0], settings),
        ),
    )


def list_pairs(settings: PairsSettings, view: StoreView, selected: pa.Table) -> PairList:
    """The pairs that settings ask for among the models of ``selected``.

    Raises:
        UserError: see ``analysis.pairs.listing`` and ``analysis.pairs.matching``.
    """
    if settings.contrast is not None:
        candidates = Candidates.of(selected, settings.match, settings.contrast)
        return matched_pairs(candidates, settings.values, settings.max_pairs)
    assert settings.pairs is not None
    first = np.unique(model_codes(view.flat), return_index=True)[1]
    named = pairs_in_file(settings.pairs, settings.store, view.flat.take(first))
    return selected_pairs(named, selected, settings.pairs)


def _numbered(settings: PairsSettings, listing: PairList, flat: pa.Table) -> PairedModels:
    """The pairs with models numbered as ``model_codes`` of ``flat`` does."""
    first_row = np.unique(model_codes(flat), return_index=True)[1]
    number = {each: place for place, each in enumerate(flat.column("model_id").take(first_row).to_pylist())}
    units = unit_codes(flat, settings.unit)[first_row]
    a, b = (np.array([number[getattr(pair, side)] for pair in listing.pairs], np.int64) for side in ("a", "b"))
    return PairedModels(a, b, clusters_of(units[a], units[b]), len(number), settings.shared)


def _on_chance(everything: Bin, settings: PairsSettings) -> tuple[str, ...]:
    """What to note on the smallest p-value there can be."""
    clusters, pairs = everything.drift.clusters, everything.drift.pairs
    smallest = 2.0 ** (1 - clusters)
    notes = []
    if clusters < pairs:
        shared = "a lineage" if settings.unit is Unit.lineage else "a model"
        more = "" if settings.contrast is None else "; match more columns, so that each model stands in fewer pairs"
        notes.append(
            f"{pairs} pairs in {count(clusters, 'cluster')}: those that share {shared} swap sides together{more}"
        )
    if smallest > 0.05:
        notes.append(f"no p-value can be below {smallest:.2g}: there are {2**clusters} ways to swap sides")
    return tuple(notes)
