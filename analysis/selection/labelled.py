"""The user's labels in a table ``models``."""

from __future__ import annotations

import pyarrow as pa

from analysis.wording import one_line
from distributed.label_files import JOINED_BY, read_labels
from distributed.labels import KNOWLEDGE, columns_of, metadata_in, relabelled
from distributed.records import MODELS_SCHEMA
from distributed.store import StoreSettings


def with_labels(models: pa.Table, path: str, store: StoreSettings) -> tuple[pa.Table, tuple[str, ...]]:
    """The table ``models`` with what the labels say in place of what the store says, and what to say of the join.

    Args:
        models: of a store.
        path: of the labels, see ``distributed.label_files``.
        store: where the store is.

    Raises:
        UserError: the labels cannot be read.
    """
    labels = read_labels(path, store)
    rows = models.select([*JOINED_BY, *KNOWLEDGE]).to_pylist()
    found = [columns_of(relabelled(metadata_in(row), labels.labels_of(row), labels.origin)) for row in rows]
    for name in KNOWLEDGE:
        field = MODELS_SCHEMA.field(name)
        values = [row[name] for row in found]
        if pa.types.is_map(field.type):
            values = [None if value is None else sorted(value.items()) for value in values]
        models = models.set_column(models.schema.get_field_index(name), field, pa.array(values, field.type))
    return models, tuple(map(one_line, labels.notes_on(rows)))
