"""Untrained filters as groups after those of an axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analysis.arrays.untrained import UNTRAINED_FILTERS, untrained_layer_id
from analysis.selection.grouping import Group, Grouping
from analysis.settings import Baseline
from analysis.wording import shown
from distributed.errors import UserError


def untrained_groups(kinds: Sequence[Baseline]) -> tuple[Group, ...]:
    """A group of one layer and no model each, once, in the order asked."""
    names = [f"untrained, {kind}" for kind in dict.fromkeys(kinds)]
    return tuple(Group(name, name, UNTRAINED_FILTERS, layers=1, models=0) for name in names)


def with_untrained_groups(grouping: Grouping, kinds: Sequence[Baseline]) -> Grouping:
    """The grouping with them after its own.

    Raises:
        UserError: the axis has a group of such a name.
    """
    more = untrained_groups(kinds)
    for group in grouping.groups:
        if group.name in {each.name for each in more}:
            raise UserError(f"{grouping.axis}: a group is called {shown(group.name)} as the baseline is: rename it")
    ids = np.array([untrained_layer_id(kind) for kind in dict.fromkeys(kinds)], np.int64)
    return replace(
        grouping,
        groups=(*grouping.groups, *more),
        layer_ids=np.concatenate([grouping.layer_ids, ids]),
        codes=np.concatenate([grouping.codes, len(grouping.groups) + np.arange(len(more))]),
    )
