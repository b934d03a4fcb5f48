"""The small tables of a store, read once: what every analysis begins with."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from analysis.selection.conditions import flat_view, select_layers
from distributed.store import Store
from distributed.store.settings import StoreSettings


@dataclass(frozen=True, slots=True, eq=False)
class StoreView:
    """A store as it was when it was opened.

    Attributes:
        store: to read filters and sketches from.
        models: the table ``models``.
        layers: the table ``layers``, of these models.
        flat: both as one, a row per layer (``analysis.selection.conditions.flat_view``).
    """

    store: Store
    models: pa.Table
    layers: pa.Table
    flat: pa.Table

    @classmethod
    def open(cls, settings: StoreSettings) -> StoreView:
        """Open a store and read its tables; see ``of``.

        Raises:
            UserError: there is no store.
        """
        return cls.of(Store.open(settings))

    @classmethod
    def of(cls, store: Store) -> StoreView:
        """Read the tables.

        Raises:
            UserError: the store holds no models.
            StoreError: a file is damaged or not the store's.
        """
        models, layers = store.models(), store.layers()
        # A model that was finished between the two calls is in the second only.
        known = pc.is_in(layers.column("model_id"), value_set=models.column("model_id").combine_chunks())
        layers = layers.filter(known)
        return cls(store, models, layers, flat_view(models, layers))

    def select(self, where: str | None) -> pa.Table:
        """The rows of ``flat`` that take part; see ``analysis.selection.conditions.select_layers``.

        Raises:
            UserError: ``where`` is no condition, or leaves no filter.
        """
        return select_layers(self.flat, where)
