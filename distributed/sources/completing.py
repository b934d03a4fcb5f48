"""A reference's labels and builder from the description that was left unread while listing."""

from __future__ import annotations

from dataclasses import replace

from distributed.references import ModelReference
from distributed.sources.metadata import (
    DATA_SET_TABLE,
    METADATA_FIELDS,
    builder_of,
    facts_of_config,
    metadata_of,
    parse_config,
)


def completed(reference: ModelReference, text: str) -> ModelReference:
    """The reference with what the text of its ``config`` says, as if it had been read while listing."""
    assert reference.config is not None
    config = parse_config(text, f"{reference.root}/{reference.config.path}")
    metadata, origins = reference.metadata, reference.metadata.origins
    # What a table concluded from the facts so far is concluded again from all of them.
    known = {
        name: (str(getattr(metadata, name)), origins[name])
        for name in METADATA_FIELDS
        if name in origins and origins[name] != DATA_SET_TABLE
    }
    return replace(
        reference,
        metadata=metadata_of([known, facts_of_config(config or {})]),
        builder=builder_of(config, text),
        config=None,
    )
