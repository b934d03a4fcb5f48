"""A reference's labels and builder from the description that was left unread while listing."""

from __future__ import annotations

from dataclasses import replace

from distributed.references import ModelReference
from distributed.sources.metadata import (
    builder_of,
    facts_of_config,
    facts_of_metadata,
    metadata_of,
    parse_config,
)


def completed(reference: ModelReference, text: str) -> ModelReference:
    """The reference with what the text of its ``config`` says, as if it had been read while listing."""
    assert reference.config is not None
    config = parse_config(text, f"{reference.root}/{reference.config.path}")
    return replace(
        reference,
        metadata=metadata_of([facts_of_metadata(reference.metadata), facts_of_config(config or {})]),
        builder=builder_of(config, text),
        config=None,
    )
