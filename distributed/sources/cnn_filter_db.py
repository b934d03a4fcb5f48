"""Published corpora of filters (CNN Filter DB, the robustness data): every model of one HDF5 file."""

from __future__ import annotations

import logging
from pathlib import Path

from distributed.errors import RetryableError, SourceError, UnextractableError
from distributed.references import FileReference, ModelReference
from distributed.sources.naming import in_order, select
from distributed.sources.settings import CnnFilterDbSettings

logger = logging.getLogger(__name__)


def list_published(settings: CnnFilterDbSettings) -> list[ModelReference]:
    """The models of a published corpus, by name. The frame is read, no filter.

    Raises:
        SourceError: h5py is missing; the file is missing, truncated, still packed, or contradicts itself.
    """
    path = Path(settings.path).expanduser()
    try:
        import h5py  # noqa: F401
    except ImportError:
        raise SourceError(
            f"{path}: HDF5 files need h5py, which is not installed: pip install 'cnn-filter-shift[hdf5]'"
        ) from None
    try:
        references = _listed(path.absolute(), corrections=settings.corrections)
    except (UnextractableError, RetryableError) as error:
        raise SourceError(str(error)) from error
    ordered = in_order(references)
    names = select((each.name for each in ordered), settings.models, "model")
    return [each for each in ordered if each.name in names]


def _listed(path: Path, *, corrections: bool) -> list[ModelReference]:
    from distributed.published.layout import PublishedFile
    from distributed.published.models import models_of

    with PublishedFile(path) as file:
        if beside := file.beside():
            logger.info("%s: not imported, derived from the filters: %s", path.name, ", ".join(beside))
        models = models_of(file.frame(), file.rows, path.name, corrections=corrections)
        stamp, row_bytes = path.stat().st_mtime_ns, file.row_bytes
    return [
        ModelReference(
            source=CnnFilterDbSettings.kind,
            name=each.name,
            root=str(path.parent),
            revision=None,
            files=(FileReference(path.name, each.model.filters * row_bytes, stamp=stamp),),
            metadata=each.metadata,
            published=each.model,
        )
        for each in models
    ]
