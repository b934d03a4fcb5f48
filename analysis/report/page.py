"""The page: static markup, styles and scripts put together into one file that needs nothing else.

Sections and figures stand in it as markup (``markup``, ``svg``: whatever a name holds, it is text); matrices and tables as
one JSON block, from which the script builds elements in the same spirit. The page's own security policy admits no script
and no style but the two whose digests it names, and no connection at all.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping, Sequence
from importlib.resources import files
from string import Template

from analysis.report.cards import Cards
from analysis.report.contents import contents_section
from analysis.report.drift import drift_section, matrix_data
from analysis.report.markup import el, together
from analysis.report.measure import ReportResult
from analysis.report.models import models_section
from analysis.report.provenance import commands, provenance_section, versions
from analysis.report.quality import quality_section
from analysis.report.structure import structure_section
from analysis.report.svg import Embedded
from analysis.report.tables import script_json
from analysis.wording import count, one_line
from distributed import __version__

#: In this order: each uses what stands before it.
_SCRIPTS = ("base.js", "table.js", "heatmap.js", "matrix_data.js", "matrix.js", "main.js")

#: Each with its name in the navigation and its ``id``.
_SECTIONS = (
    ("Contents", "contents", contents_section),
    ("Drift", "drift", drift_section),
    ("Structure", "structure", structure_section),
    ("Quality", "quality", quality_section),
    ("Models", "models", models_section),
    ("How it was made", "provenance", provenance_section),
)


def page_of(result: ReportResult, figures: Mapping[str, Embedded], paths: Mapping[str, Sequence[str]]) -> str:
    """The whole HTML file, UTF-8, with ``figures`` by stem; ``paths``: of their files, by stem, relative to the page."""
    lines = commands(result.settings, result.uri, [shift.axis for shift in result.shifts])
    cards = Cards(figures, paths, lines, versions())
    sections = [build(result, cards) for _, _, build in _SECTIONS]
    data = {
        "matrices": [matrix_data(shift, result) for shift in result.shifts],
        "tables": cards.tables,
    }
    styles = _asset("style.css")
    script = _sealed("'use strict';\n(() => {\n" + "\n".join(_asset(name) for name in _SCRIPTS) + "\n})();\n")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {_digest(script)}",
            f"style-src {_digest(styles)}",
            "img-src data:",  # dots and tiles inside the figures, and the page's empty icon
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    return Template(_asset("page.html")).substitute(
        policy=html.escape(policy),
        title=html.escape(f"CNN filter shift: {one_line(result.uri)}"),
        styles=styles,
        navigation=together(el("a", title, href=f"#{name}") for title, name, _ in _SECTIONS),
        headline=html.escape(f"{count(result.extent.filters, 'filter')} of {count(result.extent.models, 'model')}"),
        facts=_facts(result),
        about=html.escape(_about(result)),
        sections=together(sections),
        version=html.escape(__version__),
        data=script_json(data),
        script=script,
    )


def _facts(result: ReportResult) -> str:
    extent = result.extent
    facts = {
        "models": extent.models,
        "3×3 layers": extent.layers,
        "3×3 filters": extent.filters,
        "skipped or failed": len(result.rejects),
    }
    return together(el("div", el("dt", name), el("dd", f"{number:,}")) for name, number in facts.items())


def _about(result: ReportResult) -> str:
    where = [f"where {one_line(result.where)}"] if result.where else []
    return " · ".join([one_line(result.uri), f"{result.made_at:%Y-%m-%d %H:%M} UTC", *where])


def _asset(name: str) -> str:
    return files("analysis.report").joinpath("assets", name).read_text(encoding="utf-8")


def _sealed(text: str) -> str:
    """``text`` as the content of a script element: what the browser's parser would change is changed beforehand, so
    that the digest is that of what it sees.

    Raises:
        ValueError: it can't stand inside a script element.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    lower = text.lower()
    if "</script" in lower or "<!--" in lower or "\0" in text:
        raise ValueError("a script of the report holds characters that end a script element")
    return text


def _digest(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode('ascii')}'"
