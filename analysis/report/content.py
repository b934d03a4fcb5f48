"""What the page's scripts draw, as data for JSON."""

from __future__ import annotations

from typing import Any

from analysis.report.contents_section import contents_section, models_section
from analysis.report.drift_section import drift_section
from analysis.report.measure import ReportResult
from analysis.report.provenance import commands, settings_in_words, versions
from analysis.report.quality_section import quality_section
from analysis.report.structure_section import structure_section
from analysis.wording import one_line


def report_content(result: ReportResult, figures: dict[str, list[str]]) -> dict[str, Any]:
    """What the page's scripts draw, as JSON-able data; ``figures`` as ``write_figures`` returns them."""
    settings, drift = result.settings, drift_section(result)
    return {
        "store": one_line(result.uri),
        "made_at": result.made_at.strftime("%Y-%m-%d %H:%M UTC"),
        "settings": {
            "where": None if settings.where is None else one_line(settings.where),
            "min_models": settings.min_models,
            "level": settings.level,
            "divergence": result.shifts[0].divergence if result.shifts else None,
        },
        "contents": contents_section(result),
        "axes": drift.pop("axes"),
        "drift": drift,
        "structure": structure_section(result),
        "quality": quality_section(result),
        "models": models_section(result),
        "figures": figures,
        "provenance": {
            "commands": commands(settings, result.uri, [shift.axis for shift in result.shifts]),
            "versions": versions(),
            "settings": settings_in_words(settings),
            "sketch": result.shift.sketch.provenance if result.shift else None,
        },
    }
