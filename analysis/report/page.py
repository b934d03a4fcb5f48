"""The page: static markup, styles and scripts put together into one file that needs nothing else.

Sections and figures stand in it as markup (``markup``, ``svg``: whatever a name holds, it is text); matrices and tables
as one JSON block, from which the script builds elements in the same spirit. The page's own security policy admits no
script and no style but the two whose digests it names, and no connection at all.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping, Sequence
from importlib.resources import files
from string import Template

from analysis.output.svg import Embedded
from analysis.report.cards import Cards
from analysis.report.contents import contents_section, models_section
from analysis.report.drift import drift_section, matrix_data
from analysis.report.measure import ReportResult
from analysis.report.partition import factors_of, partition_section
from analysis.report.provenance import commands, facts_of, versions
from analysis.report.quality import quality_section
from analysis.report.structure import structure_section
from analysis.report.tables import script_json
from analysis.wording import count, one_line
from distributed import __version__

#: In this order: each uses what stands before it.
_SCRIPTS = ("base.js", "table.js", "heatmap.js", "matrix_data.js", "matrix.js", "main.js")


def page_of(result: ReportResult, figures: Mapping[str, Embedded], paths: Mapping[str, Sequence[str]]) -> str:
    """The whole HTML file, UTF-8, with ``figures`` by stem; ``paths``: of the same for papers, relative to the page."""
    lines = commands(result.settings, result.uri, [shift.axis for shift in result.shifts], factors_of(result))
    cards = Cards(figures, paths, lines, versions())
    texts = {
        "store": one_line(result.uri),
        "headline": f"{count(result.extent.filters, 'filter')} of {count(result.extent.models, 'model')}",
        **{name: f"{getattr(result.extent, name):,}" for name in ("models", "layers", "filters")},
        "rejects": f"{len(result.rejects):,}",
        "made": f"{result.made_at:%Y-%m-%d %H:%M} UTC",
        "where": f" · where {one_line(result.where)}" if result.where else "",
        "divergence": result.shifts[0].divergence if result.shifts else "not measured here",
        "version": __version__,
        **{f"command_{name}": line for name, line in lines.items()},
    }
    sections = {
        "contents": contents_section(result, cards),
        "drift": drift_section(result, cards),
        "partition": partition_section(result, cards),
        "structure": structure_section(result, cards),
        "quality": quality_section(result, cards),
        "table": models_section(result, cards),
        "provenance": facts_of(result, cards.versions),
    }
    styles = _asset("style.css")
    script = "'use strict';\n(() => {\n" + "\n".join(_asset(name) for name in _SCRIPTS) + "\n})();\n"
    policy = (
        "default-src 'none'",
        f"script-src {_digest(script)}",
        f"style-src {_digest(styles)}",
        "img-src data:",  # dots and tiles inside the figures, and the page's empty icon
        "base-uri 'none'",
        "form-action 'none'",
    )
    data = {"matrices": [matrix_data(shift, result) for shift in result.shifts], "tables": cards.tables}
    return Template(_asset("page.html")).substitute(
        {name: html.escape(text) for name, text in texts.items()},
        **sections,
        policy=html.escape("; ".join(policy)),
        styles=styles,
        data=script_json(data),
        script=script,
    )


def _asset(name: str) -> str:
    """A file of the page's own, as a browser's parser sees it.

    Raises:
        ValueError: it would end the element it stands in.
    """
    text = files("analysis.report").joinpath("assets", name).read_text(encoding="utf-8")  # \r\n becomes \n
    if not name.endswith(".html") and any(end in text.lower() for end in ("</script", "</style", "<!--", "\0")):
        raise ValueError(f"{name} holds characters that end a script or style element")
    return text


def _digest(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode('ascii')}'"
