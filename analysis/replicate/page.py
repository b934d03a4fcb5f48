"""The page of ``analysis.replicate``: one file without a script, beside the pictures that it shows."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from analysis.output.markup import Child, Markup, el
from analysis.replicate.measure import MeasuredPart, ReplicateResult
from analysis.replicate.numbers import Verdict
from analysis.wording import one_line
from distributed import __version__
from distributed.settings import ClusterSettings

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}img{max-width:100%}"
    "table{border-collapse:collapse}td,th{padding:.2rem .8rem;border-bottom:1px solid #ccc;text-align:right}"
    "td:first-child,th:first-child{text-align:left}pre{white-space:pre-wrap}"
)


def page_of(
    result: ReplicateResult, of_parts: Mapping[str, Sequence[Path]], beside: Sequence[Path], folder: Path
) -> str:
    """The whole HTML file; pictures and tables are named relative to ``folder``."""
    title = f"{result.settings.paper}: {result.paper.title}"
    head = el(
        "head",
        Markup('<meta charset="utf-8">'),
        Markup(
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src 'self' file:; "
            "style-src 'unsafe-inline'\">"
        ),
        el("title", title),
        el("style", Markup(_STYLE)),
    )
    facts = f"{one_line(result.uri)}: {result.extent}; preset={result.paper.preset}; cnn-filter-shift {__version__}"
    body = el(
        "body",
        el("h1", title),
        el("p", facts),
        el("ul", [el("li", one_line(note)) for note in result.notes]) if result.notes else None,
        [el("h2", "Published and here"), _table(result.verdicts)] if result.verdicts else None,
        [_picture(path, folder) for path in beside],
        [_part(each, of_parts[each.part.name], result, folder) for each in result.parts],
    )
    return "<!doctype html>\n" + el("html", head, body, lang="en") + "\n"


def _table(rows: Sequence[Verdict]) -> Markup:
    titles = ("", "published", "here", "difference", "verdict")
    return el(
        "table",
        el("thead", el("tr", [el("th", title) for title in titles])),
        el("tbody", [el("tr", [el("td", cell) for cell in cells_of(row)]) for row in rows]),
    )


def cells_of(row: Verdict) -> tuple[str, ...]:
    """A row of the table for people: whole numbers whole, others with four digits behind the point."""
    whole = row.published == int(row.published)

    def number(value: float | None, sign: str = "") -> str:
        return "" if value is None else f"{value:{sign},.0f}" if whole else f"{value:{sign}.4f}"

    return row.key, number(row.published), number(row.here), number(row.difference, "+"), row.verdict or ""


def _part(each: MeasuredPart, paths: Sequence[Path], result: ReplicateResult, folder: Path) -> Markup:
    tables = [path for path in paths if path.suffix != ".png"]
    links: list[Child] = [[el("a", path.name, href=_relative(path, folder)), " "] for path in tables]
    return el(
        "section",
        el("h2", each.part.shows),
        [_picture(path, folder) for path in paths if path.suffix == ".png"],
        el("p", links),
        el("pre", command_line(each, result)),
    )


def command_line(each: MeasuredPart, result: ReplicateResult) -> str:
    """What gives the same again by itself."""
    words = ["python", "-m", f"analysis.{each.part.command}"]
    words += ["store=s3"] * result.uri.startswith("s3://") + [f"store.uri={result.uri}"]
    words += [f"{name}={_typed(value)}" for name, value in each.asked.items() if not isinstance(value, ClusterSettings)]
    return shlex.join(words)


def _typed(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_typed, value))}]"
    return "null" if value is None else str(value.value if isinstance(value, Enum) else value)


def _picture(path: Path, folder: Path) -> Markup:
    return el("p", Markup(el("img", src=_relative(path, folder), alt=path.stem).removesuffix("</img>")))


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
