"""The small tables of a store, read once, and as one flat view: what every analysis begins with.

The flat view has a row per layer. The models' columns keep their names; a layers' column of the same name (``name``,
``num_filters``) becomes ``layer_name``, ``layer_num_filters``. Two columns are added: ``model_label``, the model's
name, and where several models of the store bear it, ``name [model_id]``; and ``lineage``, the label of the first of the
models that share weights with it or descend from one another (``analysis.ties``). Columns that somebody else added to a
table never stand for one of ours: where the name is taken they become ``models_<name>`` or ``layers_<name>``. The
sketches of weights are in no view: they are read where lineages have to be found.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analysis.arrays.preparation import known_clean
from analysis.selection.attributes import with_attributes
from analysis.selection.axes import COMPUTED_AXES
from analysis.selection.conditions import select_layers
from analysis.settings import Duplicates, Filters
from analysis.ties.duplicates import counting_once, same_weights
from analysis.ties.lineages import Lineages, lineages_of
from analysis.ties.marks import SKETCH_COLUMN
from analysis.wording import count, listed, shown
from distributed.errors import UserError
from distributed.records import LAYERS_SCHEMA, MODELS_SCHEMA
from distributed.store import Store, StoreSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Extent:
    """How much takes part: numbers of ``models``, ``layers`` and ``filters``; ``str`` says it for people."""

    models: int
    layers: int
    filters: int

    @classmethod
    def of(cls, flat: pa.Table) -> Extent:
        """Of the rows of a flat view."""
        models = int(pc.count_distinct(flat.column("model_id")).as_py())
        return cls(models, flat.num_rows, int(pc.sum(flat.column("layer_num_filters")).as_py() or 0))

    def __str__(self) -> str:
        return ", ".join((count(self.models, "model"), count(self.layers, "layer"), count(self.filters, "filter")))


@dataclass(frozen=True, slots=True, eq=False)
class StoreView:
    """A store as it was when it was opened.

    Attributes:
        store: to read filters and sketches from.
        models: the table ``models``.
        layers: the table ``layers``, of these models.
        flat: both as one, a row per layer.
        lineages: what ties the models.
        twins: ``model_id`` → that of the first model with the same weights, of those that share them.
        notes: what to say of the labels that were joined, one line each.
    """

    store: Store
    models: pa.Table
    layers: pa.Table
    flat: pa.Table
    lineages: Lineages
    twins: dict[str, str]
    notes: tuple[str, ...] = ()

    @classmethod
    def open(cls, settings: StoreSettings, labels: str | None = None) -> StoreView:
        """Open a store and read its tables; see ``of``.

        Raises:
            UserError: there is no store.
        """
        return cls.of(Store.open(settings), labels)

    @classmethod
    def of(cls, store: Store, labels: str | None = None) -> StoreView:
        """Read the tables; what the file ``labels`` says of models counts before what the store says.

        Attributes of models are columns of ``models`` (``analysis.selection.attributes``).

        Raises:
            UserError: the store holds no models, or ``labels`` cannot be read.
            StoreError: a file is damaged or not the store's.
        """
        models, layers = store.models(), store.layers(without=(SKETCH_COLUMN,))
        # A model that was finished between the two calls is in the second only.
        known = pc.is_in(layers.column("model_id"), value_set=models.column("model_id").combine_chunks())
        layers = layers.filter(known)
        notes: tuple[str, ...] = ()
        if labels is not None:
            from analysis.selection.labelled import with_labels  # and YAML: most runs have no labels

            models, notes = with_labels(models, labels, store.settings)
            for note in notes:
                logger.warning("%s", note)
        models = with_attributes(models)
        lineages = lineages_of(store, layers)
        return cls(store, models, layers, flat_view(models, layers, lineages), lineages, same_weights(layers), notes)

    def select(
        self, where: str | None, filters: Filters = Filters.all, duplicates: Duplicates = Duplicates.keep
    ) -> pa.Table:
        """The rows of ``flat`` that take part; see ``analysis.selection.conditions.select_layers``.

        With ``Filters.clean`` their ``layer_num_filters`` counts what is not sparse. With ``Duplicates.drop`` models
        whose weights another has are left out.

        Raises:
            UserError: ``where`` is no condition, or leaves no filter.
            StoreError: clean filters are asked for, and a layer's are not known.
        """
        selected = select_layers(self.flat, where)
        if duplicates is Duplicates.drop and (left_out := self._without_twins(selected)):
            kept = pc.invert(pc.is_in(selected.column("model_id"), value_set=pa.array([*left_out], pa.string())))
            selected = selected.filter(kept)
        if filters is Filters.all:
            return selected
        place = selected.schema.get_field_index("layer_num_filters")
        selected = selected.set_column(place, "layer_num_filters", known_clean(selected, "num_clean"))
        if not Extent.of(selected).filters:
            raise UserError(f"filters=clean: all filters of {count(selected.num_rows, 'layer')} are sparse")
        return selected

    def notes_on_duplicates(self, where: str | None, duplicates: Duplicates) -> tuple[str, ...]:
        """What to note about models that ``select`` leaves out as others have the same weights: none, or one line."""
        if duplicates is Duplicates.keep or not self.twins:
            return ()
        selected = select_layers(self.flat, where)
        left_out = self._without_twins(selected)
        if not left_out:
            return ()
        ids, labels = (selected.column(name).to_pylist() for name in ("model_id", "model_label"))
        label = dict(zip(ids, labels, strict=True))
        names = listed([f"{shown(label[model])} (as {shown(label[first])})" for model, first in left_out.items()])
        return (f"same weights count once, left out: {names}; duplicates=keep takes them",)

    def _without_twins(self, selected: pa.Table) -> dict[str, str]:
        """``model_id`` → that of the model that stands for its weights, of what is not to count; first by label."""
        if not self.twins:
            return {}
        ids, labels = (selected.column(name).to_pylist() for name in ("model_id", "model_label"))
        ordered = sorted(dict(zip(ids, labels, strict=True)).items(), key=lambda item: (item[1], item[0]))
        return counting_once([model_id for model_id, _ in ordered], self.twins)

    def layers_of(self, flat: pa.Table) -> pa.Table:
        """The rows of ``layers`` that are in a selected ``flat``."""
        chosen = pc.is_in(self.layers.column("layer_id"), value_set=flat.column("layer_id").combine_chunks())
        return self.layers.filter(chosen)


#: What our own columns are called in the flat view, by the table they come from.
_BOTH = frozenset(MODELS_SCHEMA.names) & frozenset(LAYERS_SCHEMA.names) - {"model_id"}
_OURS_OF_MODELS = frozenset(MODELS_SCHEMA.names)
_OURS_OF_LAYERS = frozenset(LAYERS_SCHEMA.names)
_OURS = (
    _OURS_OF_MODELS
    | (_OURS_OF_LAYERS - _BOTH)
    | {f"layer_{name}" for name in _BOTH}
    | {"model_label", "lineage", *COMPUTED_AXES}
)


def _set_apart(table: pa.Table, of: str, own: frozenset[str]) -> pa.Table:
    """The table, foreign columns renamed that are called like one of our columns of the flat view."""
    return table.rename_columns(
        [f"{of}_{name}" if name not in own and name in _OURS else name for name in table.column_names]
    )


def flat_view(models: pa.Table, layers: pa.Table, lineages: Lineages | None = None) -> pa.Table:
    """One row per layer of a model that is in ``models``, ordered by ``layer_id``; see the module for its columns.

    Without ``lineages`` there is no column ``lineage``.
    """
    models, layers = _set_apart(models, "models", _OURS_OF_MODELS), _set_apart(layers, "layers", _OURS_OF_LAYERS)
    names = models.column("name").to_pylist()
    often = Counter(names)
    keys = models.column("model_id").to_pylist()
    labels = [f"{name} [{key}]" if often[name] > 1 else name for key, name in zip(keys, names, strict=True)]
    models = models.append_column("model_label", pa.array(labels, pa.string()))
    if lineages is not None:
        of_model = lineages.names(dict(zip(keys, labels, strict=True)))
        models = models.append_column("lineage", pa.array([of_model.get(key) for key in keys], pa.string()))
    taken = set(models.column_names)
    layers = layers.rename_columns(
        [f"layer_{name}" if name in taken and name != "model_id" else name for name in layers.column_names]
    )
    row_of_model = {model_id: row for row, model_id in enumerate(keys)}
    owner = np.array([row_of_model.get(m, -1) for m in layers.column("model_id").to_pylist()], dtype=np.int64)
    order = np.argsort(layers.column("layer_id").to_numpy(), kind="stable")
    order = order[owner[order] >= 0]
    # Take, not join: Arrow's join drops nested columns, and a condition may well ask for kernel_shapes['3x3'].
    flat = models.take(pa.array(owner[order]))
    ordered = layers.drop_columns(["model_id"]).take(pa.array(order))
    for field, column in zip(ordered.schema, ordered.columns, strict=True):
        flat = flat.append_column(field, column)
    return flat
