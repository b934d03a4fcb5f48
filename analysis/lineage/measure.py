"""The ties between the models of a store, and the lineages that they make."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from analysis.arrays.types import Int64
from analysis.lineage.settings import LineageSettings
from analysis.measures.linkage import Linkage, single_linkage
from analysis.selection.view import Extent, StoreView
from analysis.ties.lineages import Lineages
from analysis.ties.pairs import TIES, Pairs, Tie
from analysis.wording import count, listed

#: Models in the pictures: more are no longer told apart.
MOST_DRAWN = 200


@dataclass(frozen=True, slots=True, eq=False)
class LineageResult:
    """What one run found.

    Attributes:
        ties: a row per pair of models that something ties: ``lineage, model_a, model_b, tie, equal_layers,
            scaled_layers, alike_layers, compared_layers, layers_a, layers_b, cosine, confirmed, model_id_a,
            model_id_b`` (``analysis.ties.pairs.Pairs``); the largest lineage first, in it the strongest tie.
        models: a row per model: ``lineage, models`` (of the lineage), ``model, layers, format, variant, uri, file,
            model_id``.
        drawn: the models that something ties, those of a lineage side by side, and how they hang together.
        lineages: how many there are, of one model or more.
        extent: what took part, after ``where``.
        settings: how.
        uri: of the store.
        notes: what could not be seen, what is estimated, what is not drawn.
    """

    ties: pa.Table
    models: pa.Table
    drawn: Linkage
    lineages: int
    extent: Extent
    settings: LineageSettings
    uri: str
    notes: tuple[str, ...]

    @property
    def where(self) -> str | None:
        """The condition, None for all."""
        return self.settings.where


def measure(settings: LineageSettings, view: StoreView | None = None) -> LineageResult:
    """What ties the models of a store; writes nothing but what the store keeps of it.

    Lineages are those of the whole store: two models that both descend from a third are of one lineage, whether or not
    ``where`` chooses the third.

    Args:
        settings: what to look at.
        view: of ``settings.store`` with ``settings.labels``, where it has been opened already.

    Raises:
        UserError: the condition or the labels are not usable.
        StoreError: the store is empty or damaged.
    """
    view = view or StoreView.open(settings.store, settings.labels)
    selected = view.select(settings.where)
    models = _models_table(selected)
    found = view.lineages
    place = {model_id: row for row, model_id in enumerate(models.column("model_id").to_pylist())}
    row_of = np.array([place.get(model_id, -1) for model_id in found.models], np.int64)
    pairs = found.pairs.take((row_of[found.pairs.first] >= 0) & (row_of[found.pairs.second] >= 0))
    first, second = row_of[pairs.first], row_of[pairs.second]
    ties = _ties_table(models, pairs, first, second)
    drawn, more = _drawn(models, pairs, first, second)
    return LineageResult(
        ties=ties,
        models=models,
        drawn=drawn,
        lineages=len(set(models.column("lineage").to_pylist()) - {None}),
        extent=Extent.of(selected),
        settings=settings,
        uri=view.store.uri,
        notes=(*_notes(found, models, place, pairs), *more),
    )


def _models_table(selected: pa.Table) -> pa.Table:
    names = ["lineage", "model_label", "num_layers_3x3", "format", "variant", "uri", "file", "model_id"]
    models = selected.select(names).group_by(names, use_threads=False).aggregate([])
    models = models.select(names).rename_columns({"model_label": "model", "num_layers_3x3": "layers"})
    sizes = models.group_by("lineage", use_threads=False).aggregate([([], "count_all")])
    size = dict(zip(sizes.column("lineage").to_pylist(), sizes.column("count_all").to_pylist(), strict=True))
    lineage = models.column("lineage").to_pylist()
    number = pa.array([None if each is None else size[each] for each in lineage], pa.int64())
    models = models.add_column(1, "models", number)
    order = sorted(
        range(len(lineage)),
        key=lambda row: (-(number[row].as_py() or 0), lineage[row] or "", models["model"][row].as_py()),
    )
    return models.take(pa.array(order, pa.int64()))


def _ties_table(models: pa.Table, pairs: Pairs, first: Int64, second: Int64) -> pa.Table:
    lineage, names, layers, ids = (
        models.column(name).to_pylist() for name in ("lineage", "model", "layers", "model_id")
    )
    swapped = first > second  # the one that stands first among the models is a
    a, b = np.where(swapped, second, first), np.where(swapped, first, second)
    order = np.lexsort((b, a, -np.nan_to_num(pairs.cosine), pairs.tie))
    rank = {name: place for place, name in reversed(list(enumerate(lineage)))}
    order = order[np.argsort([rank[lineage[a[row]]] for row in order], kind="stable")]
    a, b, pairs = a[order], b[order], pairs.take(order)

    def of(values: list[object], rows: Int64, kind: pa.DataType) -> pa.Array:
        return pa.array([values[row] for row in rows], kind)

    return pa.table(
        {
            "lineage": of(lineage, a, pa.string()),
            "model_a": of(names, a, pa.string()),
            "model_b": of(names, b, pa.string()),
            "tie": pa.array([str(TIES[tie]) for tie in pairs.tie], pa.string()),
            "equal_layers": pairs.equal,
            "scaled_layers": pairs.scaled,
            "alike_layers": pairs.alike,
            "compared_layers": pairs.compared,
            "layers_a": of(layers, a, pa.int64()),
            "layers_b": of(layers, b, pa.int64()),
            "cosine": pa.array(pairs.cosine, from_pandas=True),
            "confirmed": pairs.confirmed | (pairs.tie == TIES.index(Tie.weights)),
            "model_id_a": of(ids, a, pa.string()),
            "model_id_b": of(ids, b, pa.string()),
        }
    )


def _drawn(models: pa.Table, pairs: Pairs, first: Int64, second: Int64) -> tuple[Linkage, tuple[str, ...]]:
    """The tied models that the pictures show, and what to say of the others."""
    tied = np.unique(np.concatenate([first, second]))
    shown = tied[:MOST_DRAWN]
    cosines = np.eye(len(shown))
    seen = (first <= shown.max(initial=-1)) & (second <= shown.max(initial=-1))
    a, b = np.searchsorted(shown, first[seen]), np.searchsorted(shown, second[seen])
    is_folded = pairs.tie[seen] == TIES.index(Tie.folded)  # parallel but for the factors of channels
    cosines[a, b] = cosines[b, a] = np.where(is_folded, 1.0, np.clip(np.nan_to_num(pairs.cosine[seen]), 0.0, 1.0))
    names = models.column("model").to_pylist()
    linkage = single_linkage([names[row] for row in shown], cosines)
    rest = len(tied) - len(shown)
    return linkage, (f"not drawn: {count(rest, 'model')} of the smallest lineages; the tables have them",) * bool(rest)


def _notes(found: Lineages, models: pa.Table, place: dict[str, int], pairs: Pairs) -> tuple[str, ...]:
    notes = []
    unseen = [model_id for m, model_id in enumerate(found.models) if found.unseen[m] and model_id in place]
    if unseen:
        names = models.column("model").to_pylist()
        notes.append(
            f"not seen: {count(len(unseen), 'model')} extracted by an older version, without digests and sketches of "
            f"their weights (only folded copies are known among them; extract again with extract.retry=all): "
            f"{listed([names[place[model_id]] for model_id in unseen])}"
        )
    if (pairs.tie == TIES.index(Tie.folded)).any():
        notes.append("folded copies are drawn at cosine 1: parallel but for the factor of each channel")
    if len(pairs.tie):
        notes.append("weights do not say which of two models came first: a tree tells who is near, not who descends")
    return tuple(notes)
