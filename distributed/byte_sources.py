"""The files of a model as byte sources: on disk, or read in ranges from the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from distributed.hub.settings import HubAccess
from distributed.local_files import LocalFile
from distributed.references import ModelReference

if TYPE_CHECKING:  # the formats bring torch with them, which listing a source needs not
    from distributed.formats.base import ByteSource


def open_sources(reference: ModelReference, scratch: Path, access: HubAccess = HubAccess()) -> list[ByteSource]:
    """One byte source for each file of ``reference``, in its order: the first is the entry.

    Nothing is fetched yet. ``scratch`` receives whole files that are downloaded; its owner removes it. ``access`` says
    how the Hub is asked.

    Raises:
        UnextractableError: a local file is missing or may not be read.
    """
    if reference.revision is not None:
        from distributed.hub.files import HubFile  # and the Hub's client: half a second

        return [
            HubFile(reference.root, reference.revision, file.path, file.size, file.sha256, scratch, access)
            for file in reference.files
        ]
    return [LocalFile(Path(reference.root, file.path), file.path) for file in reference.files]
