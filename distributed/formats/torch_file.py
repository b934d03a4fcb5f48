"""torch.save files, read without running anything of theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from distributed.formats.agreement import Rows, rows_of, sampled_rows
from distributed.formats.base import TensorEntry
from distributed.formats.pickled_tensor import PickledTensor, held_bytes, read_together
from distributed.formats.problems import unreadable, unsupported
from distributed.formats.range_plan import batches
from distributed.formats.remembered import Remembered
from distributed.formats.sniff import FileKind
from distributed.formats.state_dict import Selection, select_state_dict
from distributed.formats.torch_archive import read_torch_file, tensors_in
from distributed.graph.facts import GraphFacts
from distributed.values import Values

#: Bytes that the tensors of a model may have together beyond those of its files: views of one memory, expanded ones.
_REPEATED_BYTES = 64 * 2**20

#: Of a checkpoint, optimizer state included.
_MOST_TENSORS = 1_000_000


class TorchCheckpoint:
    """One torch.save file, or the shards of one model. Implements ``distributed.formats.base.Checkpoint``.

    Args:
        files: (source, kind) of each file.
        weight_map: of a shard index: tensor name → source, in the index's order; None without an index.
        prefer_ema: take an averaged copy instead of its raw twin.
        wanted: see ``select_state_dict``.
        remarks: notes on what was opened.

    Raises:
        UnextractableError: see ``distributed.formats.torch_archive``; (unsupported_format) a pickle without a
            tensor, or one part of a model's weights (DeepSpeed ZeRO-3).
        RetryableError: reading failed.
    """

    def __init__(
        self,
        files: Sequence[tuple[Remembered, FileKind]],
        *,
        weight_map: Mapping[str, Remembered] | None = None,
        prefer_ema: bool = False,
        wanted: Callable[[str], bool] = lambda name: False,
        remarks: Sequence[str] = (),
    ) -> None:
        notes = list(remarks)
        trees: dict[str, object] = {}
        for source, kind in files:
            trees[source.name], remarks = read_torch_file(source, kind)
            notes += remarks
        _refuse_what_holds_no_weights(trees, files)
        tree: object
        if weight_map is not None:
            tree = _indexed(trees, weight_map, notes)
            self._order_known = list(weight_map) != sorted(weight_map)
        else:
            tree = _merged(trees)
            self._order_known = True
        selection = select_state_dict(tree, PickledTensor, sample=_sample, prefer_ema=prefer_ema, wanted=wanted)
        notes += selection.notes
        self._file = files[0][0].name
        self._tensors = _readable(selection, sum(source.size for source, _ in files), notes)
        self._notes = tuple(notes)
        self._entries = tuple(
            TensorEntry(name, tensor.shape, str(tensor.dtype).removeprefix("torch."))
            for name, tensor in self._tensors.items()
        )

    @property
    def format(self) -> str:
        return "torch"

    @property
    def entries(self) -> Sequence[TensorEntry]:
        return self._entries

    @property
    def order_known(self) -> bool:
        return self._order_known

    @property
    def graph(self) -> GraphFacts | None:
        return None

    @property
    def framework(self) -> str | None:
        """See ``Checkpoint.framework``: nothing says."""
        return None

    @property
    def notes(self) -> Sequence[str]:
        return self._notes

    def read(self, names: Sequence[str]) -> Iterator[tuple[str, Values]]:
        """See ``Checkpoint.read``. Tensors are views of what was fetched for about 64 MB of them, or of the file."""
        wanted = [self._tensors[name] for name in names]
        parts = [tensor.parts for tensor in wanted]
        for batch in batches([held_bytes(each) for each in parts]):
            data = read_together(part for index in batch for part in parts[index])
            for index in batch:
                try:
                    yield names[index], wanted[index].made_of(data)
                except ValueError as error:
                    raise unreadable(self._file, str(error), tensor=names[index]) from None
            del data  # before the next batch is fetched

    def __enter__(self) -> TorchCheckpoint:
        return self

    def __exit__(self, *exc: object) -> None:
        self._tensors = {}


def _sample(tensors: Sequence[PickledTensor]) -> list[Rows | None]:
    """Some values of each (see ``agreement.rows_of``): only the leading rows are fetched, all in one call."""
    heads = [_leading(tensor) for tensor in tensors]
    data = read_together(part for head in heads if head is not None for part in head.parts)
    found: list[Rows | None] = []
    for head in heads:
        try:
            found.append(None if head is None else rows_of(head.made_of(data)))
        except ValueError:  # what it is will be said when it is read
            found.append(None)
    return found


def _leading(tensor: PickledTensor) -> PickledTensor | None:
    """The leading rows of a tensor as a tensor; None where there is nothing to compare."""
    rows = sampled_rows(tensor.shape)
    if not rows or tensor.storage is None or not tensor.dtype.is_floating_point:
        return None
    return replace(tensor, shape=(rows, *tensor.shape[1:]))


def _refuse_what_holds_no_weights(trees: Mapping[str, object], files: Sequence[tuple[Remembered, FileKind]]) -> None:
    for source, kind in files:
        tensors = tensors_in(trees[source.name])
        if len(tensors) > _MOST_TENSORS:
            raise unreadable(source.name, "more tensors than any model has", found=f"{len(tensors)} tensors")
        if not tensors and kind is FileKind.PICKLE:
            raise unsupported(source.name, "a plain pickle without a tensor or array", expected="weights")
        empty = [tensor for tensor in tensors if tensor.shape == (0,)]
        if empty and 2 * len(empty) >= len(tensors) and not any(len(t.shape) > 1 and t.nbytes for t in tensors):
            raise unsupported(
                source.name,
                "DeepSpeed ZeRO-3: its weights are in the optimizer's shards; convert with its zero_to_fp32.py",
                expected="weights",
                found=f"{len(empty)} empty tensors of {len(tensors)}",
            )


def _indexed(trees: Mapping[str, object], weight_map: Mapping[str, Remembered], notes: list[str]) -> dict[str, object]:
    tree: dict[str, object] = {}
    moved = 0
    for name, source in weight_map.items():
        # An index from another time may know the tensor by another shard.
        holders = (source.name, *(file for file in trees if file != source.name))
        shard = next((s for file in holders if isinstance(s := trees[file], Mapping) and name in s), None)
        if shard is None:
            raise unreadable(source.name, "tensor of the index is not in its shard", tensor=name)
        moved += shard is not trees[source.name]
        tree[name] = shard[name]
    if moved:
        notes.append(f"the shard index is stale: {moved} tensors are in other shards than it says")
    unlisted = sum(name not in tree for shard in trees.values() if isinstance(shard, Mapping) for name in shard)
    if unlisted:
        notes.append(f"left out {unlisted} tensors that the shard index does not list")
    return tree


def _merged(trees: Mapping[str, object]) -> object:
    if len(trees) == 1:
        return next(iter(trees.values()))
    merged: dict[Any, object] = {}
    for file, shard in trees.items():
        for name, value in shard.items() if isinstance(shard, Mapping) else [(file, shard)]:
            if name in merged:
                raise unreadable(file, "tensor is in two shards", tensor=str(name))
            merged[name] = value
    return merged


def _readable(selection: Selection[PickledTensor], file_bytes: int, notes: list[str]) -> dict[str, PickledTensor]:
    """The tensors whose data is here, each memory once under its first name, and together no bomb."""
    first: dict[tuple[object, ...], str] = {}
    kept: dict[str, PickledTensor] = {}
    left = file_bytes + _REPEATED_BYTES
    for name, tensor in selection.tensors.items():
        if tensor.obstacle is not None:
            notes.append(f"left out {name!r}: {tensor.obstacle}")
        elif tensor.nbytes and (twin := first.setdefault(tensor.memory, name)) != name:
            notes.append(f"counted {name!r} once: it is tied to {twin!r}")
        elif tensor.nbytes > left:
            notes.append(f"left out {name!r}: {list(tensor.shape)} of it repeat the little that the file holds")
        else:
            left -= tensor.nbytes
            kept[name] = tensor
    return kept
