"""From the files of a model to an opened checkpoint: by what the bytes are, whatever the file is called."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import PurePosixPath

from distributed.errors import Place, SkipReason, UnextractableError
from distributed.formats.base import ByteSource, Checkpoint
from distributed.formats.problems import unreadable, unsupported
from distributed.formats.remembered import Remembered
from distributed.formats.safetensors_file import SafetensorsCheckpoint
from distributed.formats.shard_index import head_bytes_of, may_be_3x3, may_be_convolution, read_index
from distributed.formats.sniff import HEAD_BYTES, FileKind, Sniffed, sniff

_EXPECTED = "safetensors, torch.save or ONNX"
_TORCH = (FileKind.TORCH_ZIP, FileKind.TORCH_LEGACY, FileKind.PICKLE)


def open_checkpoint(
    sources: Sequence[ByteSource], *, prefer_ema: bool = False, wanted: Callable[[str], bool] = lambda name: False
) -> Checkpoint:
    """Open one model's weights.

    Args:
        sources: the model's weight files; the first is the entry: the only file, the shard index or the first shard,
            or the ONNX graph with its external data behind it.
        prefer_ema: where the file holds an averaged copy beside the raw weights, take the copy.
        wanted: whether the tensor of this name (with the wrappers around it) stays, even if it is a copy.

    Raises:
        UnextractableError: unsupported_format (the message names what the file is instead), unreadable,
            unsafe_pickle, no_3x3_convolution (a shard index without one by its names); the place names the file.
        RetryableError: reading failed for a reason that may pass.
    """
    if not sources:
        raise ValueError("open_checkpoint needs at least one file")
    entry = Remembered(sources[0])
    found = _sniffed(entry)
    if found.kind is FileKind.INDEX:
        return _open_index(entry, sources[1:], prefer_ema, wanted)
    if found.kind is FileKind.ONNX:
        # Imported here: onnx costs 0.2 s and most models are not ONNX.
        from distributed.formats.onnx_file import OnnxCheckpoint

        return OnnxCheckpoint(sources)
    others = [Remembered(source) for source in sources[1:]]
    if found.kind is FileKind.SAFETENSORS:
        for shard in others:
            _require(shard, (FileKind.SAFETENSORS,))
        return SafetensorsCheckpoint([entry, *others], prefer_ema=prefer_ema, wanted=wanted)
    _refuse(entry, found)
    from distributed.formats.torch_file import TorchCheckpoint  # and torch: seconds

    kinds = [(entry, found.kind)] + [(shard, _require(shard, _TORCH)) for shard in others]
    return TorchCheckpoint(kinds, prefer_ema=prefer_ema, wanted=wanted)


def _sniffed(source: Remembered) -> Sniffed:
    return sniff(source.head(), source.size, source.name)


def _refuse(source: Remembered, found: Sniffed) -> None:
    """Raise unless the file is one of torch's readable kinds."""
    if found.kind in _TORCH:
        return
    raise unsupported(source.name, "not a checkpoint", expected=_EXPECTED, found=found.description)


def _require(source: Remembered, kinds: Sequence[FileKind]) -> FileKind:
    found = _sniffed(source)
    if found.kind not in kinds:
        raise unsupported(source.name, "shard of another kind", expected=str(kinds[0]), found=found.description)
    return found.kind


def _open_index(
    entry: Remembered, others: Sequence[ByteSource], prefer_ema: bool, wanted: Callable[[str], bool]
) -> Checkpoint:
    """The shards that an index names; only those that may hold a convolution, where none of these does."""
    names = read_index(entry)
    tensors: dict[str, list[str]] = {}
    for name, shard in names.items():
        tensors.setdefault(shard, []).append(name)
    folder = PurePosixPath(entry.name).parent
    by_name = {str(PurePosixPath(source.name)): source for source in others}
    shards: dict[str, Remembered] = {}
    for shard, held in tensors.items():
        source = by_name.get(str(folder / shard))
        if source is None:
            raise unreadable(
                entry.name, "index names a shard that is missing", expected=str(folder / shard)[:200], found="no file"
            )
        shards[shard] = Remembered(source, min(HEAD_BYTES, head_bytes_of(held)))

    def opened(chosen: Collection[str], *remarks: str) -> Checkpoint:
        used = [source for shard, source in shards.items() if shard in chosen]
        weight_map = {name: shards[shard] for name, shard in names.items() if shard in chosen}
        return _open_shards(used, weight_map, prefer_ema, wanted, remarks)

    likely = {shard for shard, held in tensors.items() if any(map(may_be_convolution, held))}
    if len(likely) < len(shards):
        unread = f"{len(shards) - len(likely)} of {len(shards)} shards, in which the index names no convolution"
        if not likely:
            raise UnextractableError(
                SkipReason.NO_3X3_CONVOLUTION,
                f"{entry.name}: no learned 3x3 convolution (not read: {unread})",
                Place(file=entry.name, expected="a 4-D weight (out, in, 3, 3)", found="names of other weights"),
            )
        with suppress(UnextractableError):  # the index may be from another time: all shards will tell
            checkpoint = opened(likely, f"did not read {unread}")
            if not any(may_be_3x3(tensor.shape) for tensor in checkpoint.entries):
                return checkpoint
    return opened(shards)


def _open_shards(
    used: Sequence[Remembered],
    weight_map: Mapping[str, Remembered],
    prefer_ema: bool,
    wanted: Callable[[str], bool],
    remarks: Sequence[str],
) -> Checkpoint:
    found = _sniffed(used[0])
    if found.kind is FileKind.SAFETENSORS:
        for source in used[1:]:
            _require(source, (FileKind.SAFETENSORS,))
        return SafetensorsCheckpoint(used, weight_map=weight_map, prefer_ema=prefer_ema, wanted=wanted, remarks=remarks)
    _refuse(used[0], found)
    from distributed.formats.torch_file import TorchCheckpoint

    kinds = [(used[0], found.kind)] + [(source, _require(source, _TORCH)) for source in used[1:]]
    return TorchCheckpoint(kinds, weight_map=weight_map, prefer_ema=prefer_ema, wanted=wanted, remarks=remarks)
