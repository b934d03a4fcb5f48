"""Which axes of the report are factors that can be told apart, and what each explains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from analysis.measures.designs import Design
from analysis.partition.measure import PartitionResult
from analysis.selection.axes import DEPTH_AXES, is_single, parts_of
from analysis.selection.factors import Factor, Models, known_on_all
from analysis.wording import count
from distributed.errors import UserError

#: More models take longer than the rest of the page together.
_MOST_MODELS = 2000


@dataclass(frozen=True, slots=True, eq=False)
class Partitioned:
    """What the factors among the axes explain; None if nothing can be said. ``notes``: which are none, and why."""

    result: PartitionResult | None
    notes: tuple[str, ...]


def partitioned(
    selected: pa.Table, axes: Sequence[str], measure: Callable[[tuple[str, ...]], PartitionResult]
) -> Partitioned:
    """The partition by those axes that are columns of models, each added if it can be told from those before it.

    Args:
        selected: the flat view of what takes part.
        axes: in the order in which they are tried.
        measure: of these factors.
    """
    models, kept, notes = Models.of(selected), list[Factor](), list[str]()
    number = len(models.keys)
    if number > _MOST_MODELS:
        said = f"{count(number, 'model')} are more than {_MOST_MODELS:,}: run python -m analysis.partition for them"
        return Partitioned(None, (said,))
    for axis in axes:
        if is_single(axis) or DEPTH_AXES & set(parts_of(axis)):
            continue
        try:
            tried = [*kept, models.factor(selected, axis)]
            known = known_on_all(tried)
            if not known.any():
                raise UserError("no model has a value on this and the axes before")
            Design.of([factor.of(known) for factor in tried])
        except UserError as error:
            notes.append(f"{axis} is not among the factors: {error}")
        else:
            kept = tried
    if not kept:
        return Partitioned(None, tuple(notes))
    try:
        return Partitioned(measure(tuple(factor.name for factor in kept)), tuple(notes))
    except UserError as error:
        return Partitioned(None, (*notes, str(error)))
