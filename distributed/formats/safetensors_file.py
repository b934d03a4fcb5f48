"""safetensors: the header first, then only the tensors asked for, in few ranges and bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from distributed.formats.agreement import Rows, rows_of, sampled_rows
from distributed.formats.base import TensorEntry
from distributed.formats.fetching import Fetched, Part
from distributed.formats.naming import natural_key
from distributed.formats.problems import unreadable, unsupported
from distributed.formats.range_plan import BATCH_BYTES, batches
from distributed.formats.remembered import Remembered
from distributed.formats.safetensors_header import DTYPES, Header, TensorRecord, header_length, parse_header
from distributed.formats.state_dict import select_state_dict
from distributed.graph.facts import GraphFacts
from distributed.values import Values, is_floating, item_size, values_of


@dataclass(frozen=True, slots=True)
class _Located:
    """A tensor record with the file that holds it."""

    record: TensorRecord
    source: Remembered
    stored_name: str

    @property
    def shape(self) -> tuple[int, ...]:
        return self.record.shape

    @property
    def part(self) -> Part:
        return Part(self.source, self.record.start, self.record.stop)


def read_header(source: Remembered) -> Header:
    """Header of one file: one request where it fits the head, and none where that was looked at, else one more."""
    head = source.head()
    stop = 8 + header_length(head, source.size, source.name)
    if stop > len(head):
        head += source.read_ranges([(len(head), stop)])[0]
    return parse_header(head[8:stop], source.size, source.name)


class SafetensorsCheckpoint:
    """One safetensors file, or the shards of one model. Implements ``distributed.formats.base.Checkpoint``.

    Args:
        sources: the files that hold tensors.
        weight_map: of a shard index: tensor name → source, in the index's order; None without an index.
        prefer_ema: take an averaged copy instead of its raw twin.
        wanted: see ``select_state_dict``.
        remarks: notes on what was opened.
        batch_bytes: bytes of tensors fetched at once.

    Raises:
        UnextractableError: (unreadable) a header is damaged, or index and shards contradict each other.
    """

    def __init__(
        self,
        sources: Sequence[Remembered],
        *,
        weight_map: Mapping[str, Remembered] | None = None,
        prefer_ema: bool = False,
        wanted: Callable[[str], bool] = lambda name: False,
        remarks: Sequence[str] = (),
        batch_bytes: int = BATCH_BYTES,
    ) -> None:
        located: dict[str, _Located] = {}
        frameworks: set[str | None] = set()
        elsewhere: dict[str, _Located] = {}
        for source in sources:
            header = read_header(source)
            frameworks.add(header.framework)
            for name, record in header.records.items():
                if weight_map is not None and name in weight_map and weight_map[name] is not source:
                    # The index says that another shard's tensor of this name counts, if that shard has one.
                    elsewhere[name] = _Located(record, source, name)
                    continue
                if name in located:
                    raise unreadable(
                        source.name, "tensor is in two shards", tensor=name, found=located[name].source.name
                    )
                located[name] = _Located(record, source, name)
        names = list(located) if weight_map is None else list(weight_map)
        moved = [name for name in names if name not in located and name in elsewhere]
        located |= {name: elsewhere[name] for name in moved}
        for name in names:
            if name not in located and weight_map is not None:
                raise unreadable(weight_map[name].name, "tensor of the index is not in its shard", tensor=name)
        # Writers sort the header by item size and name, and many indexes by name: only an index that is not in
        # alphabetical order carries the order of definition.
        self._order_known = weight_map is not None and names != sorted(names)
        if not self._order_known:
            names.sort(key=natural_key)
        selection = select_state_dict(
            {n: located[n] for n in names}, _Located, sample=_sample, prefer_ema=prefer_ema, wanted=wanted
        )
        self._located = dict(selection.tensors)
        self._notes = [*remarks, *selection.notes]
        if moved:
            self._notes.append(f"the shard index is stale: {len(moved)} tensors are in other shards than it says")
        unlisted = len(located) - len(names)
        if unlisted:
            self._notes.append(f"left out {unlisted} tensors that the shard index does not list")
        self._entries = tuple(TensorEntry(n, t.shape, t.record.dtype_name) for n, t in self._located.items())
        self._framework = frameworks.pop() if len(frameworks) == 1 else None
        self._batch_bytes = batch_bytes

    @property
    def format(self) -> str:
        return "safetensors"

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
        return self._framework

    @property
    def notes(self) -> Sequence[str]:
        return tuple(self._notes)

    def read(self, names: Sequence[str]) -> Iterator[tuple[str, Values]]:
        """See ``Checkpoint.read``. Fetches batches of about 64 MB, or one larger tensor at a time."""
        wanted = [self._located[name] for name in names]
        for batch in batches([item.record.stop - item.record.start for item in wanted], self._batch_bytes):
            data = Fetched([wanted[index].part for index in batch])
            for index in batch:
                yield names[index], _tensor(wanted[index], data)
            del data  # before the next batch is fetched

    def __enter__(self) -> SafetensorsCheckpoint:
        return self

    def __exit__(self, *exc: object) -> None:
        self._located = {}


def _sample(items: Sequence[_Located]) -> list[Rows | None]:
    """Some values of each (see ``agreement.rows_of``): only the leading rows are fetched, all in one call."""
    heads = [_leading(item) for item in items]
    data = Fetched([head.part for head in heads if head is not None])
    return [None if head is None else rows_of(_tensor(head, data)) for head in heads]


def _leading(item: _Located) -> _Located | None:
    """The leading rows of a tensor as a tensor; None where there is nothing to compare."""
    record, rows = item.record, sampled_rows(item.record.shape)
    dtype = DTYPES[record.dtype][1]
    if not rows or dtype is None or not is_floating(dtype) or item_size(dtype) * 8 != DTYPES[record.dtype][0]:
        return None
    stop = record.start + rows * math.prod(record.shape[1:]) * item_size(dtype)
    return replace(item, record=replace(record, shape=(rows, *record.shape[1:]), stop=stop))


def _tensor(item: _Located, fetched: Fetched) -> Values:
    record = item.record
    dtype = DTYPES[record.dtype][1]
    if dtype is None:
        raise unsupported(item.source.name, f"tensor {item.stored_name!r} has a type torch lacks", found=record.dtype)
    shape = record.shape
    if record.dtype == "F4":  # torch counts pairs
        if not shape or shape[-1] % 2:
            raise unreadable(
                item.source.name, "4-bit tensor of odd rows", tensor=item.stored_name, found=str(list(shape))
            )
        shape = (*shape[:-1], shape[-1] // 2)
    # They share the batch's memory, which goes with the last of them.
    return values_of(fetched.view(item.part), dtype, shape)
