"""From the files of a model to an opened checkpoint: by what the bytes are, whatever the file is called."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from distributed.formats.base import ByteSource, Checkpoint
from distributed.formats.problems import unreadable, unsupported
from distributed.formats.safetensors_file import SafetensorsCheckpoint
from distributed.formats.safetensors_header import MAX_HEADER_BYTES
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
            unsafe_pickle; the place names the file.
        RetryableError: reading failed for a reason that may pass.
    """
    if not sources:
        raise ValueError("open_checkpoint needs at least one file")
    entry = sources[0]
    head = _head(entry)
    found = sniff(head, entry.size, entry.name)
    if found.kind is FileKind.INDEX:
        return _open_index(entry, head, sources[1:], prefer_ema, wanted)
    if found.kind is FileKind.ONNX:
        # Imported here: onnx costs 0.2 s and most models are not ONNX.
        from distributed.formats.onnx_file import OnnxCheckpoint

        return OnnxCheckpoint(sources)
    if found.kind is FileKind.SAFETENSORS:
        for shard in sources[1:]:
            _require(shard, (FileKind.SAFETENSORS,))
        return SafetensorsCheckpoint(sources, prefer_ema=prefer_ema, wanted=wanted, head=head)
    _refuse(entry, found)
    from distributed.formats.torch_file import TorchCheckpoint  # and torch: seconds

    kinds = [(entry, found.kind)] + [(shard, _require(shard, _TORCH)) for shard in sources[1:]]
    return TorchCheckpoint(kinds, prefer_ema=prefer_ema, wanted=wanted)


def _head(source: ByteSource) -> bytes:
    return bytes(source.read_ranges([(0, min(source.size, HEAD_BYTES))])[0]) if source.size else b""


def _refuse(source: ByteSource, found: Sniffed) -> None:
    """Raise unless the file is one of torch's readable kinds."""
    if found.kind in _TORCH:
        return
    raise unsupported(source.name, "not a checkpoint", expected=_EXPECTED, found=found.description)


def _require(source: ByteSource, kinds: Sequence[FileKind]) -> FileKind:
    found = sniff(_head(source), source.size, source.name)
    if found.kind not in kinds:
        raise unsupported(source.name, "shard of another kind", expected=str(kinds[0]), found=found.description)
    return found.kind


def _open_index(
    entry: ByteSource,
    head: bytes,
    others: Sequence[ByteSource],
    prefer_ema: bool,
    wanted: Callable[[str], bool],
) -> Checkpoint:
    """A ``*.index.json`` of Hugging Face: ``{"metadata": …, "weight_map": {tensor: file}}``."""
    if entry.size > MAX_HEADER_BYTES:
        raise unreadable(
            entry.name, "index too long", expected=f"at most {MAX_HEADER_BYTES} bytes", found=f"{entry.size} bytes"
        )
    text = head if len(head) == entry.size else bytes(entry.read_ranges([(0, entry.size)])[0])
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise unreadable(entry.name, "not valid JSON", found=str(error)[:200] or "too deep nesting") from None
    names = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(names, dict) or not names or not all(isinstance(shard, str) for shard in names.values()):
        raise unsupported(
            entry.name, "JSON, but not a shard index", expected="weight_map: tensor → file", found="a JSON file"
        )
    folder = PurePosixPath(entry.name).parent
    by_name = {str(PurePosixPath(source.name)): source for source in others}
    shards: dict[str, ByteSource] = {}
    for shard in dict.fromkeys(names.values()):
        source = by_name.get(str(folder / shard))
        if source is None:
            raise unreadable(
                entry.name, "index names a shard that is missing", expected=str(folder / shard)[:200], found="no file"
            )
        shards[shard] = source
    weight_map = {name: shards[shard] for name, shard in names.items()}
    used = list(shards.values())
    found = sniff(_head(used[0]), used[0].size, used[0].name)
    if found.kind is FileKind.SAFETENSORS:
        for source in used[1:]:
            _require(source, (FileKind.SAFETENSORS,))
        return SafetensorsCheckpoint(used, weight_map=weight_map, prefer_ema=prefer_ema, wanted=wanted)
    _refuse(used[0], found)
    from distributed.formats.torch_file import TorchCheckpoint

    kinds = [(used[0], found.kind)] + [(source, _require(source, _TORCH)) for source in used[1:]]
    return TorchCheckpoint(kinds, weight_map=weight_map, prefer_ema=prefer_ema, wanted=wanted)
