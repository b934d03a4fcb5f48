"""Where models come from: one frozen dataclass for each kind of source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

# No ``slots`` here: ``kind`` is also read from the class, to choose between the kinds.


@dataclass(frozen=True)
class SampleSettings:
    """The project's own small trained CNNs, shipped with it.

    Attributes:
        models: names or patterns (``fnmatch``) of the samples to take.
    """

    kind: str = "sample"
    models: tuple[str, ...] = ("*",)


@dataclass(frozen=True)
class LocalSettings:
    """Checkpoints on a file system.

    Attributes:
        path: a folder with checkpoints at any depth, or one checkpoint file.
        manifest: a YAML file that says what the checkpoints are; with one, exactly its entries are listed. None takes
            ``manifest.yaml`` in ``path`` where there is one; "" ignores it.
        models: names or patterns (``fnmatch``) of the models to take.
    """

    path: str
    manifest: str | None = None
    models: tuple[str, ...] = ("*",)
    kind: str = "local"


@dataclass(frozen=True)
class TimmSettings:
    """Pretrained models of timm, read from their Hub repositories.

    Attributes:
        models: names (``resnet50.a1_in1k``; without a tag: all its tags) or patterns (``resnet*``) of
            ``timm.list_pretrained``.
        exclude: names or patterns left out again.
        threads: requests to the Hub at the same time while listing.
    """

    models: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    threads: int = 8
    kind: str = "timm"


@dataclass(frozen=True)
class HubSettings:
    """Repositories of the Hugging Face Hub: the ones named, and those that a query finds.

    Attributes:
        repos: repository ids, ``id@revision`` for a branch, tag or commit other than the main branch.
        author: user or organisation.
        tags: tags that a repository must all have.
        task: pipeline tag, ``image-classification``.
        library: ``timm``, ``transformers`` …
        limit: at most so many repositories of the query; None: all that match.
        sort: the order in which the query's first ``limit`` are taken: ``downloads``, ``likes``, ``created_at``,
            ``last_modified`` or ``trending_score``, each from the highest.
        files: patterns (``fnmatch``) of weight files; each matching file becomes a model of its own, but for the same
            name in another format or in fewer bits. Empty: one model a repository, or one a component folder
            (``unet/``) of it, the preferred of its files: full precision first, then safetensors.
        threads: requests to the Hub at the same time while listing.
    """

    repos: tuple[str, ...] = ()
    author: str | None = None
    tags: tuple[str, ...] = ()
    task: str | None = None
    library: str | None = None
    limit: int | None = 100
    sort: str = "downloads"
    files: tuple[str, ...] = ()
    threads: int = 8
    kind: str = "hub"


@dataclass(frozen=True)
class CnnFilterDbSettings:
    """A published corpus of filters: the HDF5 file of CNN Filter DB, or of the robustness data.

    Attributes:
        path: the file, unpacked.
        corrections: correct what is known to be labelled wrong; what was changed stands in ``origins``.
        models: names or patterns (``fnmatch``) of the models to take.
    """

    path: str
    corrections: bool = True
    models: tuple[str, ...] = ("*",)
    kind: str = "cnn_filter_db"


SourceSettings: TypeAlias = SampleSettings | LocalSettings | TimmSettings | HubSettings | CnnFilterDbSettings
