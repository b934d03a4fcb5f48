"""What timm's registry says of its pretrained tags, as extraction would describe them: no network, no weights."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from distributed.references import METADATA_FIELDS
from distributed.sources.metadata import metadata_of
from distributed.sources.timm_models import matching_names, tag_named


def tags_table(patterns: Sequence[str]) -> pa.Table:
    """A row per pretrained tag that matches any of ``patterns`` (names, or as ``resnet*``), by name.

    Columns: ``name`` (``resnet50.a1_in1k``), those of ``METADATA_FIELDS`` as text, null where nothing is known, and
    ``on_hub``: whether its weights are in a repository of the Hub.

    Raises:
        SourceError: a pattern matches nothing.
    """
    tags = [tag_named(name) for name in matching_names(patterns, ())]
    known = [metadata_of([tag.facts]) for tag in tags]
    columns = {name: [getattr(each, name) for each in known] for name in METADATA_FIELDS}
    texts = {
        name: pa.array([None if value is None else str(value) for value in values], pa.string())
        for name, values in columns.items()
    }
    return pa.table(
        {
            "name": pa.array([tag.name for tag in tags], pa.string()),
            **texts,
            "on_hub": [tag.repo is not None for tag in tags],
        }
    )
