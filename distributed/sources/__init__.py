"""Where models come from: each source lists pinned references, without reading a byte of weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distributed.sources.settings import HubSettings, LocalSettings, SampleSettings, SourceSettings, TimmSettings

if TYPE_CHECKING:
    from distributed.references import ModelReference
    from distributed.sources.contents import Listing


def list_references(settings: SourceSettings) -> list[ModelReference]:
    """The models of a source; see ``list_source``."""
    return list_source(settings).references


def list_source(settings: SourceSettings) -> Listing:
    """The models of a source, by name; names are unique. Only names, sizes and small descriptions are read.

    Of files on disk whose name says nothing also the first bytes are. What is found to be no extractable model already
    (gated, not on the Hub, shards missing) is listed with ``problem``.

    Raises:
        SourceError: the source cannot be listed: no such folder, no network, a wrong manifest, an unknown name.
    """
    # Imported when needed: timm brings torch with it.
    from distributed.sources.contents import Listing

    match settings:
        case SampleSettings():
            from distributed.sources.local import list_samples

            return Listing(list_samples(settings))
        case LocalSettings():
            from distributed.sources.local import list_local

            return list_local(settings)
        case TimmSettings():
            from distributed.sources.timm_models import list_timm

            return Listing(list_timm(settings))
        case HubSettings():
            from distributed.sources.hub import list_hub

            return Listing(list_hub(settings))
