"""Where models come from: each source lists pinned references, without reading a byte of weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from distributed.hub.settings import HubAccess
from distributed.sources.settings import (
    CnnFilterDbSettings,
    HubSettings,
    LocalSettings,
    SampleSettings,
    SourceSettings,
    TimmSettings,
)

if TYPE_CHECKING:
    from distributed.hub.catalogue import Catalogue
    from distributed.references import ModelReference
    from distributed.sources.contents import Listing


def list_references(settings: SourceSettings) -> list[ModelReference]:
    """The models of a source; see ``list_source``."""
    return list_source(settings).references


def list_source(settings: SourceSettings) -> Listing:
    """The models of a source, by name: all parts of ``stream_source`` together."""
    from distributed.hub.catalogue import NoCatalogue
    from distributed.sources.contents import Listing

    references: list[ModelReference] = []
    not_read: Counter[str] = Counter()
    for part in stream_source(settings, NoCatalogue()):
        references += part.references
        not_read += part.not_read
    return Listing(sorted(references, key=lambda each: each.name), not_read)


def stream_source(settings: SourceSettings, catalogue: Catalogue, access: HubAccess = HubAccess()) -> Iterator[Listing]:
    """The models of a source in parts, each as soon as it is known; names are unique over all parts.

    Only names, sizes and small descriptions are read, of files on disk whose name says nothing also the first bytes.
    What is found to be no extractable model already (gated, not on the Hub, shards missing, a repository that the
    server failed on) is listed with ``problem``. What is on disk is one part.

    To end early, close the iterator: threads that still wait for the Hub are left behind, and end with the process.

    Args:
        settings: the source.
        catalogue: what is known of the Hub's repositories already; what is learned is put into it, and flushed.
        access: how the Hub is asked.

    Raises:
        SourceError: the source cannot be listed: no such folder, no network, a wrong manifest, an unknown name. What
            was listed before stands.
    """
    # Imported when needed: timm brings torch with it, and the Hub's client takes half a second.
    from distributed.sources.contents import Listing

    match settings:
        case SampleSettings():
            from distributed.sources.local import list_samples

            yield Listing(list_samples(settings))
        case LocalSettings():
            from distributed.sources.local import list_local

            yield list_local(settings)
        case CnnFilterDbSettings():
            from distributed.sources.cnn_filter_db import list_published

            yield Listing(list_published(settings))
        case TimmSettings():
            from distributed.hub.catalogue import Asking
            from distributed.sources.timm_models import stream_timm

            yield from stream_timm(settings, Asking(access, catalogue))
        case HubSettings():
            from distributed.hub.catalogue import Asking
            from distributed.sources.hub import stream_hub

            yield from stream_hub(settings, Asking(access, catalogue))
