"""The analysis from Python: the functions behind the commands, with data frames out.

Each takes a store (its URI, or ``StoreSettings`` for an endpoint or region of its own) and returns pandas data frames,
a row per thing measured, with the columns that the commands write to Parquet. The examples run on the store that
``make demo`` leaves in ``data/demo``:

>>> from analysis.api import matrix, models, shift
>>> store = "data/demo"
>>> models(store).groupby("task").size()["Segmentation"]
np.int64(2)
>>> pairs = shift(store, ["task", "depth"])
>>> matrix(pairs, "task").loc["Segmentation (2)", "Segmentation (2)"]
np.float64(0.0)

``**settings`` are the other settings of the command of the same name, as its ``--help`` explains them: there is no
second list. The filters of a store without a sketch are read once, by threads or, where they are many, by a Ray started
for it and ended again; the store keeps the sketch, and what comes after reads none.

Errors: ``distributed.errors.UserError`` where what is asked for cannot be done (no such store, axis, column, setting),
in one line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from analysis.coefficients.measure import measure as measure_coefficients
from analysis.coefficients.settings import CoefficientsSettings
from analysis.compare.measure import measure as measure_compare
from analysis.compare.settings import CompareSettings
from analysis.labels.measure import measure as measure_labels
from analysis.labels.settings import LabelsSettings
from analysis.lineage.measure import measure as measure_lineage
from analysis.lineage.settings import LineageSettings
from analysis.measures.eigenfilters import agreement_of
from analysis.output.names import writable_folder
from analysis.pairs.measure import measure as measure_pairs
from analysis.pairs.settings import PairsSettings
from analysis.pairs.tables import bins_table, pairs_table
from analysis.partition.measure import measure as measure_partition
from analysis.partition.settings import PartitionSettings
from analysis.partition.tables import partition_table
from analysis.quality.measure import measure as measure_quality
from analysis.quality.settings import QualitySettings
from analysis.report.files import write as write_report
from analysis.report.measure import measure as measure_report
from analysis.report.settings import ReportSettings
from analysis.selection.axes import is_single
from analysis.selection.grouping import Grouping
from analysis.selection.view import Extent, StoreView
from analysis.settings import DEFAULT_AXES
from analysis.shift.measure import measure as measure_shift
from analysis.shift.settings import ShiftSettings
from analysis.structure.measure import AxisStructure, StructureResult
from analysis.structure.measure import measure as measure_structure
from analysis.structure.settings import StructureSettings
from analysis.structure.tables import components_table, symmetry_table
from analysis.wording import count, one_line, shown_apart
from distributed.configuration import settings_of
from distributed.errors import StoreError, UserError
from distributed.presets import SETTING, preset_settings
from distributed.records import FILTERS_SCHEMA
from distributed.store import Store, StoreSettings
from distributed.suggestions import did_you_mean

Settings = TypeVar("Settings")

#: A store: its URI or where and how it is reached.
StoreLike = str | Path | StoreSettings

#: An axis, or several.
Axes = str | Sequence[str]


@dataclass(frozen=True, slots=True, eq=False)
class ModelPlace:
    """Where one model sits among those of a store.

    Attributes:
        groups: a row per group of each axis: its drift to the model with an interval
            (``analysis.compare.files.AxisPlacement.table``).
        nearest: a row per other model, the nearest first.
        layers: a row per layer of the model: its quality, and as percentiles of the store's layers.
        notes: what to beware of.
    """

    groups: pd.DataFrame
    nearest: pd.DataFrame
    layers: pd.DataFrame
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PairDifferences:
    """What differs between the sides of pairs.

    Attributes:
        pairs: a row per pair and bin of layers (``analysis.pairs.tables.pairs_table``).
        bins: a row per bin and measure, of all pairs together, with p- and q-value
            (``analysis.pairs.tables.bins_table``).
        sides: names of side a and side b.
        notes: what to beware of.
    """

    pairs: pd.DataFrame
    bins: pd.DataFrame
    sides: tuple[str, str]
    notes: tuple[str, ...]


def models(store: StoreLike) -> pd.DataFrame:
    """A row per model: what is known about it (``distributed.records.MODELS_SCHEMA``).

    >>> from analysis.api import models
    >>> models("data/demo")[["name", "task", "visual_category"]].sort_values("name").iloc[0].tolist()
    ['depth-estimator', 'Depth Estimation', 'depth']
    """
    frame: pd.DataFrame = _open(store).models().to_pandas(maps_as_pydicts="strict")
    return frame


def labels(store: StoreLike, where: str | None = None, **settings: Any) -> pd.DataFrame:
    """What is known about the models: a row per field, with the numbers of models and where it was read.

    Raises:
        UserError: see ``analysis.labels.measure.measure``.

    >>> from analysis.api import labels
    >>> labels("data/demo").set_index("field").loc["task", ["known", "unknown", "values"]].tolist()
    [16, 0, 8]
    """
    if not {"save", "template"}.isdisjoint(settings):
        raise UserError("labels are written by the command: python -m analysis.labels … save=true")
    frame: pd.DataFrame = measure_labels(_settings(LabelsSettings, store, settings, where=where)).fields.to_pandas()
    return frame


def lineage(store: StoreLike, where: str | None = None, **settings: Any) -> pd.DataFrame:
    """What ties models that are one model: a row per pair (``analysis.lineage.measure.LineageResult``).

    The lineage of each layer's model is a column of ``layers``.

    Raises:
        UserError: see ``analysis.lineage.measure.measure``.

    >>> from analysis.api import layers, lineage
    >>> len(lineage("data/demo"))  # the samples were all trained from nothing
    0
    >>> layers("data/demo")["lineage"].nunique()
    16
    """
    frame: pd.DataFrame = measure_lineage(_settings(LineageSettings, store, settings, where=where)).ties.to_pandas()
    return frame


def layers(store: StoreLike, where: str | None = None, labels: str | None = None) -> pd.DataFrame:
    """A row per layer, with the columns of its model (``analysis.selection.view``): all that ``where`` may name.

    Args:
        store: which.
        where: an SQL condition on these columns.
        labels: a file of labels, as of every command (``distributed.label_files``).

    Raises:
        UserError: the condition cannot be evaluated or leaves no filter; the labels cannot be read.

    >>> from analysis.api import layers
    >>> first = layers("data/demo", where="conv_depth = 0")
    >>> sorted(first.columns[first.columns.str.startswith("layer_")])
    ['layer_id', 'layer_index', 'layer_name', 'layer_num_filters']
    >>> bool((first["conv_depth_norm"] == 0).all())
    True
    """
    frame: pd.DataFrame = StoreView.of(_open(store), labels).select(where).to_pandas(maps_as_pydicts="strict")
    return frame


def filters(
    store: StoreLike, where: str | None = None, most: int = 2_000_000, labels: str | None = None
) -> pd.DataFrame:
    """The raw 3x3 filters of the layers for which ``where`` is true: ``layer_id``, ``w0 … w8`` (row-major, float32).

    Args:
        store: which.
        where: an SQL condition on models and layers, as of ``layers``.
        most: more filters than this are refused; a store may hold more than the memory does.
        labels: a file of labels, as of ``layers``.

    Raises:
        UserError: the condition leaves no filter, or more than ``most``.
        StoreError: a file cannot be read.

    >>> from analysis.api import filters
    >>> kernels = filters("data/demo", where="name = 'maps-unet' and conv_depth = 0")
    >>> kernels.drop(columns="layer_id").to_numpy().reshape(-1, 3, 3).dtype
    dtype('float32')
    """
    opened = _open(store)
    selected = StoreView.of(opened, labels).select(where)
    found = Extent.of(selected).filters
    if found > most:
        raise UserError(f"where={where!r} chooses {count(found, 'filter')}, more than most={most:,}: choose fewer")
    parts = []
    wanted = selected.column("layer_id").combine_chunks()
    for model_id in dict.fromkeys(selected.column("model_id").to_pylist()):
        with opened.open_filters(model_id) as file:
            try:
                table = file.read(columns=FILTERS_SCHEMA.names)
            except (OSError, pa.ArrowException) as error:
                place = opened.filters_path(model_id)
                raise StoreError(f"{place} is damaged: {one_line(str(error))}; extract the model again") from error
        parts.append(table.filter(pc.is_in(table.column("layer_id"), value_set=wanted)))
    frame: pd.DataFrame = pa.concat_tables(parts).to_pandas()
    return frame


def shift(store: StoreLike, axes: Axes = DEFAULT_AXES, where: str | None = None, **settings: Any) -> pd.DataFrame:
    """The drift between every two groups of each axis, with interval, null, p- and q-value.

    Returns:
        A row per axis and ordered pair: ``axis``, then the columns of ``AxisShift.pairs``
        (``analysis.measures.drift_matrix``).

    Raises:
        UserError: see ``analysis.shift.measure.measure``.

    >>> from analysis.api import shift
    >>> pairs = shift("data/demo", "visual_category", where="conv_depth > 0", divergence="js", weight="models")
    >>> pairs.columns[:4].tolist()
    ['axis', 'a', 'b', 'drift']
    >>> known = pairs.dropna(subset="drift_lo")
    >>> bool((known["drift_lo"] <= known["drift_hi"]).all())
    True
    """
    result = measure_shift(_settings(ShiftSettings, store, settings, axes=_names(axes), where=where))
    return _stacked({each.axis: each.pairs() for each in result.shifts})


def matrix(pairs: pd.DataFrame, axis: str, value: str = "drift") -> pd.DataFrame:
    """One axis of what ``shift`` gives as a square: groups, ``name (number of models)``, by groups.

    Args:
        pairs: of ``shift``.
        axis: one of those it was asked for.
        value: any column of ``pairs``: ``drift``, ``drift_lo``, ``q_value``, ``few_models`` …

    Raises:
        UserError: ``pairs`` has no such axis or column, or lacks pairs of the axis.

    >>> from analysis.api import matrix, shift
    >>> matrix(shift("data/demo", "depth", replicates=0), "depth").index[0]
    '[0.0, 0.1] (16)'
    """
    mine = pairs[pairs["axis"] == axis].sort_index()  # as ``shift`` gave them, whatever they were sorted by since
    if not len(mine):
        raise UserError(f"there is no axis {axis!r} among these pairs; there are: {', '.join(pairs['axis'].unique())}")
    if value not in pairs.columns:
        raise UserError(f"there is no column {value!r} in these pairs; there are: {', '.join(pairs.columns)}")
    names = list(dict.fromkeys(mine["a"]))
    if mine.duplicated(["a", "b"]).any() or len(mine) != len(names) ** 2 or not set(mine["b"]) <= set(names):
        raise UserError(
            f"these are not all pairs of axis {axis!r}, each once: {len(mine)} rows of {len(names)} groups; "
            "take the pairs as shift gave them, and leave out groups from the square"
        )
    models = dict(zip(mine["a"], mine["models_a"], strict=True))
    labels = [
        label if is_single(axis) or not models[name] else f"{label} ({models[name]})"
        for name, label in zip(names, shown_apart(names), strict=True)
    ]
    square = mine.pivot(index="a", columns="b", values=value).loc[names, names]
    return square.set_axis(pd.Index(labels, name=axis), axis="index").set_axis(labels, axis="columns")


def structure(store: StoreLike, axes: Axes = DEFAULT_AXES, where: str | None = None, **settings: Any) -> pd.DataFrame:
    """The eigenfilters of the store (``axis`` is ``store``) and of every group of each axis. Reads no filter.

    Returns:
        A row per group and component (``analysis.structure.files.components_table``).

    Raises:
        UserError: see ``analysis.structure.measure.measure_structure``.

    >>> from analysis.api import structure
    >>> components = structure("data/demo", "task")
    >>> whole = components[components["axis"] == "store"]
    >>> round(whole["explained_variance_ratio"].sum(), 9)
    np.float64(1.0)
    >>> whole.loc[:, "c0":"c8"].shape  # an eigenfilter a row, row-major
    (9, 9)
    """
    result = measure_structure(_settings(StructureSettings, store, settings, axes=_names(axes), where=where))
    parts = (_whole(result), *result.axes)
    return pd.concat([components_table(part, result.whole).to_pandas() for part in parts], ignore_index=True)


def symmetry(store: StoreLike, axes: Axes = DEFAULT_AXES, where: str | None = None, **settings: Any) -> pd.DataFrame:
    """How much of the filters' energy is odd under which symmetry, and of which frequency. Reads no filter.

    Returns:
        A row per group of each axis, and of the store (``axis`` is ``store``)
        (``analysis.structure.tables.symmetry_table``).

    Raises:
        UserError: see ``analysis.structure.measure.measure``.

    >>> from analysis.api import symmetry
    >>> shares = symmetry("data/demo", "task", baseline=["normal"]).set_index("group")
    >>> round(shares.loc["untrained, normal", "odd_rotation"], 2)  # 4 of 9 dimensions are odd
    np.float64(0.44)
    >>> bool(shares.filter(like="dct_").sum(axis=1).round(9).eq(1).all())
    True
    """
    result = measure_structure(_settings(StructureSettings, store, settings, axes=_names(axes), where=where))
    parts = [symmetry_table(part.grouping.axis, part.structures) for part in (_whole(result), *result.axes)]
    return pd.concat([part.to_pandas() for part in parts], ignore_index=True)


def quality(store: StoreLike, axes: Axes = DEFAULT_AXES[:2], where: str | None = None, **settings: Any) -> pd.DataFrame:
    """The quality of each layer, and its group on each axis. Reads no filter.

    Returns:
        A row per layer (``analysis.measures.quality.layer_quality``): sparsity, variance entropy, orthogonality, norms,
        the random threshold, the distance from untrained, and ``degenerate`` (``random``, ``collapsed``, ``all zero``;
        missing where it is not).

    Raises:
        UserError: see ``analysis.quality.measure.measure_quality``.

    >>> from analysis.api import quality
    >>> found = quality("data/demo", "task")
    >>> bool(found["sparsity"].between(0, 1).all())
    True
    """
    result = measure_quality(_settings(QualitySettings, store, settings, axes=_names(axes), where=where))
    frame: pd.DataFrame = result.layers.to_pandas()
    return frame


def quality_by_group(
    store: StoreLike, axes: Axes = DEFAULT_AXES, where: str | None = None, **settings: Any
) -> pd.DataFrame:
    """Mean and quantiles of each metric in each group of each axis. Reads no filter.

    Returns:
        A row per axis, group and metric (``analysis.measures.quality.summarise``).

    Raises:
        UserError: see ``analysis.quality.measure.measure_quality``.

    >>> from analysis.api import quality_by_group
    >>> summary = quality_by_group("data/demo", "task", weight="models")
    >>> summary.query("metric == 'sparsity'")[["q25", "median", "q75"]].shape
    (8, 3)
    """
    asked = _names(axes)
    result = measure_quality(_settings(QualitySettings, store, settings, axes=asked, where=where))
    return _stacked({each.grouping.axis: each.summary for each in result.axes if each.grouping.axis in asked})


def coefficients(
    store: StoreLike, axes: Axes = DEFAULT_AXES, where: str | None = None, **settings: Any
) -> pd.DataFrame:
    """The distribution of each component's coefficients in every group: those that drift is computed from.

    Returns:
        A row per axis, group, component and bin (``analysis.coefficients.files.AxisRidges.table``).

    Raises:
        UserError: see ``analysis.coefficients.measure.measure_coefficients``.

    >>> from analysis.api import coefficients
    >>> ridges = coefficients("data/demo", "task")
    >>> bool((ridges.groupby(["group", "component"])["probability"].sum().round(6) == 1).all())
    True
    """
    result = measure_coefficients(_settings(CoefficientsSettings, store, settings, axes=_names(axes), where=where))
    return pd.concat([ridges.table().to_pandas() for ridges in result.ridges], ignore_index=True)


def partition(store: StoreLike, factors: Axes, where: str | None = None, **settings: Any) -> pd.DataFrame:
    """What each factor explains of the distances between models: of all layers, by component, by group of layers.

    Returns:
        A row per part, way and factor (``analysis.partition.tables.partition_table``).

    Raises:
        UserError: factors cannot be told apart; see ``analysis.partition.measure.measure``.

    >>> from analysis.api import partition
    >>> explained = partition("data/demo", ["task", "visual_category"], axes=[], by_component=False)
    >>> explained.query("by == 'margin'")[["factor", "df"]].to_numpy().tolist()
    [['task', 7], ['visual_category', 5]]
    """
    result = measure_partition(_settings(PartitionSettings, store, settings, factors=_names(factors), where=where))
    frame: pd.DataFrame = partition_table(result).to_pandas()
    return frame


def compare(store: StoreLike, model: str | Path, axes: Axes = DEFAULT_AXES, **settings: Any) -> ModelPlace:
    """Where one model sits among those of a store: a checkpoint, ``timm:NAME``, ``hub:ID`` or ``sample:NAME``.

    A model that is in the store itself is left out of what it is compared with.

    Raises:
        UserError: see ``analysis.compare.measure.compare_model``.

    >>> from analysis.api import compare
    >>> place = compare("data/demo", "sample:digits-resnet", "task")
    >>> len(place.nearest), place.nearest["drift"].is_monotonic_increasing
    (15, True)
    """
    result = measure_compare(_settings(CompareSettings, store, settings, axes=_names(axes), model=str(model)))
    return ModelPlace(
        result.groups.to_pandas(), result.nearest.to_pandas(), result.layers.to_pandas(), tuple(result.notes)
    )


def pairs(store: StoreLike, contrast: str | None = None, match: Axes = (), **settings: Any) -> PairDifferences:
    """What one thing changes, all else equal: drift and quality between models that agree in ``match`` and differ in
    ``contrast``, or between those that a file ``pairs=…`` names.

    Raises:
        UserError: see ``analysis.pairs.measure.measure``.

    >>> from analysis.api import pairs
    >>> found = pairs("data/demo", "visual_category", match="architecture", values=["fractals", "handwriting"])
    >>> found.sides, found.pairs["pair"].nunique()
    (('fractals', 'handwriting'), 2)
    >>> found.bins.set_index(["bin", "measure"]).loc[("all layers", "drift"), "p_value"]  # two pairs prove nothing
    np.float64(0.5)
    """
    if settings.pop("dry_run", False):
        raise UserError("a dry run prints: python -m analysis.pairs … dry_run=true")
    asked = _settings(PairsSettings, store, settings, contrast=contrast, match=_names(match))
    result = measure_pairs(asked)
    return PairDifferences(
        pairs_table(result).to_pandas(), bins_table(result).to_pandas(), result.listing.sides, result.notes
    )


def report(store: StoreLike, out: str | Path, axes: Axes = DEFAULT_AXES, **settings: Any) -> Path:
    """Write the page about a store, and its figures as PNG and PDF, into ``out``; returns the page.

    Raises:
        UserError: see ``analysis.report.measure.measure``; or ``out`` cannot be written.

    >>> from analysis.api import report
    >>> report("data/demo", "demo-report", "task", figures=False).name
    'index.html'
    """
    folder = writable_folder(str(out))
    return write_report(measure_report(_settings(ReportSettings, store, settings, axes=_names(axes))), folder)[0]


def _open(store: StoreLike) -> Store:
    return Store.open(_where_is(store))


def _where_is(store: StoreLike) -> StoreSettings:
    return store if isinstance(store, StoreSettings) else StoreSettings(str(store))


def _names(axes: Axes) -> tuple[str, ...]:
    given: Any = axes  # Python lets anything come
    return tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (given,)


def _settings(kind: type[Settings], store: StoreLike, more: Mapping[str, Any], **named: Any) -> Settings:
    """Settings of a command; names and values are checked and converted as on the command line, ``preset`` as well."""
    free = [field.name for field in fields(kind) if field.name not in {"store", "out", *named}]  # type: ignore[arg-type]
    if SETTING in more:
        command = kind.__module__.split(".")[1]
        preset = preset_settings(str(more[SETTING]), command, kind)
        more = {name: value for name, value in (preset | dict(more)).items() if name != SETTING and name not in named}
    for name in more:
        if name not in free:
            raise UserError(f"there is no setting {name!r}{did_you_mean(name, free)}; there are: {', '.join(free)}")
    return settings_of(kind, {"store": _where_is(store), **named, **more})


def _whole(result: StructureResult) -> AxisStructure:
    """The whole store as an axis of one group."""
    none = np.empty(0, np.int64)
    grouping = Grouping("store", (result.whole.group,), none, none)
    return AxisStructure(grouping, (result.whole,), agreement_of((result.whole,), result.subspace), ())


def _stacked(tables: Mapping[str, pa.Table]) -> pd.DataFrame:
    """Tables of several axes under each other, the axis's name in front."""
    parts = []
    for axis, table in tables.items():
        frame = table.to_pandas()
        if "axis" not in frame.columns:
            frame.insert(0, "axis", axis)
        parts.append(frame)
    return pd.concat(parts, ignore_index=True)
