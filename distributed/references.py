"""What a source lists: cheap, pinned references to models, made before any weight is read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from distributed.records import MODEL_BITS_SHIFT

if TYPE_CHECKING:
    from distributed.published.rows import PublishedModel

#: Bytes held at most of files that are read in ranges or mapped: a batch (``formats.range_plan.BATCH_BYTES``) as it
#: comes, the one before, and what is made of them.
HELD_OF_RANGES = 256 * 2**20

#: Files of which never more is held: safetensors, and what torch writes. Others (a plain pickle, an ONNX graph) are
#: read into memory as a whole.
_IN_RANGES = (".safetensors", ".bin", ".pt", ".pth", ".th", ".ckpt", ".tar")


@dataclass(frozen=True, slots=True)
class FileReference:
    """One file of a model.

    Attributes:
        path: path relative to the reference's ``root``, with forward slashes.
        size: bytes.
        sha256: hex digest where the source knows it without reading the file, else None.
        stamp: for a local file its modification time in nanoseconds: with path and size it tells, without reading,
            whether the file is the one already extracted. None where ``revision`` pins the content.
    """

    path: str
    size: int
    sha256: str | None = None
    stamp: int | None = None


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What is known about a model beside its weights. Unknown is None, never a guess.

    ``attributes`` is what manifests, labels and imports say beyond the fixed fields: key → value as text.
    ``resolution`` is the side in pixels of the pictures of the last training. ``origins`` says for each known field and
    attribute where it was read (``manifest.yaml``, ``config.json``, ``README.md``, ``timm pretrained_cfg``,
    ``timm tag`` …).
    """

    library: str | None = None
    architecture: str | None = None
    family: str | None = None
    task: str | None = None
    visual_category: str | None = None
    training_dataset: str | None = None
    pretraining_dataset: str | None = None
    license: str | None = None
    paper: str | None = None
    recipe: str | None = None
    resolution: int | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)


#: The fields of ``ModelMetadata`` that hold one value; each is a column of ``models``.
METADATA_FIELDS: tuple[str, ...] = tuple(
    each.name for each in fields(ModelMetadata) if each.name not in ("attributes", "origins")
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why listing already found that a model cannot be extracted.

    Attributes:
        reason: a ``SkipReason``, or the class name of the error.
        message: one line for people.
        retryable: it may pass by itself (a server that failed): recorded as a failure, tried again by the next run.
    """

    reason: str
    message: str
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class ModelReference:
    """One model of a source, pinned, not yet read.

    Attributes:
        source: ``sample``, ``local``, ``timm``, ``hub`` or ``cnn_filter_db``.
        name: what people call it; unique within one listing.
        root: where the files are: an absolute folder (sample, local) or a Hub repository id (timm, hub).
        revision: commit hash (Hub), None for files on disk.
        files: the checkpoint's weight files. The first is the entry (for shards: the index or the first shard; for
            ONNX: the graph); external data and further shards follow.
        metadata: what is known about the model.
        builder: how to build the architecture for tracing: ``timm:<name>`` or ``samples:<config.json text>``; None when
            the architecture is not known.
        tied_sha256: digest that a manifest promises for the entry file; checked after reading.
        variant: what of it is extracted beside the default (``ExtractSettings.variant``); "" for the default. Another
            variant is another model in the store.
        problem: what listing itself already found to be in the way (a gated repository, a pretrained tag that is not on
            the Hub, a server that failed); recorded as a skip, or as a failure where it may pass.
        left_out: weight files beside it that hold the same model, and were not chosen.
        config: the description (``config.json``) that was not read while listing: whoever reads the weights reads it
            first, and completes ``metadata`` and ``builder`` (``sources.completing``). None: nothing is left to read.
        published: which rows of a published corpus it is; the one file, whose ``size`` is that of these rows, holds
            other models too.
    """

    source: str
    name: str
    root: str
    revision: str | None
    files: tuple[FileReference, ...]
    metadata: ModelMetadata = ModelMetadata()
    builder: str | None = None
    tied_sha256: str | None = None
    problem: Problem | None = None
    variant: str = ""
    left_out: tuple[str, ...] = ()
    config: FileReference | None = None
    published: PublishedModel | None = None

    @property
    def size(self) -> int:
        """Bytes of all weight files."""
        return sum(file.size for file in self.files)

    @property
    def held_bytes(self) -> int:
        """Bytes of memory that the files take while the model is read: not their size, where they are read in ranges.

        Told by the names; what lies beside an ONNX graph is its external data, read in ranges too.
        """
        if self.published is not None:
            return min(self.size, HELD_OF_RANGES)
        beside = self.entry.endswith(".onnx")
        ranged = sum(f.size for i, f in enumerate(self.files) if f.path.endswith(_IN_RANGES) or (i and beside))
        return self.size - ranged + min(ranged, HELD_OF_RANGES)

    @property
    def weights_sha256(self) -> str | None:
        """Digest of the weights as the Hub lists them, None where it does not list it of every file.

        Shards are the same weights whatever their index, which has no digest there, is called.
        """
        digests = [file.sha256 for file in self.files if not file.path.endswith(".json")]
        if self.revision is None or not digests or not all(digests):
            return None
        return content_digest([digest for digest in digests if digest])

    @property
    def content(self) -> tuple[str, str] | None:
        """What two references must have in common to be the same model: their weights and what is taken of them."""
        sha256 = self.weights_sha256
        return None if sha256 is None else (sha256, self.variant)

    @property
    def entry(self) -> str:
        """Path of the entry file, relative to ``root`` ("" when the model has no file)."""
        return self.files[0].path if self.files else ""

    @property
    def reference_key(self) -> str:
        """16 hex digits that recognise this reference again without reading a byte of weights.

        It is stored with the model, so that a later listing can tell what is already there. For a Hub repository it
        is a function of repository, revision and file; for files on disk of path, size and modification time.
        """
        parts = [self.source, self.root, self.revision or "", self.variant]
        parts += [f"{file.path}\0{file.size}\0{file.stamp}" for file in self.files]
        parts += [] if self.published is None else [self.published.original_id]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    @property
    def pinned_model_id(self) -> str | None:
        """The ``model_id`` where it is known without reading (pinned revision, or all digests), else None."""
        if self.revision is not None:
            return model_id_of(self.source, self.root, self.revision, self.entry, self.variant)
        digests = [file.sha256 for file in self.files]
        if digests and all(digests):
            return model_id_of(self.source, content_digest([d for d in digests if d]), None, "", self.variant)
        return None


def content_digest(sha256_of_files: list[str]) -> str:
    """Digest of a model on disk: its file's SHA-256, or of several files the SHA-256 of their digests in order."""
    if len(sha256_of_files) == 1:
        return sha256_of_files[0]
    return hashlib.sha256("\n".join(sha256_of_files).encode()).hexdigest()


def model_id_of(source: str, origin: str, revision: str | None, file: str, variant: str = "") -> str:
    """16 hex digits, a pure function of what is extracted.

    ``origin`` is a repository id (with ``revision`` and ``file``) or, for files on disk, a content digest alone: the
    same content is the same model under whatever name and path, so it is extracted once. ``variant`` tells apart what
    was taken of it.
    """
    text = "\n".join([source, origin, revision or "", file, variant])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def layer_id_of(model_id: str, layer_index: int) -> int:
    """Positive int64: 47 bits of the model id, then 16 bits of the layer's index.

    Sorting by it sorts by model and then by layer, and either part can be read back.
    """
    if not 0 <= layer_index < 1 << MODEL_BITS_SHIFT:
        raise ValueError(f"layer_index {layer_index} is outside 0 … 65535")
    return (int(model_id, 16) >> 17) << MODEL_BITS_SHIFT | layer_index
