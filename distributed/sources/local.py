"""Checkpoints on a file system: Hub-layout folders, bare files, and what a manifest names; and the built-in samples."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from distributed.errors import SkipReason, SourceError
from distributed.external_data import locations_in_file, path_of_location
from distributed.references import FileReference, ModelReference, Problem
from distributed.sources.contents import Listing, not_read, sort_out, what_else
from distributed.sources.files import find_models, is_weight_file, stands_for_folder
from distributed.sources.folders import Description, Descriptions, files_below, read_small_text
from distributed.sources.manifest import ManifestEntry, read_manifest
from distributed.sources.metadata import metadata_of, text_of
from distributed.sources.naming import in_order, select, some
from distributed.sources.settings import LocalSettings, SampleSettings
from distributed.sources.shards import WeightFiles

logger = logging.getLogger(__name__)

#: Looked for in the folder when no manifest is named.
MANIFEST_NAME = "manifest.yaml"


def list_samples(settings: SampleSettings) -> list[ModelReference]:
    """The built-in sample models.

    Raises:
        SourceError: they are missing from this installation, or a name matches none.
    """
    from samples import SAMPLES_ROOT

    if not SAMPLES_ROOT.is_dir():
        raise SourceError(f"the sample models are missing from {SAMPLES_ROOT}: python -m samples.train makes them")
    return _chosen(_list_folder("sample", SAMPLES_ROOT.resolve()).references, settings.models, "sample model")


def list_local(settings: LocalSettings) -> Listing:
    """The checkpoints in a folder, or the one file that ``path`` names, and what else lies there.

    Raises:
        SourceError: the path is missing, may not be read or holds no checkpoint; the manifest is wrong.
    """
    path = Path(settings.path).expanduser()
    try:
        path = path.resolve(strict=True)
        is_folder = path.is_dir()
    except FileNotFoundError as error:
        raise SourceError(f"{path}: no such file or folder: check the path") from error
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "a link that leads to itself"
        raise SourceError(f"{path}: cannot be read ({reason}): check the path") from error
    if not _is_text(str(path)):
        raise SourceError(f"{text_of(str(path))}: the path is not UTF-8: rename it")
    if not is_folder:
        listing = Listing(_one_file(path, settings))
    else:
        manifest = _manifest_path(path, settings.manifest)
        listing = _list_folder("local", path) if manifest is None else _list_manifest(path, manifest)
    return Listing(_chosen(listing.references, settings.models, "model"), listing.not_read)


def _chosen(references: Sequence[ModelReference], patterns: Sequence[str], what: str) -> list[ModelReference]:
    ordered = in_order(references)
    names = select((each.name for each in ordered), patterns, what)
    return [each for each in ordered if each.name in names]


def _manifest_path(folder: Path, manifest: str | None) -> Path | None:
    if manifest is None:
        return folder / MANIFEST_NAME if (folder / MANIFEST_NAME).is_file() else None
    return Path(manifest).expanduser() if manifest else None


def _one_file(path: Path, settings: LocalSettings) -> list[ModelReference]:
    if not path.is_file():
        raise SourceError(f"{path}: is neither a folder nor a file: check the path")
    if not is_weight_file(path.name) and (found := _what_else(path)) is not None:
        raise SourceError(
            f"{path}: is {found or 'a file of unknown type'}, no checkpoint that is read here: choose a file of "
            "safetensors, torch or ONNX, or a folder"
        )
    root = path.parent
    manifest = _manifest_path(root, settings.manifest)
    if manifest is not None:
        entries = [entry for entry in read_manifest(manifest) if entry.file == path.name]
        if entries:
            return _references_of(root, entries, manifest, [each.name for each in root.iterdir() if each.is_file()])
        if settings.manifest is not None:
            raise SourceError(f"{manifest}: has no entry for {path.name}")
    paths = [each.name for each in root.iterdir() if each.is_file()]
    return [_reference("local", root, _files_of(root, path.name, paths), path.stem, Descriptions(root, paths))]


def _what_else(path: Path) -> str | None:
    try:
        return what_else(path)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}): check the path") from error


def _list_folder(source: str, root: Path) -> Listing:
    """Every checkpoint below ``root``: told by its name, or where the name says nothing by its first bytes."""
    paths = files_below(root)
    descriptions = Descriptions(root, paths)
    external = _external_data(root)
    models = find_models(paths, _index_reader(root), external_data=external)
    used = [path for model in models for path in (*model.files, *model.left_out)]
    unnamed, others = sort_out(root, paths, used)
    if unnamed:
        models = find_models(paths, _index_reader(root), also=unnamed, external_data=external)
    models = _without_second_links(root, models)
    if not models:
        found = f" ({not_read(others)})" if others else ""
        raise SourceError(f"no checkpoints found in {root}, at any depth and under any name{found}")
    left_out = [path for model in models for path in model.left_out]
    if left_out:
        logger.info("left out %d files that hold their folder's model once more: %s", len(left_out), some(left_out))
    names = _names(root, models)
    return Listing([_reference(source, root, model, names[model.entry], descriptions) for model in models], others)


def _list_manifest(root: Path, manifest: Path) -> Listing:
    """Exactly the manifest's entries; checkpoints that it does not name are reported and left out."""
    entries = read_manifest(manifest)
    if not entries:
        raise SourceError(f"{manifest}: names no model")
    paths = files_below(root)
    references = _references_of(root, entries, manifest, paths)
    named = {file.path for each in references for file in each.files}
    unnamed = [path for path in paths if is_weight_file(path) and path not in named]
    more, others = sort_out(root, paths, [*named, *unnamed])
    unnamed = sorted([*unnamed, *more])
    if unnamed:
        logger.warning("left out %d checkpoints that %s does not name: %s", len(unnamed), manifest, some(unnamed))
    return Listing(references, others)


def _references_of(
    root: Path, entries: Sequence[ManifestEntry], manifest: Path, paths: list[str]
) -> list[ModelReference]:
    descriptions = Descriptions(root, paths)
    seen: dict[tuple[int, int], ManifestEntry] = {}
    references = []
    for entry in entries:
        path = root / entry.file
        try:
            status = path.stat()
        except OSError as error:
            raise SourceError(
                f"{manifest}: {entry.name} names {path}, which cannot be read ({error.strerror})"
            ) from error
        if not path.is_file():
            raise SourceError(f"{manifest}: {entry.name} names {path}, which is no file: name the checkpoint in it")
        # Device and inode: other spellings and links are found as well.
        other = seen.setdefault((status.st_dev, status.st_ino), entry)
        if other is not entry:
            raise SourceError(f"{manifest}: {other.name} and {entry.name} name one file, {other.file} and {entry.file}")
        model = _files_of(root, entry.file, paths)
        references.append(_reference("local", root, model, entry.name, descriptions, entry))
    return references


def _files_of(root: Path, entry: str, paths: Sequence[str]) -> WeightFiles:
    """The model of one entry file, alternatives beside it or not; of a suffix not known, the file alone."""
    models = find_models(paths, _index_reader(root), (entry,), external_data=_external_data(root))
    return next((model for model in models if entry in model.files), WeightFiles(entry, (entry,)))


def _index_reader(root: Path) -> Callable[[str], str]:
    def read(path: str) -> str:
        try:
            return read_small_text(root / path)
        except OSError as error:
            logger.warning("%s: cannot be read (%s); its shards are not known", root / path, error.strerror)
            return ""

    return read


def _external_data(root: Path) -> Callable[[str], Sequence[str] | None]:
    def read(entry: str) -> Sequence[str] | None:
        try:
            locations = locations_in_file(root / entry)
        except OSError:
            return None  # opening it will say so
        folder = entry.rpartition("/")[0]
        paths = dict.fromkeys(path for each in locations if (path := path_of_location(folder, each)) is not None)
        return [path for path in paths if (root / path).is_file() and path != entry]

    return read


def _without_second_links(root: Path, models: Sequence[WeightFiles]) -> list[WeightFiles]:
    """Files reachable by several links, each once, under the first name."""
    seen: dict[str, str] = {}
    kept = []
    for model in models:
        first = seen.setdefault(os.path.realpath(root / model.entry), model.entry)
        if first == model.entry:
            kept.append(model)
        else:
            logger.warning("%s is the same file as %s: listed once", model.entry, first)
    return kept


def _names(root: Path, models: Sequence[WeightFiles]) -> dict[str, str]:
    """Entry → name: the folder for its own model, else the path without suffix, or with it where two would be equal."""
    names: dict[str, str] = {}
    for model in models:
        entry = PurePosixPath(model.entry)
        if stands_for_folder(model.entry):
            names[model.entry] = root.name if str(entry.parent) == "." else str(entry.parent)
        else:
            names[model.entry] = str(entry.with_name(entry.name.removesuffix(".tar")).with_suffix(""))
    counts = Counter(names.values())
    return {entry: text_of(entry if counts[name] > 1 else name) or entry for entry, name in names.items()}


def _reference(
    source: str,
    root: Path,
    model: WeightFiles,
    name: str,
    descriptions: Descriptions,
    entry: ManifestEntry | None = None,
) -> ModelReference:
    description = descriptions.of_folder(model.entry.rpartition("/")[0])
    files, problem = _file_references(root, model)
    facts = description.facts if entry is None else (entry.facts, *description.facts)
    return ModelReference(
        source=source,
        name=name,
        root=str(root),
        revision=None,
        files=files,
        metadata=metadata_of(facts),
        builder=_builder(source, description, entry),
        tied_sha256=None if entry is None else entry.sha256,
        problem=problem,
        left_out=model.left_out,
    )


def _builder(source: str, description: Description, entry: ManifestEntry | None) -> str | None:
    if entry is not None and entry.builder is not None:
        return entry.builder
    if source == "sample" and description.config_text is not None:
        return f"samples:{description.config_text}"
    return description.builder


def _file_references(root: Path, model: WeightFiles) -> tuple[tuple[FileReference, ...], Problem | None]:
    problem: Problem | None = None
    if model.missing:
        problem = Problem(SkipReason.UNREADABLE, f"{root / model.entry}: shards are missing: {some(model.missing)}")
    files = []
    for path in model.files:
        if not _is_text(path):
            shown = text_of(path) or ""
            problem = Problem(SkipReason.UNREADABLE, f"{root / shown}: the file name is not UTF-8: rename it")
            files.append(FileReference(shown, 0))
            continue
        try:
            status = (root / path).stat()
            files.append(FileReference(path, status.st_size, stamp=status.st_mtime_ns))
        except OSError as error:
            problem = Problem(
                SkipReason.NOT_FOUND, f"{root / path}: cannot be found ({error.strerror}): a broken link?"
            )
            files.append(FileReference(path, 0))
    return tuple(files), problem


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
