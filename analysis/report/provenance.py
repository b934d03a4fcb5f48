"""How the page was made: the exact commands and versions behind each figure."""

from __future__ import annotations

import platform
import shlex
from dataclasses import fields
from importlib.metadata import version

from analysis.arrays.preparation import AS_STORED, Preparation
from analysis.arrays.untrained import UNTRAINED_FILTERS
from analysis.measures.drift import DIVERGENCES
from analysis.output.markup import Markup, el
from analysis.report.measure import ReportResult
from analysis.report.settings import ReportSettings
from analysis.settings import ComponentWeight, MatrixSettings, SketchSettings
from analysis.wording import count, one_line
from distributed import __version__

#: Settings of the drift and its uncertainty.
_SKETCH = {field.name for field in fields(SketchSettings)}
_DRIFT = tuple(field.name for field in fields(MatrixSettings) if field.name not in _SKETCH)

#: What the histograms are of.
_SKETCHED = ("basis", "bins", "filters", "rounding", "span")

_DISTRIBUTIONS = ("numpy", "pyarrow", "ray", "duckdb", "numba", "matplotlib")


def versions() -> str:
    """This tool, Python, what the numbers and pictures were made with, in a line."""
    found = {"cnn-filter-shift": __version__, "Python": platform.python_version()}
    found |= {name: version(name) for name in _DISTRIBUTIONS}
    return ", ".join(f"{name} {number}" for name, number in found.items())


def commands(settings: ReportSettings, uri: str, axes: list[str], factors: tuple[str, ...]) -> dict[str, str]:
    """What gives the same numbers again: of the report, and of its parts alone."""
    where = [f"{name}={value}" for name in ("labels", "where") if (value := getattr(settings, name)) is not None]
    named = [f"axes=[{','.join(axes)}]"]
    store = _store(settings, uri)
    changed = _changed(
        settings, (*_SKETCHED, "first_layer", "duplicates", "subspace", "max_groups", "layer_weight", *_DRIFT)
    )
    report = [f"axes=[{','.join(settings.axes)}]", f"out={settings.out}", *where, *changed.values()]
    measured = [changed[name] for name in (*_SKETCHED, "duplicates", *_DRIFT) if name in changed]
    structured = [changed[name] for name in ("filters", "duplicates", "subspace", "baseline") if name in changed]
    counted = [changed[name] for name in ("duplicates",) if name in changed]
    sketched = [changed[name] for name in (*_SKETCHED, "duplicates", "weight", "seed", "unit") if name in changed]
    partition = [f"factors=[{','.join(factors)}]", *where, *sketched, "axes=[]", "by_component=false", "out=partition"]
    return {
        "report": _line("report", store, report),
        "shift": _line("shift", store, [*named, *where, *measured, "out=shift"]),
        "partition": _line("partition", store, partition),
        "structure": _line("structure", store, [*named, *where, *structured, "out=structure"]),
        "quality": _line(
            "quality", store, [*named, *where, f"weight={settings.layer_weight}", *counted, "out=quality"]
        ),
        "lineage": _line("lineage", store, [*where, "out=lineage"]),
    }


def _changed(settings: ReportSettings, names: tuple[str, ...]) -> dict[str, str]:
    """Overrides of those settings that are not the defaults."""
    defaults = ReportSettings(settings.store)
    found = {name: getattr(settings, name) for name in names}
    return {name: f"{name}={_as_typed(value)}" for name, value in found.items() if value != getattr(defaults, name)}


def _as_typed(value: object) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, tuple) else str(value)


def _store(settings: ReportSettings, uri: str) -> list[str]:
    store = settings.store
    found = [*(["store=s3"] if uri.startswith("s3://") else []), f"store.uri={uri}"]
    found += [] if store.endpoint_url is None else [f"store.endpoint_url={store.endpoint_url}"]
    return [*found, *([] if store.region is None else [f"store.region={store.region}"])]


def _line(module: str, store: list[str], arguments: list[str]) -> str:
    return shlex.join(["python", "-m", f"analysis.{module}", *store, *arguments])


def facts_of(report: ReportResult, made_with: str) -> Markup:
    """What the numbers rest on."""
    facts = {
        "Store": report.uri,
        "Made": f"{report.made_at:%Y-%m-%d %H:%M} UTC",
        "Condition": report.where or "none: all layers of all models",
        **settings_in_words(report.settings),
    }
    if report.settings.labels is not None:
        facts["Labels"] = "; ".join((report.settings.labels, *report.label_notes))
    if report.shift:
        basis = report.shift.basis
        histograms = f"{basis.bins} bins from {basis.low:.5g} to {basis.high:.5g}"
        facts["Basis"] = f"{basis.digest}, of {count(basis.filters, 'filter')}; {histograms}"
        facts["Explained variance"] = " · ".join(f"{share:.1%}" for share in basis.explained_variance_ratio)
        facts["Sketch"] = report.shift.sketch.provenance
    facts["Versions"] = made_with
    return el("dl", [[el("dt", name), el("dd", one_line(value))] for name, value in facts.items()], class_="panel")


def settings_in_words(settings: ReportSettings) -> dict[str, str]:
    """What the drift is, for the page."""
    found = {"Divergence": DIVERGENCES[settings.divergence].title, "What counts the same": str(settings.weight)}
    if settings.components is not ComponentWeight.evr:
        found["Divergence"] = DIVERGENCES[settings.divergence].title_with(settings.components)
    preparation = Preparation(settings.filters, settings.rounding)
    if preparation != AS_STORED:
        found["Filters of the drift"] = str(preparation)
    if settings.baseline:
        found["Untrained filters"] = f"{UNTRAINED_FILTERS:,} of independent weights: {', '.join(settings.baseline)}"
    if settings.replicates:
        found["Uncertainty"] = (
            f"{settings.unit}s left out in turn, {settings.level:.0%} intervals; {settings.replicates} permutations of "
            f"{settings.unit}s, seed {settings.seed}; not for matrices of more than {settings.max_tested_groups} groups"
        )
    return found
