"""Which byte ranges to fetch for the tensors asked for: few requests, little waste, bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

#: Bytes fetched without being asked for, relative to the bytes asked for (DESIGN §6: 1–18 requests a model).
WASTE_LIMIT = 0.05

#: Bytes of tensors fetched at once; a single larger tensor is fetched alone.
BATCH_BYTES = 64 * 2**20

Range = tuple[int, int]


def merge_ranges(ranges: Sequence[Range], waste_limit: float = WASTE_LIMIT) -> list[Range]:
    """Merge half-open ranges, the cheapest gaps first, while the gaps stay under ``waste_limit`` of the asked bytes.

    Returns ranges in rising order that do not touch and that together cover every non-empty range asked for.
    Overlapping ranges are joined at no cost.
    """
    joined: list[Range] = []
    for start, stop in sorted(range_ for range_ in ranges if range_[1] > range_[0]):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], stop))
        else:
            joined.append((start, stop))
    budget = waste_limit * sum(stop - start for start, stop in joined)
    gaps = sorted((joined[i + 1][0] - joined[i][1], i) for i in range(len(joined) - 1))
    bridged: set[int] = set()
    spent = 0
    for gap, index in gaps:
        if spent + gap > budget:
            break
        spent += gap
        bridged.add(index)
    merged: list[Range] = []
    for index, (start, stop) in enumerate(joined):
        if merged and index - 1 in bridged:
            merged[-1] = (merged[-1][0], stop)
        else:
            merged.append((start, stop))
    return merged


def batches(sizes: Sequence[int], limit: int = BATCH_BYTES) -> Iterator[range]:
    """Split ``0 … len(sizes)`` into consecutive index ranges of at most ``limit`` bytes (or one item) each."""
    start = total = 0
    for index, size in enumerate(sizes):
        if index > start and total + size > limit:
            yield range(start, index)
            start, total = index, 0
        total += size
    if start < len(sizes):
        yield range(start, len(sizes))
