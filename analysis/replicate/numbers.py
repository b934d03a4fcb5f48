"""The numbers that papers print, measured on a store, by the keys of ``papers``; and the verdict on each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from analysis.arrays.sketch import Sketch
from analysis.arrays.types import Float64
from analysis.measures.drift import DIVERGENCES
from analysis.measures.drift_matrix import AxisShift
from analysis.measures.placement import Ruler
from analysis.measures.weighting import unit_histograms
from analysis.replicate.papers import Paper
from analysis.selection.grouping import group_layers
from analysis.selection.view import Extent
from analysis.settings import Weight
from distributed.errors import UserError
from distributed.label_files import read_rows
from distributed.store import StoreSettings

#: What a column that says whether a model is robust holds of robust ones; all else is normal.
_YES = frozenset({"true", "1", "1.0", "yes", "robust"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row of the table: what was ``published``, what is ``here`` (None: not measured), and what follows.

    ``verdict`` is None where the store is not the published data, or nothing was measured.
    """

    key: str
    published: float
    here: float | None
    verdict: str | None

    @property
    def difference(self) -> float | None:
        """Here minus published."""
        return None if self.here is None else self.here - self.published


def verdicts(paper: Paper, found: Mapping[str, float]) -> tuple[bool, tuple[Verdict, ...]]:
    """Whether the store is the published data, by its counts, and the table."""
    known = bool(paper.counts) and all(found.get(key) == number for key, number in paper.counts.items())
    rows = []
    for each in paper.published:
        here = found.get(each.key)
        verdict = None
        if known and here is not None:
            # Half a unit of the last digit printed; the last digits of a difference are rounding.
            verdict = "agrees" if abs(here - each.value) <= each.tolerance + 1e-9 else "differs"
        rows.append(Verdict(each.key, each.value, here, verdict))
    return known, tuple(rows)


def table_of(rows: Sequence[Verdict]) -> pa.Table:
    """``key, published, here, difference, verdict``."""
    floats, texts = pa.float64(), pa.string()
    return pa.table(
        {
            "key": pa.array([row.key for row in rows], texts),
            "published": pa.array([row.published for row in rows], floats),
            "here": pa.array([row.here for row in rows], floats),
            "difference": pa.array([row.difference for row in rows], floats),
            "verdict": pa.array([row.verdict for row in rows], texts),
        }
    )


def counts_of(selected: pa.Table, robust: str | None) -> dict[str, float]:
    """``models``, ``layers``, ``filters`` of a flat view; ``robust filters`` where a column says so."""
    extent = Extent.of(selected)
    found: dict[str, float] = {"models": extent.models, "layers": extent.layers, "filters": extent.filters}
    if robust is not None:
        sizes = selected.column("layer_num_filters").to_numpy()
        found["robust filters"] = int(sizes[_is_robust(selected, robust)].sum())
    return found


def of_shift(shifts: Sequence[AxisShift], sketch: Sketch) -> dict[str, float]:
    """``evr 1`` …; of each axis ``groups``, ``mean drift`` and ``largest drift`` over its pairs."""
    found = {f"evr {i}": float(share) for i, share in enumerate(sketch.basis.explained_variance_ratio, start=1)}
    for shift in shifts:
        pairs = shift.drift[np.triu_indices(len(shift.groups), k=1)]
        found[f"groups by {shift.axis}"] = len(shift.groups)
        if len(pairs):
            found[f"mean drift by {shift.axis}"] = float(pairs.mean())
            found[f"largest drift by {shift.axis}"] = float(pairs.max())
    return found


def robust_column(flat: pa.Table) -> str | None:
    """The column that says whether a model is robust, whatever its case; None if there is none."""
    return next((name for name in flat.column_names if name.casefold() == "robust"), None)


def of_pairs(
    selected: pa.Table, robust: str, sketch: Sketch, pairs: str | None, near: StoreSettings
) -> dict[str, float]:
    """``drift robust, <data set>, once``: all models of either side; ``…, first layer``: of their first layers.

    With ``pairs`` only models that stand in it take part, and ``…, once a pair``: a normal model counts as often as it
    stands there; ``first layer`` then as well.

    Raises:
        UserError: ``pairs`` cannot be read, or names a model that is not there.
    """
    histograms = unit_histograms(sketch, group_layers(selected, "model"), Weight.filters)
    names = [group.name for group in group_layers(selected, "model").groups]
    is_robust = dict(zip(selected.column("model_label").to_pylist(), _is_robust(selected, robust), strict=True))
    listed = _pairs_in(pairs, near, names) if pairs is not None else None
    data = dict(
        zip(selected.column("model_label").to_pylist(), selected.column("training_dataset").to_pylist(), strict=True)
    )
    sides: dict[str, tuple[Counter[str], Counter[str]]] = {}  # data set → how often normal and robust models stand
    if listed is not None:
        for robust_name, normal_name, dataset in listed:
            normal, strong = sides.setdefault(_dataset(dataset), (Counter(), Counter()))
            normal[normal_name] += 1
            strong[robust_name] += 1
    else:
        for name in names:
            if data[name] is not None:
                sides.setdefault(_dataset(data[name]), (Counter(), Counter()))[bool(is_robust[name])][name] += 1
    first = selected.filter(pa.array(selected.column("conv_depth").to_numpy() == 0))
    first_names = [group.name for group in group_layers(first, "model").groups] if first.num_rows else []
    of_first = unit_histograms(sketch, group_layers(first, "model"), Weight.filters) if first.num_rows else None
    ruler, found = Ruler(DIVERGENCES["kl"], sketch.basis), dict[str, float]()

    def drift(counts: Float64, place: Sequence[str], normal: Mapping[str, int], strong: Mapping[str, int]) -> float:
        sums = [
            sum((counts[place.index(n)] * often for n, often in side.items() if n in place), 0.0 * counts[0])
            for side in (normal, strong)
        ]
        return float(ruler.between(sums[0][None], sums[1][None])[0])

    for dataset, (normal, strong) in sides.items():
        key = f"drift robust, {dataset}"
        once = [Counter(dict.fromkeys(side, 1)) for side in (normal, strong)]
        found[f"{key}, once"] = drift(histograms.counts, names, *once)
        if listed is not None:
            found[f"{key}, once a pair"] = drift(histograms.counts, names, normal, strong)
        if of_first is not None:
            found[f"{key}, first layer"] = drift(of_first.counts, first_names, normal, strong)
    return {key: value for key, value in found.items() if value == value}  # NaN: a side is empty


def _is_robust(flat: pa.Table, column: str) -> list[bool]:
    return [str(value).casefold() in _YES for value in flat.column(column).to_pylist()]


def _dataset(name: str) -> str:
    """As the paper writes it: ``cifar10`` and ``imagenet1k`` are others' spellings."""
    plain = name.casefold().replace("-", "").replace("_", "")
    known = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "imagenet": "ImageNet", "imagenet1k": "ImageNet"}
    return known.get(plain, name)


def _pairs_in(path: str, near: StoreSettings, names: Sequence[str]) -> list[tuple[str, str, str]]:
    """(robust, normal, data set) of each row."""
    found, there = [], set(names)
    for place, row in read_rows(path, near, "pairs", "pairs"):
        if missing := [column for column in ("Robust", "Normal", "Dataset") if not row.get(column)]:
            raise UserError(f"pairs={path}: {place} has no {', '.join(missing)}")
        for side in ("Robust", "Normal"):
            if row[side] not in there:
                raise UserError(f"pairs={path}: {place}: the store has no model {row[side]!r}")
        found.append((row["Robust"], row["Normal"], row["Dataset"]))
    return found


__all__ = ["Verdict", "counts_of", "of_pairs", "of_shift", "robust_column", "table_of", "verdicts"]
